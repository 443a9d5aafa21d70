"""restore holds little of what it restores, however much that is: pages, bounded batches, first names set aside."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.values import Span
from tests.jobs.lab import Lab
from tests.jobs.outbound import CONTENT, content, items, learn, rows, store
from tiering.catalog import commit, files
from tiering.clock import NS_PER_DAY
from tiering.jobs import first_names, restore_group, restore_run, stored_paths
from tiering.jobs import restore as restore_module
from tiering.jobs.first_names import FirstNames
from tiering.jobs.migrate import migrate
from tiering.jobs.restore import restore
from tiering.jobs.stored_paths import StoredVersion, place_of, versions_below
from tiering.stores.wrapper import Wrapper


def _paths(found: list[StoredVersion]) -> list[bytes]:
    return [version.dir + version.name for version in found]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is cut is cut after very few."""
    monkeypatch.setattr(stored_paths, "PAGE_ROWS", 2)
    monkeypatch.setattr(restore_module, "BATCH_FILES", 3)
    monkeypatch.setattr(restore_group, "GROUP_SIZE", 5)
    monkeypatch.setattr(restore_run, "FIRST_SIZE", 2)
    monkeypatch.setattr(first_names, "HELD", 1)


def test_a_first_name_is_found_wherever_it_was_put(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_names, "HELD", 3)
    known = FirstNames()
    for leader in range(10, 0, -1):
        known.put(leader, b"d/", b"%d" % leader)
    known.put(9, b"e/", b"again")
    assert known.get(9) == (b"e/", b"again")
    assert [known.get(leader) for leader in (1, 5, 10)] == [(b"d/", b"1"), (b"d/", b"5"), (b"d/", b"10")]
    assert known.get(11) is None
    for leader in (1, 9, 10, 11):
        known.forget(leader)
        assert known.get(leader) is None
    assert known.get(5) == (b"d/", b"5")
    known.close()
    assert known.get(5) is None


@pytest.mark.usefixtures("small_pages")
def test_hard_links_far_apart_are_linked_again(lab: Lab, tmp_path: Path) -> None:
    store(lab, *(f"a/{number}" for number in range(6)), "b/other")
    for number in range(6):
        (lab.root / "z").mkdir(exist_ok=True)
        os.link(lab.root / f"a/{number}", lab.root / f"z/{5 - number}")
    learn(lab)
    with lab.catalog.write() as tx:
        for row in rows(lab).values():
            tx.conn.exec_driver_sql("UPDATE files SET nlink = 2 WHERE file_id = ? AND dir = ?", (row.file_id, b"a/"))
    assert migrate(lab.context, items(lab)).files_skipped == ()
    report = restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    assert (report.files_done, report.files_skipped) == (13, ())
    out = tmp_path / "out/root"
    for number in range(6):
        assert (out / f"a/{number}").samefile(out / f"z/{5 - number}")
        assert (out / f"a/{number}").read_bytes() == content(f"a/{number}")


def test_p7_nothing_is_linked_to_what_has_taken_the_first_name(lab: Lab, tmp_path: Path) -> None:
    lab.write("a", CONTENT)
    os.link(lab.root / "a", lab.root / "b")
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    out = tmp_path / "out"

    class Late(Wrapper):
        def get(self, key: str, span: Span | None = None) -> bytes:
            if key.startswith("packs"):  # the folder is planned, and has no name yet
                (out / "root").mkdir(exist_ok=True)
                (out / "root/a").write_bytes(b"somebody else's")
            return super().get(key, span)

    tier = lab.context.tiers["standard"]
    context = replace(lab.context, tiers={**lab.context.tiers, "standard": replace(tier, store=Late(tier.store))})
    report = restore(context, [str(lab.root)], str(out))
    assert (out / "root/a").read_bytes() == b"somebody else's"
    assert not (out / "root/b").exists()
    assert (report.files_done, report.skipped_count) == (0, 2)


@pytest.mark.usefixtures("small_pages")
def test_versions_of_a_time_are_met_in_order_each_once(lab: Lab) -> None:
    store(lab, "a", "b/1", "b/2", "c", "d/1", "d/2", "d/3", "e")
    then_ns = lab.clock.now_ns()
    lab.clock.advance(86_400)
    known = rows(lab)
    with lab.catalog.write() as tx:
        keep = tx.now_ns + 30 * NS_PER_DAY
        replaced = [known[path].file_id for path in (b"b/1", b"c", b"d/2", b"d/3")]
        commit.supersede(tx, replaced, op_id="x", keep_until_ns=keep, reason="changed")
    store(lab, "b/0 new", "z new")
    with lab.catalog.write() as tx:
        files.mark_missing(tx, [known[b"d/1"].file_id], op_id="scan:9:1")
    place = place_of(lab.context, str(lab.root))
    at_then = list(versions_below(lab.context, place, then_ns))
    assert _paths(at_then) == [b"a", b"c", b"e", b"b/1", b"b/2", b"d/1", b"d/2", b"d/3"], "by folder, then by name"
    assert [version.recipe_no for version in at_then] == [known[path].recipe_no for path in _paths(at_then)]
    below = place_of(lab.context, str(lab.root / "d"))
    assert _paths(list(versions_below(lab.context, below, then_ns))) == [b"d/1", b"d/2", b"d/3"]
    now = [b"a", b"c", b"e", b"z new", b"b/0 new", b"b/1", b"b/2", b"d/2", b"d/3"]
    assert _paths(list(versions_below(lab.context, place, None))) == now
    assert list(versions_below(lab.context, place, then_ns - 2 * NS_PER_DAY)) == []


@pytest.mark.usefixtures("small_pages")
def test_versions_are_read_as_they_are_taken(lab: Lab) -> None:
    store(lab, "a", "b", "c", "d")
    found = versions_below(lab.context, place_of(lab.context, str(lab.root)), None)
    assert next(found).name == b"a"
    store(lab, "later")
    assert [version.name for version in found] == [b"b", b"c", b"d", b"later"]


def test_batches_are_cut_by_what_their_recipes_take(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_module, "BATCH_RECIPE_BYTES", 1)
    store(lab, *(f"d/{number}" for number in range(5)))
    report = restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    assert (report.files_done, report.files_skipped) == (5, ())
    assert len(list((tmp_path / "out/root/d").iterdir())) == 5
