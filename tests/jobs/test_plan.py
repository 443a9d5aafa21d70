"""Plan: read-only and exact; what it keeps hot and why; what it refuses to carry out later."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from policies.plan import ActionKind, Plan
from policies.values import NS_PER_DAY
from tests.jobs.lab import Lab, open_lab
from tests.jobs.stored import release, row_of, store
from tiering.catalog import files, scans
from tiering.errors import UsageError
from tiering.hot.evidence import mount_quality
from tiering.jobs.explaining import explain_file
from tiering.jobs.folder_facts import FolderFacts
from tiering.jobs.link_targets import LinkTargets, find_link_targets
from tiering.jobs.plan import make_plan
from tiering.jobs.saved_plan import check_plan, load_plan, save_plan
from tiering.jobs.scan import scan_root

COLD = 60  # days
FROZEN = 400


@pytest.fixture(autouse=True)
def _atime_is_kept(tmp_path: Path) -> None:
    if not mount_quality(os.fsencode(tmp_path)).is_evidence:
        pytest.skip("the tests' file system keeps no atime")


def put(lab: Lab, path: str | bytes, *, days: float = COLD, size: int = 8192) -> Path:
    """Write a file last read and written so many days ago on the lab's clock."""
    place = lab.write(path, b"x" * size)
    at_ns = lab.clock.now_ns() - int(days * NS_PER_DAY)
    os.utime(place, ns=(at_ns, at_ns))
    return place


def scan(lab: Lab) -> None:
    scan_root(lab.context, lab.context.roots[0], confirm_missing=True)


def planned(lab: Lab) -> dict[str, tuple[str, str, str]]:
    """Scan and plan; return path -> (action, target, rule)."""
    scan(lab)
    return {action.path: (str(action.kind), action.target, action.rule) for action in make_plan(lab.context).actions}


def why(lab: Lab, path: str) -> str:
    folder, slash, name = os.fsencode(path).rpartition(b"/")
    return explain_file(lab.context, lab.context.roots[0], folder + slash, name).why.rule.split(":")[0]


def test_cold_files_go_where_the_default_rules_say(lab: Lab) -> None:
    put(lab, "cold.bin")
    put(lab, "sub/frozen.bin", days=FROZEN)
    put(lab, "warm.bin", days=10)
    put(lab, "new.bin", days=1)

    assert planned(lab) == {
        "cold.bin": ("migrate", "standard", "idle-30d"),
        "sub/frozen.bin": ("migrate", "archive", "idle-180d"),
    }


def test_files_with_a_stored_copy_are_planned_for_release_and_offline_ones_not_at_all(lab: Lab) -> None:
    put(lab, "dual.bin")
    put(lab, "away.bin")
    scan(lab)
    store(lab, "dual.bin")
    release(lab, "away.bin", store(lab, "away.bin"))

    assert planned(lab) == {"dual.bin": ("release", "standard", "idle-30d")}


def test_the_target_of_a_link_stays_hot_and_so_does_all_below_a_linked_folder(lab: Lab) -> None:
    put(lab, "runs/one/a.bin")
    put(lab, "runs/two/b.bin")
    put(lab, "runs/two/deep/c.bin")
    put(lab, "other.bin")
    os.symlink("one/a.bin", lab.root / "runs/best")
    os.symlink(lab.root / "runs/two", lab.root / "runs/latest")
    os.symlink("..", lab.root / "runs/one/up")
    os.symlink("/etc/passwd", lab.root / "outside")
    os.symlink("nowhere", lab.root / "dangling")

    assert set(planned(lab)) == {"other.bin"}
    assert why(lab, "runs/two/deep/c.bin") == "rule link-target"


def test_a_chain_of_links_leads_to_the_file(lab: Lab) -> None:
    put(lab, "a.bin")
    os.symlink("a.bin", lab.root / "b")
    os.symlink("b", lab.root / "c")
    root = lab.context.roots[0]

    assert find_link_targets(lab.context, [root]).files == {(root.root_id, b"a.bin")}


def test_a_placeholder_is_not_a_link_to_anything(lab: Lab) -> None:
    put(lab, "a.bin")
    scan(lab)
    release(lab, "a.bin", store(lab, "a.bin"))

    assert find_link_targets(lab.context, lab.context.roots) == LinkTargets()


def test_a_hugging_face_cache_stays_hot_by_name_and_by_shape(lab: Lab) -> None:
    put(lab, "hub/models--org--name/blobs/0123")
    put(lab, "plain/blobs/0123")
    put(lab, "plain/refs/main")
    put(lab, "plain/snapshots/rev/x")
    put(lab, "git/refs/main")

    assert set(planned(lab)) == {"git/refs/main"}


def test_the_newest_checkpoint_of_a_folder_stays(lab: Lab) -> None:
    put(lab, "run/step-1.pt", days=90)
    put(lab, "run/step-2.pt", days=80)
    put(lab, "run/notes.bin", days=70)

    assert set(planned(lab)) == {"run/step-1.pt", "run/notes.bin"}


def test_of_a_run_in_step_folders_the_newest_step_stays_whole(lab: Lab) -> None:
    for step in (500, 900, 1000):
        put(lab, f"run/checkpoint-{step}/model.safetensors")
        put(lab, f"run/checkpoint-{step}/global_step{step}/optim.pt")

    assert {path.split("/")[1] for path in planned(lab)} == {"checkpoint-500", "checkpoint-900"}
    assert len(planned(lab)) == 4


def test_a_pinned_file_stays(lab: Lab) -> None:
    put(lab, "a.bin")
    scan(lab)
    row = row_of(lab, "a.bin")
    assert row is not None
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [row.file_id], pinned=True)

    assert planned(lab) == {}
    assert why(lab, "a.bin") == "rule pinned"


def test_a_pin_on_one_name_holds_all_names(lab: Lab) -> None:
    put(lab, "a.bin")
    os.link(lab.root / "a.bin", lab.root / "b.bin")
    assert set(planned(lab)) == {"a.bin"}
    row = row_of(lab, "b.bin")
    assert row is not None
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [row.file_id], pinned=True)

    assert planned(lab) == {}


def test_a_hard_link_with_a_name_outside_the_root_is_refused(lab: Lab) -> None:
    put(lab, "a.bin")
    os.link(lab.root / "a.bin", lab.base / "outside.bin")
    scan(lab)
    plan = make_plan(lab.context)

    assert plan.actions == ()
    assert [refusal.cause for refusal in plan.refused] == ["hard-links"]


def test_after_sweeps_nothing_counts_as_idle(lab: Lab) -> None:
    put(lab, "a.bin")
    scan(lab)
    facts = FolderFacts(lab.context, lab.context.roots[0], (), LinkTargets())
    last = facts.last_scan
    assert last is not None
    with lab.catalog.write() as tx:
        scans.finish(tx, last.scan_id, access_quality="swept")
    plan = make_plan(lab.context)

    assert plan.actions == ()
    assert plan.totals.unknown_access_files == 1
    assert any("sweeps" in note for note in plan.notes)


def test_p9_planning_changes_nothing(lab: Lab) -> None:
    put(lab, "a.bin")
    scan(lab)
    database = lab.base / "state" / "catalog.db"
    with lab.catalog.engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    before = database.read_bytes()
    tree = sorted(os.fsdecode(path) for path in lab.root.rglob("*"))
    first, second = make_plan(lab.context), make_plan(lab.context)
    with lab.catalog.engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    assert first == second
    assert database.read_bytes() == before
    assert sorted(os.fsdecode(path) for path in lab.root.rglob("*")) == tree


def test_a_root_that_was_never_scanned_says_so(lab: Lab) -> None:
    plan = make_plan(lab.context)

    assert plan.actions == ()
    assert any("not been scanned" in note for note in plan.notes)


def test_a_saved_plan_is_the_plan(lab: Lab, tmp_path: Path) -> None:
    put(lab, b"odd/\xff\xfe name.bin")
    put(lab, "a.bin")
    scan(lab)
    plan = make_plan(lab.context)
    place = str(tmp_path / "plan.json")
    save_plan(plan, place)

    assert load_plan(place) == plan
    assert [name for name in os.listdir(tmp_path) if "plan" in name] == ["plan.json"]


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'"x"', b"\xff", b'{"format": 1}'])
def test_what_is_not_a_saved_plan_gets_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "plan.json"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        load_plan(str(place))

    assert str(place) in refused.value.sentence()


def test_a_plan_that_cannot_be_written_gets_a_sentence(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        save_plan(make_plan(lab.context), str(tmp_path / "nowhere" / "plan.json"))


def _drifted(lab: Lab, plan: Plan) -> list[str]:
    checked = check_plan(lab.context, plan)
    assert checked.migrate == checked.release == ()
    return [skipped.reason for skipped in checked.drifted.listed]


def test_an_unchanged_plan_is_carried_out_as_it_is(lab: Lab) -> None:
    put(lab, "a.bin")
    put(lab, "sub/b.bin")
    scan(lab)
    store(lab, "sub/b.bin")
    plan = make_plan(lab.context)
    checked = check_plan(lab.context, plan)

    assert [(item.dir + item.name, item.tier) for item in checked.migrate] == [(b"a.bin", "standard")]
    assert [(item.dir + item.name, item.tier) for item in checked.release] == [(b"sub/b.bin", "standard")]
    assert checked.drifted.count == 0


def _rewrite(lab: Lab) -> None:
    (lab.root / "a.bin").write_bytes(b"y" * 9000)


def _delete(lab: Lab) -> None:
    (lab.root / "a.bin").unlink()


def _rewrite_and_scan(lab: Lab) -> None:
    _rewrite(lab)
    scan(lab)


def _migrate(lab: Lab) -> None:
    store(lab, "a.bin")


def _pin(lab: Lab) -> None:
    row = row_of(lab, "a.bin")
    assert row is not None
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [row.file_id], pinned=True)


@pytest.mark.parametrize("change", [_rewrite, _delete, _rewrite_and_scan, _migrate, _pin])
def test_p9_an_action_whose_file_drifted_is_refused(lab: Lab, change: Any) -> None:
    put(lab, "a.bin")
    scan(lab)
    plan = make_plan(lab.context)
    assert [action.kind for action in plan.actions] == [ActionKind.MIGRATE]
    change(lab)

    assert len(_drifted(lab, plan)) == 1


def test_p9_a_plan_of_another_catalog_is_refused(lab: Lab) -> None:
    with pytest.raises(UsageError, match="another catalog"):
        check_plan(lab.context, replace(make_plan(lab.context), catalog_id="f" * 32))


def test_a_root_or_tier_that_is_gone_is_drift(lab: Lab) -> None:
    put(lab, "a.bin")
    scan(lab)
    plan = make_plan(lab.context)
    assert "root" in check_plan(replace(lab.context, roots=()), plan).drifted.listed[0].reason
    assert "tier" in check_plan(replace(lab.context, tiers={}), plan).drifted.listed[0].reason


def test_a_plan_longer_than_its_limit_says_so(lab: Lab) -> None:
    for i in range(5):
        put(lab, f"{i}.bin")
    scan(lab)
    plan = make_plan(lab.context, limit=2)

    assert len(plan.actions) == 2
    assert plan.totals.migrate_files == 5
    assert any("first 2 of 5" in note for note in plan.notes)


def test_explain_speaks_of_files_it_cannot_find(lab: Lab) -> None:
    scan(lab)
    with pytest.raises(UsageError, match="not in the catalog"):
        explain_file(lab.context, lab.context.roots[0], b"", b"x")
    put(lab, "a.bin").unlink()


def test_rules_about_active_days_read_the_history(tmp_path: Path) -> None:
    rule = {"name": "quiet", "active_days_at_most": 0, "window": "30d", "tier": "standard"}
    with open_lab(tmp_path / "lab", rules=[rule]) as lab:
        quiet, busy = put(lab, "quiet.bin"), put(lab, "busy.bin")
        scan(lab)
        assert planned(lab) == {}  # not watched for 30 days yet
        lab.clock.advance(31 * 86_400)
        os.utime(busy, ns=(lab.clock.now_ns() - NS_PER_DAY, busy.stat().st_mtime_ns))
        assert planned(lab) == {"quiet.bin": ("migrate", "standard", "quiet")}
        assert quiet.exists()


@pytest.mark.parametrize(("watched", "expected"), [("relatime", 1), ("none", 0)])
def test_a_counted_open_proves_one_use_and_not_that_there_was_no_other(lab: Lab, watched: str, expected: int) -> None:
    put(lab, "a.bin", days=100)
    scan(lab)
    row = row_of(lab, "a.bin")
    assert row is not None
    with lab.catalog.write() as tx:
        files.note_access(tx, {row.file_id: tx.now_ns - 50 * NS_PER_DAY}, quality="opens")
        last = scans.last(tx, row.root_id)
        assert last is not None
        scans.finish(tx, last.scan_id, access_quality=watched)

    assert len(make_plan(lab.context).actions) == expected
