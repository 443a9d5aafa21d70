"""P9: a plan is carried out exactly or refused file by file; limits and read-only roots hold."""

import os
from dataclasses import replace

import pytest

from policies.plan import Plan
from tests.jobs.asking import asked_for
from tests.jobs.lab import Lab
from tiering.catalog import files
from tiering.catalog.values import FileState
from tiering.clock import NS_PER_DAY
from tiering.config.models import Config
from tiering.errors import UsageError
from tiering.jobs.apply import apply_plan
from tiering.jobs.context import Context
from tiering.jobs.cycle import cycle
from tiering.jobs.items import MigrateItem
from tiering.jobs.migrate import migrate
from tiering.jobs.plan import make_plan
from tiering.jobs.scan import scan_root

SIZE = 40_000


def old_files(lab: Lab, count: int) -> None:
    """Files nobody has used for 60 days."""
    then = lab.clock.now_ns() - 60 * NS_PER_DAY
    for number in range(count):
        path = lab.write(f"old/{number}.bin", os.urandom(SIZE))
        os.utime(path, ns=(then, then))


def states(lab: Lab) -> dict[str, FileState]:
    """Name -> state."""
    root_id = lab.context.roots[0].root_id
    with lab.catalog.read() as tx:
        return {os.fsdecode(row.name): row.state for row in files.every(tx, root_id)}


def with_config(ctx: Context, **sections: object) -> Context:
    """Return the context with other settings."""
    return replace(ctx, config=Config.model_validate(ctx.config.model_copy(update=sections)))


def planned(lab: Lab, count: int) -> Plan:
    """A plan for *count* old files."""
    old_files(lab, count)
    scan_root(lab.context, lab.context.roots[0])
    plan = make_plan(lab.context)
    assert len(plan.actions) == count
    return plan


def test_a_plan_is_carried_out_to_the_placeholder(lab: Lab) -> None:
    plan = planned(lab, 3)
    report = apply_plan(lab.context, plan, wait_parked=True)
    assert (report.files_done, report.files_skipped) == (3, ())
    assert report.bytes_freed == 3 * SIZE
    assert set(states(lab).values()) == {FileState.OFFLINE}


def test_applying_twice_does_nothing_more(lab: Lab) -> None:
    plan = planned(lab, 2)
    apply_plan(lab.context, plan, wait_parked=True)
    again = apply_plan(lab.context, plan, wait_parked=True)
    assert again.files_done == 0
    assert again.bytes_stored == 0


def test_p9_a_file_that_drifted_is_refused_and_the_others_are_done(lab: Lab) -> None:
    plan = planned(lab, 3)
    lab.write("old/1.bin", b"new content")
    report = apply_plan(lab.context, plan, wait_parked=True)
    assert report.files_done == 2
    assert [os.path.basename(skip.path) for skip in report.files_skipped] == ["1.bin"]
    assert (lab.root / "old/1.bin").read_bytes() == b"new content"


def test_stored_files_are_released_without_being_read_again(lab: Lab) -> None:
    plan = planned(lab, 2)
    apply_plan(with_config(lab.context), replace(plan, actions=plan.actions[:1]), wait_parked=True)
    report = apply_plan(lab.context, make_plan(lab.context), wait_parked=True)
    assert report.files_done == 1
    assert set(states(lab).values()) == {FileState.OFFLINE}


@pytest.mark.parametrize("limit", [{"max_files_per_cycle": 2}, {"max_bytes_per_cycle": 2 * SIZE + 1}])
def test_limits_leave_the_rest_for_the_next_plan(lab: Lab, limit: dict[str, int]) -> None:
    plan = planned(lab, 5)
    release = lab.context.config.release.model_copy(update=limit)
    if "max_bytes_per_cycle" in limit:
        release = lab.context.config.release.model_copy(update={"max_bytes_per_cycle": 2 * SIZE + 1})
    report = apply_plan(with_config(lab.context, release=release), plan, wait_parked=True)
    assert report.files_done == 2
    assert any("3 actions are beyond the limits" in note for note in report.notes)


def test_nothing_is_done_under_a_read_only_root(lab: Lab) -> None:
    plan = planned(lab, 2)
    root = lab.context.config.roots[0].model_copy(update={"read_only": True})
    report = apply_plan(with_config(lab.context, roots=(root,)), plan, wait_parked=True)
    assert report.files_done == 0
    assert set(states(lab).values()) == {FileState.REGULAR}


def test_another_catalogs_plan_is_refused(lab: Lab) -> None:
    plan = planned(lab, 1)
    with pytest.raises(UsageError, match="another catalog"):
        apply_plan(lab.context, replace(plan, catalog_id="0" * 32), wait_parked=True)


def test_a_cycle_does_it_all_and_a_look_moves_nothing(lab: Lab) -> None:
    old_files(lab, 3)
    looked = cycle(lab.context, act=False, wait_parked=True)
    assert (looked.acted, looked.job.files_done, len(looked.plan.actions)) == (False, 0, 3)
    assert set(states(lab).values()) == {FileState.REGULAR}
    acted = cycle(lab.context, act=True, wait_parked=True)
    assert (acted.job.files_done, acted.exit_code) == (3, 0)
    assert set(states(lab).values()) == {FileState.OFFLINE}
    lab.clock.advance(7200)
    assert cycle(lab.context, act=True, wait_parked=True).accrued > 0


def test_p5_a_cycle_leaves_an_unmounted_root_alone(lab: Lab) -> None:
    old_files(lab, 3)
    cycle(lab.context, act=True, wait_parked=True)
    away = lab.base / "away"
    lab.root.rename(away)
    (lab.base / "root").mkdir()
    report = cycle(lab.context, act=True, wait_parked=True)
    assert len(report.problems) == 1
    assert report.exit_code == 3
    assert set(states(lab).values()) == {FileState.OFFLINE}


def test_what_is_stored_on_a_warmer_tier_moves_and_is_then_released(lab: Lab) -> None:
    lab.write("on standard", os.urandom(SIZE))
    scan_root(lab.context, lab.context.roots[0])
    asked_for(lab, "standard")

    report = asked_for(lab, "archive", releases=True)

    assert (report.files_done, report.exit_code) == (1, 0)
    assert states(lab) == {"on standard": FileState.OFFLINE}


def test_what_is_stored_on_a_colder_tier_is_stored_again_only_from_the_disk(lab: Lab) -> None:
    lab.write("on archive", os.urandom(SIZE))
    scan_root(lab.context, lab.context.roots[0])
    asked_for(lab, "archive")

    report = asked_for(lab, "standard", releases=True)
    assert (report.files_done, report.exit_code) == (1, 0)
    assert states(lab) == {"on archive": FileState.OFFLINE}

    asked_for(lab, "archive")
    report = asked_for(lab, "standard", releases=True)
    assert (report.files_done, report.exit_code) == (0, 3)
    assert "is offline on archive and stays there" in report.files_skipped[0].reason


def test_p9_a_planned_move_of_a_file_stored_on_another_tier_since_is_drift(lab: Lab) -> None:
    plan = planned(lab, 2)
    action = plan.actions[0]
    other = MigrateItem(lab.context.roots[0].root_id, action.dir, action.name, "archive")
    assert action.target == "standard"
    migrate(lab.context, [other])

    report = apply_plan(lab.context, plan, wait_parked=True)

    (drifted,) = report.files_skipped
    assert drifted.path.endswith(os.fsdecode(action.name))
    assert "is dual now" in drifted.reason
    assert sorted(states(lab).values()) == [FileState.DUAL, FileState.OFFLINE]


def test_a_cycle_releases_a_stored_file_where_it_is_whatever_tier_its_rule_names(lab: Lab) -> None:
    old_files(lab, 1)
    scan_root(lab.context, lab.context.roots[0])
    migrate(lab.context, [MigrateItem(lab.context.roots[0].root_id, b"old/", b"0.bin", "archive")])

    report = cycle(lab.context, act=True, wait_parked=True)

    (action,) = report.plan.actions
    assert action.target == "archive"
    assert "not standard: where its stored copy should be is decided apart" in action.reason
    assert states(lab) == {"0.bin": FileState.OFFLINE}
