"""rebuild: the catalog lost, the stores and the trees alone bring it back; what cannot be recovered is said."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.segment import decode_segment, encode_segment, segment_hash
from tests.jobs.debris import put
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import Killed, books_balance, items, learn, rows, stored_bytes
from tests.jobs.rebuilding import lose_catalog, rebuilt
from tiering.catalog import files, ledger, packs, segments, tickets, versions
from tiering.catalog.open import open_catalog
from tiering.catalog.values import FileState, PackState
from tiering.errors import ConfigError, NotOwner, UsageError
from tiering.jobs import rebuild_objects
from tiering.jobs import segments as segment_job
from tiering.jobs.audit import AuditReport, audit
from tiering.jobs.context import OpenRoot
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root
from tiering.stores import ownership
from tiering.stores.base import ObjectInfo
from tiering.stores.wrapper import Wrapper

CONTENTS = {
    "a/one.bin": b"one " * 50_000,
    "a/copy.bin": b"one " * 50_000,
    "two.bin": os.urandom(300_000),
    "three.txt": b"text\n" * 2000,
    "empty": b"",
}


def fill(lab: Lab) -> None:
    for path, data in CONTENTS.items():
        lab.write(path, data)
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()


def release_some(lab: Lab, *paths: bytes) -> None:
    release(lab.context, items(lab, paths=paths), wait_parked=True)
    segment_job.flush(lab.context)


def sound(lab: Lab) -> AuditReport:
    books_balance(lab)
    seen = audit(lab.context)
    assert seen.discrepancies == ()
    return seen


def numbers(seen: AuditReport) -> dict[str, object]:
    kept = ("files", "logical_bytes", "offline_bytes", "dual_bytes", "stored_bytes", "retained_bytes", "overhead_bytes")
    return {name: getattr(seen, name) for name in (*kept, "dedup_saved_bytes", "compression_saved_bytes")}


@pytest.mark.parametrize("at_once", [rebuild_objects.PACKS_AT_ONCE, 1])
def test_p3_the_bucket_is_enough(lab: Lab, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(rebuild_objects, "PACKS_AT_ONCE", at_once)
    monkeypatch.setattr(rebuild_objects, "RECIPE_BYTES", at_once << 10)
    fill(lab)
    lab.write("regular.bin", b"stays hot")
    learn(lab)
    release_some(lab, b"a/one.bin", b"two.bin", b"three.txt")
    before, seen = rows(lab), sound(lab)
    with lab.catalog.read() as tx:
        entries = [entry for entry in ledger.entries(tx) if entry.kind != "segment"]

    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.problems == []
        assert report.complete_through == report.segments > 0
        assert numbers(sound(again)) == numbers(seen)
        after = rows(again)
        assert {path: row.state for path, row in after.items()} == {path: row.state for path, row in before.items()}
        with catalog.read() as tx:
            restored = {entry.hash for entry in ledger.entries(tx)}
            assert {entry.hash for entry in entries} <= restored
            assert list(ledger.verify_chain(tx)) == []
        for path in (b"a/one.bin", b"two.bin"):
            assert stored_bytes(again, path) == CONTENTS[os.fsdecode(path)]
        recall(again.context, items(again, paths=[b"a/one.bin", b"two.bin", b"three.txt"]), reason="test")
        for name, data in CONTENTS.items():
            assert (again.root / name).read_bytes() == data
        sound(again)


def test_the_old_catalog_is_refused_when_it_comes_back(lab: Lab) -> None:
    fill(lab)
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.epoch == lab.context.epoch + 1
    with pytest.raises(NotOwner):
        ownership.check(lab.context.metadata.store, lab.context.catalog_id, lab.context.epoch)
    with pytest.raises(NotOwner):
        collect(lab.context)


def test_a_rebuild_killed_anywhere_is_run_again(lab: Lab) -> None:
    fill(lab)
    release_some(lab, b"two.bin")
    seen = sound(lab)
    with lose_catalog(lab) as (again, catalog):
        for stop_at in ("rebuild.begun", "rebuild.owned", "rebuild.indexing", "rebuild.adjusted", "segments.durable"):

            def step(name: str, stop_at: str = stop_at) -> None:
                if name == stop_at:
                    raise Killed

            with pytest.raises(Killed):
                rebuilt(again, catalog, step=step)
            if stop_at == "segments.durable":
                break
            with pytest.raises(ConfigError, match="did not come to its end"):
                open_catalog(f"sqlite:///{lab.base}/state/again.db", clock=lab.clock)
    with lose_catalog(lab) as (again, _):
        # Killed after its end: the catalog is whole but for the segment that the next flush writes.
        with again.catalog.read() as tx:
            epoch = ownership.read(again.context.metadata.store).epoch
            root = files.page(tx, 1, limit=1)[0].root_id
        old = again.context.roots[0]
        again.context = replace(
            again.context, epoch=epoch, roots=(OpenRoot(root, old.name, old.path, old.marker),), owner="test:3:boot"
        )
        segment_job.flush(again.context)
        assert numbers(sound(again)) == numbers(seen)


@pytest.mark.postgres
def test_p3_a_rebuild_into_postgresql_may_be_killed_too(lab: Lab, postgres_url: str) -> None:
    fill(lab)
    release_some(lab, b"two.bin")
    with lab.catalog.write() as tx:
        asked = tickets.NewTicket("bulk", "why", "me", None, "{}", (rows(lab)[b"two.bin"].file_id,), ())
        tickets.open_ticket(tx, asked)
    segment_job.flush(lab.context)
    seen = sound(lab)

    def step(name: str) -> None:
        if name == "rebuild.adjusted":
            raise Killed

    with lose_catalog(lab, postgres_url) as (again, catalog):
        with pytest.raises(Killed):
            rebuilt(again, catalog, step=step)
        assert rebuilt(again, catalog).problems == []
        assert numbers(sound(again)) == numbers(seen)
        with catalog.write() as tx:
            assert tickets.open_ticket(tx, asked) == 2


def test_a_catalog_in_use_is_not_rebuilt_over(lab: Lab) -> None:
    fill(lab)
    with pytest.raises(UsageError, match="is not lost"):
        rebuilt(lab, lab.catalog)
    sound(lab)


def test_a_placeholder_is_believed_over_the_catalog(lab: Lab) -> None:
    fill(lab)
    segment_job.flush(lab.context)
    release(lab.context, items(lab, paths=[b"two.bin"]), wait_parked=True)  # in no segment
    os.rename(lab.root / "two.bin", lab.root / "a" / "elsewhere.bin")
    with lose_catalog(lab) as (again, catalog):
        rebuilt(again, catalog)
        assert rows(again)[b"a/elsewhere.bin"].state == FileState.OFFLINE
        assert stored_bytes(again, b"a/elsewhere.bin") == CONTENTS["two.bin"]
        sound(again)


def test_files_stored_after_the_last_segment_are_kept_as_versions(lab: Lab) -> None:
    fill(lab)
    lab.write("late.bin", b"late " * 9999)
    learn(lab)

    def step(name: str) -> None:
        if name == "segments.pending":
            raise Killed

    with pytest.raises(Killed):
        migrate(lab.with_steps(step), items(lab, paths=[b"late.bin"]))
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert (report.recipes_salvaged, report.recipes_held) == (1, 1)
        assert report.exit_code == 3
        assert any("what was recorded after segment" in note for note in report.notes)
        assert rows(again)[b"late.bin"].state == FileState.REGULAR
        with catalog.read() as tx:
            (kept,) = versions.every(tx)
            assert (kept.name, kept.reason) == (b"late.bin", "recovered")
        sound(again)


def test_a_release_that_no_segment_tells_of_is_said(lab: Lab) -> None:
    fill(lab)
    segment_job.flush(lab.context)
    release_some(lab, b"two.bin")
    newest = max(info.key for info in lab.context.metadata.store.list("segments/"))
    lab.context.metadata.store.delete(newest)
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.exit_code == 3
        assert any("placeholders of files that the records call dual" in note for note in report.notes)
        assert rows(again)[b"two.bin"].state == FileState.OFFLINE
        sound(again)


class Forgetful(Wrapper):
    """A store whose listings leave one object out."""

    left_out = ""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        return (info for info in super().list(prefix, start_after=start_after) if info.key != self.left_out)


def test_what_a_listing_leaves_out_is_not_taken_for_lost(lab: Lab) -> None:
    fill(lab)
    segment_job.flush(lab.context)
    with lab.catalog.read() as tx:
        row = next(row for row in packs.in_state(tx, PackState.LIVE) if row.kind == "data")
    tiers = {}
    for name, tier in lab.context.tiers.items():
        store = Forgetful(tier.store)
        store.left_out = row.key
        tiers[name] = replace(tier, store=store)
    lab.context = replace(lab.context, tiers=tiers)
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.problems == []
        with catalog.read() as tx:
            assert packs.by_keys(tx, [row.key])[row.key].state is PackState.LIVE


def test_without_any_segment_recipes_and_placeholders_are_enough(lab: Lab) -> None:
    fill(lab)
    release_some(lab, b"two.bin", b"a/copy.bin")
    store = lab.context.metadata.store
    for info in list(store.list("segments/")):
        store.delete(info.key)
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.complete_through == 0
        states = {path: row.state for path, row in rows(again).items()}
        assert states[b"two.bin"] == states[b"a/copy.bin"] == FileState.OFFLINE
        assert states[b"a/one.bin"] == FileState.REGULAR
        assert stored_bytes(again, b"a/copy.bin") == CONTENTS["a/copy.bin"]
        sound(again)


def test_a_missing_segment_is_said_and_the_rest_replayed(lab: Lab) -> None:
    fill(lab)
    for number in range(3):
        lab.write(f"more-{number}", os.urandom(5000))
        learn(lab)
        migrate(lab.context, items(lab, paths=[b"more-%d" % number]))
    store = lab.context.metadata.store
    keys = [info.key for info in store.list("segments/")]
    assert len(keys) == 4
    store.delete(keys[2])
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert (report.segments, report.complete_through) == (4, 2)
        assert any("segment 4 does not follow segment 2" in problem for problem in report.problems)
        assert rows(again)[b"more-2"].state == FileState.DUAL
        assert rows(again)[b"more-1"].state == FileState.REGULAR
        books_balance(again)
        segment_job.flush(again.context)
        with catalog.read() as tx:
            assert [row.segment_no for row in segments.durable_keys(tx).values()][-1] >= 5


def test_an_archived_pack_is_known_without_being_read(lab: Lab) -> None:
    lab.write("cold.bin", os.urandom(200_000))
    learn(lab)
    migrate(lab.context, items(lab, tier="archive"))
    release_some(lab, b"cold.bin")
    seen = sound(lab)
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.problems == []
        assert numbers(sound(again)) == numbers(seen)


def test_pins_versions_tickets_and_links_come_back(lab: Lab) -> None:
    fill(lab)
    os.link(lab.root / "two.bin", lab.root / "linked.bin")
    scan_root(lab.context, lab.context.roots[0])
    migrate(lab.context, items(lab, paths=[b"two.bin"]))
    lab.write("three.txt", b"changed")
    scan_root(lab.context, lab.context.roots[0])
    with lab.catalog.write() as tx:
        known = {row.path: row for row in files.every(tx, lab.context.roots[0].root_id)}
        files.set_pinned(tx, [known[b"three.txt"].file_id], True)
    release_some(lab, b"a/one.bin")
    with lab.catalog.write() as tx:
        asked = tickets.NewTicket("bulk", "why", "me", None, "{}", (known[b"a/one.bin"].file_id,), ())
        number = tickets.open_ticket(tx, asked)
        retained = [(row.name, row.superseded_ns) for row in versions.every(tx)]
    assert [name for name, _ in retained] == [b"two.bin", b"three.txt"]
    segment_job.flush(lab.context)
    seen = sound(lab)
    with lose_catalog(lab) as (again, catalog):
        rebuilt(again, catalog)
        after = rows(again)
        assert after[b"three.txt"].pinned
        pair = [after[b"two.bin"], after[b"linked.bin"]]
        assert {row.leader_id for row in pair} == {None, min(row.file_id for row in pair if row.is_leader)}
        with catalog.read() as tx:
            assert [(row.name, row.superseded_ns) for row in versions.every(tx)] == retained
            assert tickets.count_waiting(tx, number) == 1
        assert numbers(sound(again)) == numbers(seen)


def test_a_parked_file_comes_back_to_its_path(lab: Lab) -> None:
    fill(lab)

    def step(name: str) -> None:
        if name == "release.parked":
            raise Killed

    with pytest.raises(Killed):
        release(lab.with_steps(step), items(lab, paths=[b"two.bin"]), wait_parked=True)
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.hidden_settled == 1
        assert (again.root / "two.bin").read_bytes() == CONTENTS["two.bin"]
        assert not [name for name in os.listdir(again.root) if name.startswith(".frostline-parked")]
        sound(again)


def test_a_store_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab") as lab:
        lab.context.metadata.store.delete(ownership.KEY)
        with lose_catalog(lab) as (again, catalog), pytest.raises(ConfigError, match="holds nothing"):
            rebuilt(again, catalog)


def test_an_unmounted_root_is_left_for_later(lab: Lab) -> None:
    fill(lab)
    away = lab.base / "away"
    shutil.move(lab.root, away)
    lab.root.mkdir()
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert any("not compared with the disk" in note for note in report.notes)
        lab.root.rmdir()
        shutil.move(away, lab.root)
        assert {row.state for row in rows(again).values()} == {FileState.DUAL}
        sound(again)


@pytest.mark.parametrize("kept", [0, 1])
def test_p3_files_of_lost_segments_come_back_from_their_recipes(lab: Lab, kept: int) -> None:
    """A commit's records may be in two segments, of which the second is lost."""
    for path, data in CONTENTS.items():
        lab.write(path, data)
    learn(lab)
    migrate(lab.context, items(lab))
    release_some(lab, *(os.fsencode(path) for path in CONTENTS if path != "empty"))
    split_last_segments(lab, kept)
    os.rename(lab.root / "two.bin", lab.root / "moved.bin")
    with lose_catalog(lab) as (again, catalog):
        report = rebuilt(again, catalog)
        assert report.recipes_salvaged > 0
        recall(again.context, items(again), reason="test")
        assert (again.root / "moved.bin").read_bytes() == CONTENTS["two.bin"]
        assert (again.root / "a/one.bin").read_bytes() == CONTENTS["a/one.bin"]
        sound(again)


def split_last_segments(lab: Lab, kept: int) -> None:
    """Leave of all segments one that ends in the midst of a commit of many records: after the packs, or after what
    says that *kept* files are stored.
    """
    store = lab.context.metadata.store
    told = list(store.list("segments/"))
    found = [record for info in told for record in decode_segment(store.get(info.key)).records]
    for info in told:
        store.delete(info.key)
    number = next(at for at, record in enumerate(found) if json.loads(record)["record"] == "stored")
    stored = {
        name: value[:kept] if isinstance(value, list) else value for name, value in json.loads(found[number]).items()
    }
    first = [json.dumps(stored | {"recipes": [[0, kept]]})] if kept else []
    data = encode_segment(1, "", [*found[:number], *first])
    put(lab, f"segments/{1:012d}-{segment_hash(data)[:16]}", data)
