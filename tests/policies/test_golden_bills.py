"""Frozen bills of a small history under every strategy, and worked examples of the providers' price pages.

The golden file is written anew by `python -m tests.policies.test_golden_bills`; a change of it is a change of what
people are told.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from policies.offers import MONTH_DAYS, Terms, make_offers
from policies.optimum import optimum
from policies.simulator import simulate
from policies.strategies.fixed import Stay
from policies.strategies.registry import make_strategy
from tests.policies.facts import GIB
from tests.policies.histories import ARCHIVES, BOOK, INSTANT, WITH_INT, history, table_for

GOLDEN = Path(__file__).with_name("golden_bills.json")
READS = [[2, 3, 4, 200], [], [40], list(range(7, 400, 7)), [1, 380], [90, 91, 92, 93]]
SIZES = [GIB, 20 * GIB, 300 * 2**20, 2 * GIB, 40_000, 7 * GIB]
DEATHS = [400, 400, 150, 400, 400, 400]
SETTINGS: dict[str, tuple[tuple[str, ...], Terms]] = {
    "instant": (INSTANT, Terms()),
    "with-int": (WITH_INT, Terms()),
    "archive-wait": (ARCHIVES, Terms(wait_usd_gib=0.03)),
    "hot-gp3": (INSTANT, Terms(hot="gp3", stall_usd_gib=0.0111)),
}
POLICIES = ("all-standard", "age-30-90", "idle-30-90", "frequency", "ewma", "break-even", "expected-cost")


def bills(setting: str) -> dict[str, Any]:
    """Return policy -> dollars by kind, and the optimum's total, to a millionth of a dollar."""
    classes, terms = SETTINGS[setting]
    trace = history(READS, end=400, sizes=SIZES, deaths=DEATHS)
    table, offers = table_for(trace, classes, terms), make_offers(BOOK, classes, terms)
    found: dict[str, Any] = {
        name: {kind: round(usd, 6) for kind, usd in simulate(trace, table, made).usd().items()}
        for name, made in ((name, make_strategy(name, offers, terms)) for name in POLICIES)
    }
    return {**found, "optimum": round(float(optimum(trace, table).sum()), 6)}


@pytest.mark.parametrize("setting", SETTINGS)
def test_bills_are_those_that_were_frozen(setting: str) -> None:
    frozen = json.loads(GOLDEN.read_text())[setting]
    now = bills(setting)

    assert now["optimum"] == pytest.approx(frozen["optimum"], abs=2e-6)
    assert set(now) == set(frozen)
    for policy in POLICIES:
        assert now[policy] == pytest.approx(frozen[policy], abs=2e-6), policy


def test_nobody_is_cheaper_than_the_optimum_in_the_golden_file() -> None:
    for frozen in json.loads(GOLDEN.read_text()).values():
        assert all(sum(frozen[policy].values()) >= frozen["optimum"] for policy in POLICIES)


# Worked examples: prices of docs/ and price pages times plain arithmetic, no code of ours between.


def test_100_gib_a_month_in_each_class() -> None:
    """Price pages: 100 GB-months of STANDARD $2.30, STANDARD_IA $1.25, GLACIER_IR $0.40, DEEP_ARCHIVE $0.099."""
    month = history([[]], end=73, sizes=[100 * GIB])  # 73 days are 2.4 months of 730 h
    table = table_for(month, ARCHIVES)
    names = [offer.name for offer in table.offers]

    for name, usd in (("STANDARD", 2.30), ("STANDARD_IA", 1.25), ("GLACIER_IR", 0.40), ("DEEP_ARCHIVE", 0.099)):
        bill = simulate(month, table, Stay(name, names.index(name))).usd()
        assert bill["storage"] / 2.4 == pytest.approx(usd, rel=1e-5)


@pytest.mark.parametrize(
    ("size", "days"),
    # facts: idle days after which a move has repaid one full read and the way back, per class and object size
    [(GIB, {"STANDARD_IA": 29.5, "GLACIER_IR": 55}), (2**20, {"STANDARD_IA": 76, "GLACIER_IR": 105})],
)
def test_break_evens_of_large_and_small_objects(size: int, days: dict[str, float]) -> None:
    table = table_for(history([[]], end=2, sizes=[size]), ARCHIVES, Terms(warm_days=3))
    names = [offer.name for offer in table.offers]

    for name, idle in days.items():
        assert table.break_even_days(0, 0, names.index(name)) == pytest.approx(idle, rel=0.03)


def test_the_minimum_of_deep_archive_costs_under_eight_days_of_standard() -> None:
    """facts: its 180 days cost no more than 7.7 days of STANDARD."""
    table = table_for(history([[]], end=2), ARCHIVES)
    minimum = table.hold[0, 4] * table.min_days[4]

    assert minimum / table.hold[0, 0] == pytest.approx(7.75, abs=0.1)


@pytest.mark.parametrize(("name", "kib"), [("GLACIER", 151), ("DEEP_ARCHIVE", 209)])
def test_the_smallest_object_worth_archiving_for_a_year(name: str, kib: int) -> None:
    """facts: below 151 KB (GLACIER) and 209 KB (DEEP_ARCHIVE) a year in STANDARD is cheaper than the move."""
    year = 12 * MONTH_DAYS
    sizes = [kib * 1000 * part // 100 for part in (90, 110)]
    table = table_for(history([[], []], end=2, sizes=sizes), ARCHIVES)
    target = [offer.name for offer in table.offers].index(name)
    stays = table.hold[:, 0] * year
    goes = table.move_request[0, target] + table.hold[:, target] * year

    assert stays[0] < goes[0]
    assert stays[1] > goes[1]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({setting: bills(setting) for setting in SETTINGS}, indent=1) + "\n")
