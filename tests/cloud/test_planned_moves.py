"""What rules do with files that are stored already: plans move them to colder tiers, for the dollars that they say."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from policies.plan import ActionKind, Plan
from policies.plan_json import from_text, to_text
from policies.values import NS_PER_DAY
from tests.cloud.installation import Site
from tests.cloud.test_mover import CLASSES, books_agree, live
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, rows
from tests.whole.tree import noise
from tiering.catalog import accounts, files, ledger
from tiering.catalog.values import FileState
from tiering.jobs.apply import apply_plan
from tiering.jobs.charges import charge
from tiering.jobs.cycle import cycle
from tiering.jobs.explaining import explain_file
from tiering.jobs.migrate import migrate
from tiering.jobs.plan import make_plan
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.saved_plan import load_plan, save_plan
from tiering.jobs.scan import scan_root

pytestmark = pytest.mark.s3
MONTH_H = 730
SIZE = 300_000
DEEP = [{"name": "deep", "idle": "90d", "tier": "archive"}]


def put(lab: Lab, path: str, *, seed: int, days: float = 100, size: int = SIZE) -> None:
    """Write a file of noise last used so many days ago."""
    place = lab.write(path, noise(seed, size))
    at_ns = lab.clock.now_ns() - int(days * NS_PER_DAY)
    os.utime(place, ns=(at_ns, at_ns))


def scan(lab: Lab) -> None:
    scan_root(lab.context, lab.context.roots[0], confirm_missing=True)


def away(lab: Lab, paths: Sequence[bytes] = (), *, tier: str = "standard") -> None:
    """Store known files on *tier* and free them."""
    migrate(lab.context, items(lab, tier, paths))
    assert release(lab.context, items(lab, tier, paths), wait_parked=True).files_skipped == ()


def moved(plan: Plan) -> dict[str, tuple[str, str]]:
    """Return path -> (from, to) of the plan's moves."""
    return {a.path: (a.source, a.target) for a in plan.actions if a.kind is ActionKind.MOVE}


def booked(lab: Lab) -> Counter[str]:
    """Return what moving has cost so far by the ledger, account -> nano-dollars."""
    found: Counter[str] = Counter()
    with lab.catalog.read() as tx:
        for entry in ledger.entries(tx):
            if entry.kind == "early_delete" or entry.reason.startswith("mover"):
                found.update({line.account: line.amount for line in entry.lines if line.account != accounts.PAYABLE})
    return found


def quoted(plan: Plan) -> Counter[str]:
    """Return what the plan says its moves cost once, by account."""
    found: Counter[str] = Counter()
    for report in plan.moves:
        quote = report.quote
        found[accounts.COST_REQUESTS] += quote.request_nano
        found[accounts.COST_TRANSITION] += quote.transition_nano
        found[accounts.COST_RETRIEVAL] += quote.retrieval_nano
        found[accounts.COST_EARLY_DELETE] += quote.early_delete_nano
    return +found


def test_a_rule_sends_what_is_offline_to_the_archive_for_what_the_plan_said(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        for number, name in enumerate("abc"):
            put(lab, name, seed=number)
        scan(lab)
        away(lab)
        plan = make_plan(lab.context)
        assert moved(plan) == dict.fromkeys("abc", ("standard", "archive"))
        assert sum(action.once_nano for action in plan.actions) == plan.moves[0].quote.once_nano
        assert sum(action.saved_nano_month for action in plan.actions) == plan.totals.saved_nano_month
        assert from_text("".join(to_text(plan))) == plan
        charge(lab.context, reason="before")
        report = apply_plan(lab.context, plan, wait_parked=True)
        assert (report.files_done, report.files_skipped) == (3, ())
        assert {row.tier for row in rows(lab).values()} == {"archive"}
        assert {row.storage_class for row in live(lab)} == {"DEEP_ARCHIVE"}
        agree(lab, plan)
        books_agree(lab)
        assert make_plan(lab.context).actions == ()
        site.run(MONTH_H)
        assert site.differences(lab) == {}


def agree(lab: Lab, plan: Plan) -> None:
    """The books say what the plan said; retrieval is rounded down per pack in a quote, and once in the books."""
    rounded = sum(len(report.packs) for report in plan.moves)
    found, said = booked(lab), quoted(plan)
    assert abs(found[accounts.COST_RETRIEVAL] - said[accounts.COST_RETRIEVAL]) < max(1, rounded)
    del found[accounts.COST_RETRIEVAL], said[accounts.COST_RETRIEVAL]
    assert found == said


def test_leaving_a_class_early_is_in_the_quote_and_in_the_books(site: Site) -> None:
    with site.lab(CLASSES | {"rare": "STANDARD_IA"}, rules=DEEP) as lab:
        put(lab, "big", seed=1, size=4_000_000)
        scan(lab)
        away(lab, tier="rare")
        site.run(20 * 24)
        plan = make_plan(lab.context)
        quote = plan.moves[0].quote
        assert moved(plan) == {"big": ("rare", "archive")}
        assert quote.early_delete_nano > 0
        assert quote.retrieval_nano > 0
        assert "early deletion" in plan.actions[0].reason
        charge(lab.context, reason="before")
        apply_plan(lab.context, plan, wait_parked=True)
        agree(lab, plan)
        site.run(MONTH_H)
        assert site.differences(lab) == {}


@pytest.mark.heavy
def test_what_does_not_repay_its_early_deletion_waits_until_it_does(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP, chunking={"pack_bytes": "64MiB"}) as lab:
        put(lab, "a", seed=1, size=40_000_000)
        scan(lab)
        away(lab, tier="rare")
        plan = make_plan(lab.context)
        assert plan.actions == ()
        assert plan.totals.refused_by_cause == {"packs-stay": 1}
        site.run(91 * 24)
        assert moved(make_plan(lab.context)) == {"a": ("rare", "archive")}


def test_what_a_warmer_file_needs_as_well_stays_and_the_plan_says_so(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        put(lab, "old", seed=1)
        put(lab, "used", seed=1, days=5)
        scan(lab)
        away(lab)
        plan = make_plan(lab.context)
        assert plan.actions == ()
        (refused,) = plan.refused
        assert (refused.path, refused.cause) == ("old", "packs-stay")
        assert "something warmer needs them as well" in refused.reason
        site.run(90 * 24)
        scan(lab)
        assert set(moved(make_plan(lab.context))) == {"old", "used"}


@pytest.mark.heavy
def test_a_checkpoints_shards_go_together_or_not_at_all(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        for step, days in ((1, 200), (2, 200)):
            for shard in (1, 2):
                put(
                    lab,
                    f"run/checkpoint-{step}/model-{shard}-of-2.bin",
                    seed=10 * step + shard,
                    days=days,
                    size=4_000_000,
                )
        scan(lab)
        away(lab)
        used = lab.clock.now_ns() // NS_PER_DAY - 3
        row = rows(lab)[b"run/checkpoint-2/model-1-of-2.bin"]
        with lab.catalog.write() as tx:
            files.note_access(tx, {row.file_id: used * NS_PER_DAY}, quality="strict")
        plan = make_plan(lab.context)
        assert {path.split("/")[1] for path in moved(plan)} == {"checkpoint-1"}
        assert len(moved(plan)) == 2


def test_a_budget_puts_moves_off_before_anything_moves(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP, budget={"usd_per_day": 0.000_04}, chunking={"pack_bytes": "1MiB"}) as lab:
        for number, name in enumerate("abc"):
            put(lab, name, seed=number, size=1_500_000)
        scan(lab)
        away(lab)
        site.run(25)
        plan = make_plan(lab.context)
        assert plan.actions == ()
        assert plan.totals.refused_by_cause == {"budget": 3}
        assert apply_plan(lab.context, plan, wait_parked=True).files_done == 0
        assert {row.storage_class for row in live(lab)} == {"STANDARD"}


def test_p9_a_saved_move_is_refused_for_what_came_back_since(site: Site, tmp_path: Path) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        put(lab, "a", seed=1)
        put(lab, "b", seed=2)
        scan(lab)
        away(lab)
        save_plan(make_plan(lab.context), str(tmp_path / "plan"))
        assert recall(lab.context, items(lab, "standard", [b"a"]), reason="needed").exit_code == 0
        report = apply_plan(lab.context, load_plan(str(tmp_path / "plan")), wait_parked=True)
        drifted, left = report.files_skipped
        assert "it is dual now, not offline" in drifted.reason
        assert left.path.endswith("/b")  # they share a pack
        assert {path: row.tier for path, row in rows(lab).items()} == {b"a": "standard", b"b": "standard"}
        assert {row.storage_class for row in live(lab)} == {"STANDARD"}
        books_agree(lab)


@pytest.mark.heavy
def test_a_dual_file_is_released_and_its_copy_moves_in_one_plan(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        put(lab, "a", seed=1)
        scan(lab)
        migrate(lab.context, items(lab, "standard"))
        plan = make_plan(lab.context)
        assert sorted(str(action.kind) for action in plan.actions) == ["move", "release"]
        report = apply_plan(lab.context, plan, wait_parked=True)
        assert (report.files_done, report.files_skipped) == (1, ())
        assert {(row.tier, row.state) for row in rows(lab).values()} == {("archive", FileState.OFFLINE)}
        books_agree(lab)


@pytest.mark.heavy
def test_nothing_is_brought_nearer_by_a_rule(site: Site) -> None:
    with site.lab(CLASSES, rules=[{"name": "near", "age": "1d", "tier": "standard"}]) as lab:
        put(lab, "a", seed=1)
        scan(lab)
        away(lab, tier="archive")
        assert make_plan(lab.context).actions == ()
        said = explain_file(lab.context, lab.context.roots[0], b"", b"a").why
        assert "nothing is brought nearer to standard before somebody recalls it" in said.verdict.reasons[0]


STRATEGIES: Sequence[Mapping[str, Any]] = [
    {"strategy": "age", "steps": {"standard": "0d", "archive": "60d"}},
    {"strategy": "idle", "steps": {"standard": "0d", "archive": "60d"}},
    {"strategy": "frequency", "steps": {"standard": 1, "archive": 0}},
    {"strategy": "break_even"},
    {"strategy": "expected_cost"},
    {"strategy": "ewma"},
]


@pytest.mark.heavy
@pytest.mark.parametrize("rule", STRATEGIES, ids=lambda rule: str(rule["strategy"]))
def test_every_strategy_decides_about_what_is_stored(site: Site, rule: Mapping[str, Any]) -> None:
    free = {"stall_usd_per_gib": 0, "wait_usd_per_gib": 0}
    with site.lab(CLASSES, rules=[{"name": "it", **rule}], planning=free) as lab:
        put(lab, "a", seed=1, days=500, size=3_000_000)
        scan(lab)
        away(lab)
        found = moved(make_plan(lab.context))
        assert {path: target for path, (_, target) in found.items()} in ({"a": "archive"}, {"a": "rare"})


def test_a_cycle_of_the_daemon_moves_what_is_stored(site: Site) -> None:
    with site.lab(CLASSES, rules=DEEP) as lab:
        put(lab, "a", seed=1)
        scan(lab)
        away(lab)
        report = cycle(lab.context, act=True, wait_parked=True)
        assert report.job.files_done == 1
        assert {row.tier for row in rows(lab).values()} == {"archive"}
