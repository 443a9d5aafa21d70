"""accrue: every hour booked once, also after downtime, at prices an auditor can recompute by hand."""

from itertools import pairwise
from pathlib import Path

import pytest

from policies.amounts import GIB
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn
from tiering.catalog import accounts, accruals, ledger
from tiering.config.policy import price_book
from tiering.jobs.accrue import AVOIDED, REALISED, accrue, hour_amounts
from tiering.jobs.migrate import migrate

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


def test_downtime_of_a_month_is_caught_up_hour_by_hour(lab: Lab) -> None:
    store_something(lab)
    lab.clock.advance(30 * 24 * HOUR_S)
    assert accrue(lab.context) >= 30 * 24
    ends = [entry.at_ns for entry in booked(lab)]
    assert all(later - earlier == HOUR_S * 10**9 for earlier, later in pairwise(ends))


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


@pytest.mark.parametrize("refundable", [True, False])
def test_p6_an_hour_is_what_the_formulas_say(tmp_path: Path, refundable: bool) -> None:
    hot = {"usd_per_gib_month": 0.073, "refundable": refundable}
    cold = {"standard": {"store": f"memory://hour-{refundable}", "usd_per_gib_month": 0.0365}}
    with open_lab(tmp_path / "lab", hot=hot, tiers=cold) as lab:
        held = accruals.Held({
            (accounts.FILES_HOT_ONLY, ""): 10 * GIB,
            (accounts.FILES_OFFLINE, ""): 20 * GIB,
            (accounts.FILES_LOGICAL, ""): -30 * GIB,
            (accounts.BUCKET_LIVE, "standard"): 4 * GIB,
        })  # fmt: skip
        amounts, _ = hour_amounts(
            *(lab.context, price_book(lab.context.config)),
            held=held,
            stock={("standard", "STANDARD"): accruals.Standing(9, 4 * GIB)},
            hour_no=500_000,
        )
    found = {(line.account, line.tier): line.amount for line in amounts.lines()}
    # 0.073 $/GiB-month over 730 h is 100,000 nano-dollars per GiB-hour; 0.0365 is 50,000
    assert found[accounts.COST_STORAGE, "hot"] == 10 * 100_000
    assert found[accounts.COST_STORAGE, "standard"] == 4 * 50_000
    assert found[accounts.BASELINE_STORAGE, REALISED if refundable else AVOIDED] == 30 * 100_000
    assert sum(line.amount for line in amounts.lines()) == 0
