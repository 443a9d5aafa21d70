"""accrue: every hour booked once, also after downtime, at prices an auditor can recompute by hand."""

from itertools import pairwise
from pathlib import Path

import pytest

from policies.amounts import GIB
from policies.cost import UNIT
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn
from tiering.catalog import accounts, accruals, ledger
from tiering.config.policy import price_book
from tiering.jobs.accrue import accrue
from tiering.jobs.migrate import migrate
from tiering.jobs.storage_rates import AVOIDED, REALISED, State, rates

HOUR_S = 3600


def booked(lab: Lab) -> list[ledger.PostedEntry]:
    with lab.catalog.read() as tx:
        return [entry for entry in ledger.entries(tx) if entry.kind == accruals.KIND]


def store_something(lab: Lab) -> None:
    lab.write("a", bytes(range(256)) * 4000)
    learn(lab)
    migrate(lab.context, items(lab))


def test_each_whole_hour_is_booked_once(lab: Lab) -> None:
    store_something(lab)
    accrue(lab.context)
    lab.clock.advance(5 * HOUR_S)
    assert accrue(lab.context) in {5, 6}  # the books may have begun late in their first hour
    assert accrue(lab.context) == 0
    lab.clock.advance(HOUR_S)
    assert accrue(lab.context) == 1
    names = [entry.op_id for entry in booked(lab)]
    assert len(names) == len(set(names))


def test_downtime_of_a_month_is_caught_up_day_by_day(lab: Lab) -> None:
    store_something(lab)
    lab.clock.advance(30 * 24 * HOUR_S)
    assert accrue(lab.context) >= 30 * 24
    found = booked(lab)
    assert len(found) == 31  # cut at each midnight
    ends = [entry.at_ns for entry in found]
    assert all(later - earlier == 24 * HOUR_S * 10**9 for earlier, later in pairwise(ends[:-1]))


def dollars(lab: Lab) -> dict[tuple[str, str], int]:
    with lab.catalog.read() as tx:
        return accruals.dollars(tx)


@pytest.mark.parametrize("steps", [[400 * 24], [1] * 60 + [7] * 20 + [400 * 24 - 200]])
def test_p6_hours_add_up_to_the_nano_dollar_however_they_are_booked(lab: Lab, steps: list[int]) -> None:
    store_something(lab)
    lab.clock.advance(HOUR_S)
    accrue(lab.context)
    before = dollars(lab)
    for hours in steps:
        lab.clock.advance(hours * HOUR_S)
        accrue(lab.context)
    with lab.catalog.read() as tx:
        held = accruals.held_at(tx, lab.clock.now_ns())
    found = rates(lab.context.config, price_book(lab.context.config), State(held))
    for tier, rate in found.tiers.items():
        key = (accounts.COST_STORAGE, tier)
        assert dollars(lab).get(key, 0) - before.get(key, 0) - rate * 400 * 24 // UNIT in {0, 1}


def test_hours_before_the_bytes_came_do_not_pay_for_them(lab: Lab) -> None:
    lab.write("a", b"x" * 100)
    learn(lab)
    lab.clock.advance(3 * HOUR_S)
    accrue(lab.context)
    before = [entry.lines for entry in booked(lab)]
    store_something(lab)
    lab.clock.advance(2 * HOUR_S)
    accrue(lab.context)
    assert [entry.lines for entry in booked(lab)][: len(before)] == before


def test_p6_an_hour_is_what_the_formulas_say(tmp_path: Path) -> None:
    hot = {"usd_per_gib_month": 0.073}
    cold = {"standard": {"store": "memory://hour", "usd_per_gib_month": 0.0365}}
    with open_lab(tmp_path / "lab", hot=hot, tiers=cold) as lab:
        held = accruals.Held({
            (accounts.FILES_HOT_ONLY, ""): 10 * GIB,
            (accounts.FILES_OFFLINE, ""): 20 * GIB,
            (accounts.FILES_LOGICAL, ""): -30 * GIB,
            (accounts.BUCKET_LIVE, "standard"): 4 * GIB,
        })  # fmt: skip
        stock = {("standard", "STANDARD"): accruals.Standing(9, 4 * GIB)}
        found = rates(lab.context.config, price_book(lab.context.config), State(held, stock))
    # 0.073 $/GiB-month over 730 h is 100,000 nano-dollars per GiB-hour; 0.0365 is 50,000
    assert found.tiers["hot"] == 10 * 100_000 * UNIT
    assert found.tiers["standard"] == 4 * 50_000 * UNIT
    assert found.baseline == 30 * 100_000 * UNIT


@pytest.mark.parametrize("refundable", [True, False])
def test_p6_the_baseline_says_whether_it_is_money(tmp_path: Path, refundable: bool) -> None:
    with open_lab(tmp_path / "lab", hot={"refundable": refundable}) as lab:
        store_something(lab)
        lab.clock.advance(100 * HOUR_S)
        accrue(lab.context)
        found = dollars(lab)
        assert found[accounts.BASELINE_STORAGE, REALISED if refundable else AVOIDED] > 0
        assert sum(found.values()) == 0
