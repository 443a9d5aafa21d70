"""A hot tier that is too small, budgets, strategies, hints and units, from the configuration to what moves."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.capacity import Item
from policies.plan import ActionKind, Plan
from policies.plan_json import from_text, to_text
from policies.room import Candidate
from policies.values import NS_PER_DAY, FileFacts, FileIdentity
from tests.jobs.lab import Lab, open_lab
from tests.jobs.stored import row_of
from tests.jobs.test_plan import put, scan
from tiering.catalog import access, files
from tiering.hot.evidence import mount_quality
from tiering.jobs.apply import apply_plan
from tiering.jobs.deciding import policy_of
from tiering.jobs.explaining import explain_file
from tiering.jobs.hot_room import CANDIDATES, SPARE_UNITS, Room, make_room
from tiering.jobs.plan import make_plan
from tiering.jobs.saved_plan import check_plan

SIZE = 64 * 1024
FILES = 20
KEEP = [{"name": "nothing", "age": "900d", "tier": "standard"}]


@pytest.fixture(autouse=True)
def _atime_is_kept(tmp_path: Path) -> None:
    if not mount_quality(os.fsencode(tmp_path)).is_evidence:
        pytest.skip("the tests' file system keeps no atime")


def opened(base: Path, *, root: dict[str, Any] | None = None, **sections: Any) -> Any:
    place = {"name": "root", "path": f"{base / 'lab'}/root"}
    return open_lab(base / "lab", roots=[place | (root or {})], **({"rules": KEEP} | sections))


MARKS = {"capacity": FILES * SIZE * 4 // 5, "high_water": 0.95, "low_water": 0.8}


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Lab]:
    """Give a root whose capacity is a fifth too small for its files, of which the first are used the most."""
    with opened(tmp_path, root=MARKS) as lab:
        fill(lab)
        yield lab


def fill(lab: Lab) -> None:
    for number in range(FILES):
        put(lab, f"f{number:02}.bin", days=8 + number, size=SIZE)
    scan(lab)
    today = lab.clock.now_ns() // NS_PER_DAY
    with lab.catalog.write() as tx:
        for number in range(FILES):
            row = row_of(lab, f"f{number:02}.bin")
            assert row is not None
            days = range(8, 8 + 3 * (FILES - number))
            access.add(tx, [access.AccessDay(row.file_id, today - ago, "atime") for ago in days])


def paths(plan: Plan, kind: ActionKind) -> set[str]:
    return {action.path for action in plan.actions if action.kind is kind}


def pin(lab: Lab, path: str) -> None:
    row = row_of(lab, path)
    assert row is not None
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [row.file_id], pinned=True)


def test_above_the_high_mark_the_least_used_leave_down_to_the_low_one(full: Lab) -> None:
    plan = make_plan(full.context)
    (room,) = plan.hot

    leaving = paths(plan, ActionKind.MIGRATE)
    assert leaving == {f"f{number:02}.bin" for number in range(FILES - len(leaving), FILES)}
    assert room.used_bytes - room.marks_free_bytes <= room.low_bytes
    assert room.used_bytes - room.marks_free_bytes + SIZE > room.low_bytes
    assert room.shadow_nano_per_gib_month > 0
    assert plan.warnings == ()
    assert from_text("".join(to_text(plan))) == plan


def test_the_next_to_leave_are_copied_ahead_and_then_leave_without_an_upload(full: Lab) -> None:
    plan = make_plan(full.context)
    ahead = paths(plan, ActionKind.PREMIGRATE)
    assert ahead
    assert not ahead & paths(plan, ActionKind.MIGRATE)
    report = apply_plan(full.context, plan, wait_parked=True)

    assert report.files_skipped == ()
    states = {path: row.state.value for path in ahead if (row := row_of(full, path)) is not None}
    assert set(states.values()) == {"dual"}
    left = [row_of(full, path) for path in paths(plan, ActionKind.MIGRATE)]
    assert {str(row.state) for row in left if row is not None} == {"offline"}
    after = make_plan(full.context)
    assert paths(after, ActionKind.MIGRATE) == set()
    assert after.hot[0].used_bytes <= after.hot[0].high_bytes

    for number in range(4):
        put(full, f"new{number}.bin", days=1, size=SIZE)
    scan(full)
    again = make_plan(full.context)
    assert paths(again, ActionKind.RELEASE) & ahead


def test_nothing_pinned_moves_and_what_cannot_be_reached_is_a_warning(full: Lab) -> None:
    for number in range(FILES):
        if number != 3:
            pin(full, f"f{number:02}.bin")
    plan = make_plan(full.context)

    assert {action.path for action in plan.actions} == {"f03.bin"}
    assert plan.hot[0].missing_bytes > 0
    assert "low mark cannot be reached" in plan.warnings[0]


def test_a_budget_puts_off_the_least_valuable_and_is_never_exceeded(tmp_path: Path) -> None:
    rules = [{"name": "all", "idle": "1d", "tier": "standard"}]
    with opened(tmp_path, rules=rules, budget={"bytes_per_day": 5 * SIZE}) as lab:
        for number in range(8):
            put(lab, f"f{number}.bin", size=SIZE)
        put(lab, "big.bin", size=6 * SIZE)
        scan(lab)
        plan = make_plan(lab.context)

        assert plan.totals.migrate_bytes == 5 * SIZE
        assert plan.totals.refused_by_cause == {"budget": 4}
        assert (plan.budgets[0].planned, plan.budgets[0].put_off_files) == (5 * SIZE, 4)
        apply_plan(lab.context, plan, wait_parked=True)
        assert make_plan(lab.context).actions == ()
        lab.clock.advance(86_400)
        assert len(make_plan(lab.context).actions) == 3


def test_a_budget_that_cannot_make_room_is_said_before_anything_moves(tmp_path: Path) -> None:
    with opened(tmp_path, root=MARKS, budget={"requests_per_month": 0}) as lab:
        fill(lab)
        plan = make_plan(lab.context)

        assert plan.actions == ()
        assert any("requests_per_month cannot be met" in warning for warning in plan.warnings)


def test_no_unit_is_half_moved_by_a_budget(tmp_path: Path) -> None:
    rules = [{"name": "all", "idle": "1d", "tier": "standard"}]
    with opened(tmp_path, rules=rules, budget={"bytes_per_day": 3 * SIZE}) as lab:
        for step in (1, 2):
            for shard in (1, 2):
                put(lab, f"run/checkpoint-{step}/model-{shard}-of-2.bin", size=SIZE)
        scan(lab)

        assert len({action.dir for action in make_plan(lab.context).actions}) == 1
        assert len(make_plan(lab.context).actions) == 2


def test_a_strategy_decides_and_explain_shows_how(tmp_path: Path) -> None:
    rules = [{"name": "cost", "strategy": "expected_cost"}]
    with opened(tmp_path, rules=rules) as lab:
        put(lab, "cold.bin", days=300, size=SIZE)
        put(lab, "warm.bin", days=60, size=SIZE)
        scan(lab)
        today = lab.clock.now_ns() // NS_PER_DAY
        row = row_of(lab, "warm.bin")
        assert row is not None
        with lab.catalog.write() as tx:
            access.add(tx, [access.AccessDay(row.file_id, today - ago, "atime") for ago in range(1, 60)])
        plan = make_plan(lab.context)
        said = explain_file(lab.context, lab.context.roots[0], b"", b"cold.bin").why

        assert [action.path for action in plan.actions] == ["cold.bin"]
        assert said.weighed.startswith("expected_cost: ")
        assert said.verdict.reasons == (plan.actions[0].reason,)


def test_a_root_keeps_to_its_tiers_and_to_how_soon_files_must_be_back(tmp_path: Path) -> None:
    rules = [{"name": "deep", "age": "1d", "tier": "archive"}]
    with opened(tmp_path, rules=rules, root={"tiers": ["standard"]}) as lab:
        put(lab, "a.bin", size=SIZE)
        scan(lab)
        (action,) = make_plan(lab.context).actions
        assert action.target == "standard"
        assert "this root may only use standard" in action.reason


def test_a_hint_holds_a_file_also_against_a_saved_plan(tmp_path: Path) -> None:
    with opened(tmp_path, rules=[{"name": "all", "idle": "1d", "tier": "standard"}]) as lab:
        put(lab, "runs/7/a.bin", size=SIZE)
        scan(lab)
        plan = make_plan(lab.context)
        hints = Path(lab.context.config.catalog.state_dir) / "hints.d"
        hints.mkdir()
        (hints / "resume.toml").write_text('[[hints]]\nmatch = "runs/7/**"\nreason = "resumes on Monday"\n')

        assert len(plan.actions) == 1
        assert "resumes on Monday" in check_plan(lab.context, plan).drifted.listed[0].reason
        assert make_plan(lab.context).actions == ()


def test_the_best_step_by_the_runs_own_record_stays(tmp_path: Path) -> None:
    rules = [{"name": "old", "keep_best": 1, "metric": "eval_loss", "age": "1d", "tier": "standard"}]
    with opened(tmp_path, rules=rules) as lab:
        for step in (100, 200, 300):
            put(lab, f"run/checkpoint-{step}/model.bin", size=SIZE)
        state = {"log_history": [{"step": 100, "eval_loss": 2.0}, {"step": 200, "eval_loss": 1.0}, {"step": 300}]}
        (lab.root / "run/checkpoint-300/trainer_state.json").write_text(json.dumps(state))
        scan(lab)

        moved = {action.dir for action in make_plan(lab.context).actions}
        assert b"run/checkpoint-200/" not in moved
        assert b"run/checkpoint-100/" in moved


def _unit(number: int, size: int, value: int) -> Candidate:
    identity = FileIdentity(1, number, size, 0, 0)
    facts = FileFacts(root="data", dir=b"", name=b"%07d" % number, identity=identity, mode=0o100644, uid=0)
    return Candidate((facts,), "standard", Item(size, value))


def _room(used: int, low: int, *, ahead: int = 0) -> Room:
    return Room(("data",), 10**9, used, high_bytes=used, low_bytes=low, ahead_bytes=ahead)


def test_of_very_many_units_those_are_remembered_that_leave_first() -> None:
    room = _room(10**6, 10**6 - 500_000, ahead=100_000)
    shuffled = random.Random(1).sample(range(CANDIDATES * 2), CANDIDATES * 2)
    for number in shuffled:
        room.offer([_unit(number, 100, number)])
    assert len(room.units) <= CANDIDATES * 3 // 2
    kept = {unit.item.value_nano for unit in room.units}
    assert kept.issuperset(range(6000 + SPARE_UNITS))
    assert not room.is_cut


def test_a_mark_that_more_files_must_leave_for_than_a_plan_lists_is_said_to_be_for_the_next_plan(
    tmp_path: Path,
) -> None:
    room = _room(10**6, 0)
    for number in range(CANDIDATES * 3 // 2 + 1):
        room.offer([_unit(number, 1, number)])
    assert (len(room.units), room.is_cut) == (CANDIDATES, True)
    with open_lab(tmp_path) as lab:
        report, actions, warning = make_room(room, policy_of(lab.context))
    assert len(actions) == CANDIDATES
    assert report.missing_bytes == 10**6 - CANDIDATES
    assert "the next plan goes on" in warning
