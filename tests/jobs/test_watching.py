"""A hot tier that is too small, by real bytes: marks hold while files arrive, and the choice is good."""

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from policies.limits import NO_LIMITS
from policies.plan import ActionKind
from policies.room import Market, worth_nano_month
from policies.values import NS_PER_DAY, FileFacts
from tests.jobs.lab import Lab
from tests.jobs.stored import row_of
from tests.jobs.test_plan import put, scan
from tests.jobs.test_room import opened, pin
from tests.policies.exact import least_loss
from tiering.catalog import access
from tiering.hot.evidence import mount_quality
from tiering.jobs.cycle import cycle
from tiering.jobs.deciding import policy_of
from tiering.jobs.folder_facts import FolderFacts
from tiering.jobs.link_targets import LinkTargets
from tiering.jobs.plan import make_plan

SIZE = 64 * 1024
FILES = 30


@pytest.fixture(autouse=True)
def _atime_is_kept(tmp_path: Path) -> None:
    if not mount_quality(os.fsencode(tmp_path)).is_evidence:
        pytest.skip("the tests' file system keeps no atime")


def fill(lab: Lab, *, sizes: list[int], seed: int = 1) -> None:
    """Write files of these sizes; each was read on some days of the last year."""
    rng = random.Random(seed)
    today = lab.clock.now_ns() // NS_PER_DAY
    for number, size in enumerate(sizes):
        put(lab, f"f{number:02}.bin", days=8 + number % 5, size=size)
    scan(lab)
    with lab.catalog.write() as tx:
        for number in range(len(sizes)):
            row = row_of(lab, f"f{number:02}.bin")
            assert row is not None
            days = rng.sample(range(15, 300), rng.randrange(40))
            access.add(tx, [access.AccessDay(row.file_id, today - ago, "atime") for ago in days])


def hot_bytes(lab: Lab) -> int:
    """Return what really stands on the disk."""
    found = (path for path in lab.root.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in found if not path.name.startswith(".frostline"))


def capped(base: Path, capacity: int, **more: Any) -> Any:
    root = {"capacity": capacity, "high_water": 0.95, "low_water": 0.85}
    planning = {"premigrate": 0.0, "look_every": "256KiB"}
    return opened(base, root=root, planning=planning, **more)


def test_with_a_fifth_too_little_the_marks_hold_by_real_bytes_and_nothing_pinned_moves(tmp_path: Path) -> None:
    capacity = FILES * SIZE * 4 // 5
    with capped(tmp_path, capacity) as lab:
        fill(lab, sizes=[SIZE] * FILES)
        pinned = {f"f{number:02}.bin" for number in range(0, FILES, 4)}
        for path in pinned:
            pin(lab, path)
        assert hot_bytes(lab) > 0.95 * capacity
        report = cycle(lab.context, act=True, wait_parked=True)

        assert hot_bytes(lab) <= 0.85 * capacity
        assert all((lab.root / path).is_file() for path in pinned)
        assert report.plan.hot[0].shadow_nano_per_gib_month > 0
        assert report.plan.warnings == ()
        assert report.exit_code == 0


def test_files_that_arrive_during_a_cycle_make_others_leave(tmp_path: Path) -> None:
    capacity = FILES * SIZE * 4 // 5
    with capped(tmp_path, capacity) as lab:
        fill(lab, sizes=[SIZE] * FILES)
        arrivals = iter(range(12))

        def arrive(step: str) -> None:
            if step == "release.committed":
                for number in [next(arrivals, None) for _ in range(4)]:
                    if number is not None:
                        put(lab, f"new{number}.bin", days=0.1, size=SIZE)

        report = cycle(lab.with_steps(arrive), act=True, wait_parked=True)

        assert next(arrivals, None) is None
        assert all((lab.root / f"new{number}.bin").is_file() for number in range(12))
        assert hot_bytes(lab) < 0.95 * capacity
        assert any("files arrived meanwhile" in note for note in report.job.notes)


def test_what_a_cycle_may_release_holds_over_all_its_plans(tmp_path: Path) -> None:
    release = {"park_s": 0, "min_size": 0, "max_files_per_cycle": 5}
    with capped(tmp_path, FILES * SIZE * 4 // 5, release=release) as lab:
        fill(lab, sizes=[SIZE] * FILES)
        report = cycle(lab.context, act=True, wait_parked=True)

        assert report.job.files_done == 5
        assert hot_bytes(lab) == (FILES - 5) * SIZE


@pytest.mark.parametrize("seed", range(4))
def test_the_chosen_set_is_within_one_percent_of_an_exact_solvers(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    sizes = [4096 * rng.randrange(1, 60) for _ in range(FILES)]
    with capped(tmp_path, sum(sizes) * 4 // 5) as lab:
        fill(lab, sizes=sizes, seed=seed)
        plan = make_plan(lab.context)
        (room,) = plan.hot
        worth = {facts.path: worth_of(lab, facts) for facts in facts_of(lab)}
        leaving = [action for action in plan.actions if action.kind is ActionKind.MIGRATE]
        files = [(row.size_bytes, worth[row.path]) for row in facts_of(lab)]
        best = least_loss(files, room.used_bytes - room.low_bytes)

        assert sum(action.size_bytes for action in leaving) >= room.used_bytes - room.low_bytes
        assert sum(worth[action.path] for action in leaving) <= 1.01 * best


def facts_of(lab: Lab) -> list[FileFacts]:
    """Return what the planner knows of the files."""
    gathered = FolderFacts(lab.context, lab.context.roots[0], (), LinkTargets(), asks_history=True)
    return [facts for folder in gathered.folders() for facts in folder]


def worth_of(lab: Lab, facts: FileFacts) -> int:
    """Return what having the file hot saves a month."""
    policy = policy_of(lab.context)
    market = Market(policy.tiers, policy.prices, policy.terms.stall_usd_gib, NO_LIMITS, 0)
    return worth_nano_month(facts, policy.tiers["standard"], market, lab.clock.now_ns())


def test_outside_its_windows_the_daemon_moves_only_what_makes_room(tmp_path: Path) -> None:
    rules = [{"name": "old", "age": "10d", "tier": "standard"}]
    root = {"capacity": 0, "high_water": 1.0}
    with opened(tmp_path, root=root, rules=rules, planning={"windows": ["22:00-06:00"]}) as lab:
        put(lab, "a.bin", days=60, size=SIZE)
        midnight = datetime.fromtimestamp(lab.clock.now_ns() / 1e9, UTC).replace(hour=0, minute=0, second=0)
        lab.clock.advance((midnight.timestamp() + 36 * 3600) - lab.clock.now_ns() / 1e9)  # a noon
        said: list[str] = []
        report = cycle(lab.context, act=True, wait_parked=True, warn=said.append, keeps_windows=True)
        assert report.job.files_done == 0
        assert "nothing but what makes room moves before" in said[0]
        assert "22:00 (UTC)" in said[0]
        lab.clock.advance(11 * 3600)
        assert cycle(lab.context, act=True, wait_parked=True, keeps_windows=True).job.files_done == 1


def test_a_full_hot_tier_does_not_wait_for_a_window(tmp_path: Path) -> None:
    capacity = FILES * SIZE * 4 // 5
    root = {"capacity": capacity, "high_water": 0.95, "low_water": 0.85}
    closed = {"windows": ["03:00-03:01"], "premigrate": 0}
    with opened(tmp_path, root=root, planning=closed) as lab:
        fill(lab, sizes=[SIZE] * FILES)
        cycle(lab.context, act=True, wait_parked=True, keeps_windows=True)
        assert hot_bytes(lab) <= 0.85 * capacity
