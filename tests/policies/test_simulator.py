"""Bills of small histories, worked out by hand, and what every strategy keeps."""

import numpy as np
import pytest

from policies.offers import MONTH_DAYS, Offer, Terms, make_offers, stall_usd_gib
from policies.optimum import optimum
from policies.price_fields import PriceBookError
from policies.simulator import Dollar, simulate
from policies.strategies.break_even import BreakEven
from policies.strategies.expected import ExpectedCost
from policies.strategies.fixed import Frequency, Stay, Steps
from policies.strategies.frequency import Ewma
from policies.strategies.protocol import Strategy
from policies.synthetic import synthetic
from tests.policies.histories import ARCHIVES, BOOK, INSTANT, WITH_INT, history, table_for

HOT = Terms(hot="gp3", stall_usd_gib=0.0111)
EVERYONE: list[Strategy] = [
    Stay("all-standard", 0), Steps("age", [(0, 0), (30, 1), (90, 2)], by_age=True),
    Steps("idle", [(0, 0), (30, 1), (90, 2)], by_age=False), Frequency("frequency", [(0.05, 0), (0.01, 1), (0, 2)]),
    Ewma(), BreakEven(), ExpectedCost(Terms()),
]  # fmt: skip


def test_a_month_of_a_gib_in_standard_read_once() -> None:
    trace = history([[10]], end=73)
    bill = simulate(trace, table_for(trace), Stay("all", 0)).usd()

    # 73 days are 2.4 months: 2.4 x $0.023; one PUT $0.000005 and one GET $0.0000004
    assert bill["storage"] == pytest.approx(2.4 * 0.023)
    assert bill["requests"] == pytest.approx(0.000005 + 0.0000004)
    assert bill["retrieval"] == bill["early_delete"] == bill["monitoring"] == bill["stall"] == 0


def test_small_objects_pay_for_128_kib_in_standard_ia() -> None:
    trace = history([[]], end=73, sizes=[1000])
    bill = simulate(trace, table_for(trace), Stay("all", 1)).usd()

    assert bill["storage"] == pytest.approx(2.4 * 0.0125 * 128 / 2**20)


def test_leaving_early_pays_the_rest_of_the_minimum() -> None:
    trace = history([[10]], end=100)
    back = Steps("glacier-ir until read", [(0, 2)], by_age=False)
    bill = simulate(trace, table_for(trace), _ThenStandard(back)).usd()

    # ten days and then the other eighty of GLACIER_IR, $0.03 retrieved, 90 days of STANDARD
    assert bill["early_delete"] == pytest.approx(80 / MONTH_DAYS * 0.004)
    assert bill["retrieval"] == pytest.approx(0.03)
    assert bill["storage"] == pytest.approx(10 / MONTH_DAYS * 0.004 + 90 / MONTH_DAYS * 0.023)
    # PUT into GLACIER_IR, GET from it, PUT back into STANDARD: the read's bytes are not retrieved twice
    assert bill["requests"] == pytest.approx(0.00002 + 0.00001 + 0.000005)


def test_intelligent_tiering_cools_by_itself_and_is_monitored() -> None:
    trace = history([[100]], end=120)
    table = table_for(trace, WITH_INT)
    bill = simulate(trace, table, Stay("all", 2)).usd()

    assert table.offers[2].name == "INTELLIGENT_TIERING"
    cooled = 30 * 0.023 + 60 * 0.0125 + 10 * 0.004 + 20 * 0.023
    assert bill["storage"] == pytest.approx(cooled / MONTH_DAYS)
    assert bill["monitoring"] == pytest.approx(120 / MONTH_DAYS * 0.0000025)
    assert bill["retrieval"] == 0


def test_an_archive_pays_restore_overhead_and_the_warm_copy() -> None:
    trace = history([[50, 51]], end=73)
    table = table_for(trace, ARCHIVES, Terms(wait_usd_gib=0.03))
    outcome = simulate(trace, table, Stay("all", 3))
    bill = outcome.usd()

    assert bill["storage"] == pytest.approx(2.4 * (0.0036 * (1 + 32 / 2**20) + 0.023 * 8 / 2**20))
    assert bill["retrieval"] == pytest.approx(2 * 0.023 / MONTH_DAYS)  # bulk is free; two days of a copy at STANDARD
    assert bill["stall"] == pytest.approx(2 * 0.03)
    assert (outcome.recalls, outcome.waited_h) == (2, 24.0)


def test_packing_shares_requests_and_overheads() -> None:
    trace = history([[]], end=73, sizes=[2**20])
    alone, packed = (
        simulate(trace, table_for(trace, ARCHIVES, terms), Stay("all", 4)).usd()
        for terms in (Terms(), Terms(pack_bytes=64 * 2**20))
    )

    assert packed["requests"] == pytest.approx(alone["requests"] / 64)
    overhead = (0.00099 * 32 + 0.023 * 8) / 2**20
    assert alone["storage"] - packed["storage"] == pytest.approx(2.4 * overhead * 63 / 64)


def test_stored_bytes_shrink_by_the_reduction_ratio_but_a_stall_does_not() -> None:
    trace = history([[10]], end=73)
    whole, half = (
        simulate(trace, table_for(trace, INSTANT, terms), Stay("all", 1)).usd()
        for terms in (HOT, Terms(hot="gp3", stall_usd_gib=0.0111, reduction_ratio=0.5))
    )

    assert half["storage"] == pytest.approx(whole["storage"] / 2)
    assert half["stall"] == whole["stall"] == pytest.approx(0.0111)


def test_the_stall_of_a_waiting_node() -> None:
    assert stall_usd_gib(node_usd_h=40, recall_gib_s=1, blocks=1) == pytest.approx(0.0111, abs=1e-4)
    assert stall_usd_gib(node_usd_h=40, recall_gib_s=1, blocks=0) == 0
    with pytest.raises(ValueError, match="positive"):
        stall_usd_gib(node_usd_h=40, recall_gib_s=0, blocks=1)


@pytest.mark.parametrize(
    ("classes", "source", "target", "days"),
    # docs/facts: one idle period, one full read, back to STANDARD, 1 GiB
    [(INSTANT, 0, 1, 29.5), (INSTANT, 0, 2, 55.0), (ARCHIVES, 0, 3, 17.0)],
)
def test_break_even_days_are_those_of_the_price_pages(
    classes: tuple[str, ...], source: int, target: int, days: float
) -> None:
    table = table_for(history([[]], end=2), classes, Terms(warm_days=3))

    assert table.break_even_days(0, source, target) == pytest.approx(days, rel=0.02)


def test_an_archive_that_is_not_quick_enough_is_not_offered() -> None:
    with pytest.raises(PriceBookError, match="at most 1 h"):
        make_offers(BOOK, ["DEEP_ARCHIVE"], Terms(longest_wait_h=1))
    with pytest.raises(PriceBookError, match='no disk "floppy"'):
        make_offers(BOOK, ["STANDARD"], Terms(hot="floppy"))


@pytest.mark.parametrize("strategy", EVERYONE, ids=lambda strategy: strategy.name)
def test_dollars_add_up_and_are_never_below_the_optimum(strategy: Strategy) -> None:
    trace = synthetic("mixed", objects=120, days=500, seed=9)
    table = table_for(trace)
    outcome = simulate(trace, table, strategy)

    assert outcome.usd_by_object.sum() == pytest.approx(outcome.usd_total)
    assert outcome.gib_days.sum() == pytest.approx(float((table.gib * (trace.deaths - trace.births)).sum()))
    assert outcome.usd_total >= float(optimum(trace, table).sum())


def test_the_same_history_gives_the_same_bill() -> None:
    trace = synthetic("mixed", objects=80, days=400, seed=2)
    table = table_for(trace, WITH_INT)
    one, two = (simulate(trace, table, ExpectedCost(Terms())) for _ in range(2))

    assert np.array_equal(one.usd_by_object, two.usd_by_object)


@pytest.mark.parametrize("make", [lambda: ExpectedCost(Terms()), Ewma, BreakEven])
@pytest.mark.parametrize("every", [2, 20, 200])
def test_nothing_oscillates_under_a_constant_rate(make: type[Ewma], every: int) -> None:
    trace = history([list(range(every, 2000, every))] * 5, end=2000)

    assert simulate(trace, table_for(trace), make()).moves <= 5 * 4


def test_a_dearer_price_never_makes_a_fixed_placement_cheaper() -> None:
    trace = history([[5, 300]], end=400)
    cheap, dear = (simulate(trace, table_for(trace, INSTANT, Terms(hot="gp3", stall_usd_gib=s)), Stay("all", 3))
                   for s in (0.01, 0.02))  # fmt: skip

    assert dear.usd_total > cheap.usd_total
    assert dear.usd_by_kind[Dollar.STALL].sum() == pytest.approx(2 * cheap.usd_by_kind[Dollar.STALL].sum())


def test_a_ladder_is_integrated_by_idle_age() -> None:
    offer = Offer(name="x", rank=0, usd_gib_day=3.0, ladder=((0.0, 3.0), (10.0, 1.0)))

    assert offer.usd_gib_days(5, 15) == pytest.approx(5 * 3 + 5 * 1)


class _ThenStandard:
    """Begins as another strategy does and goes to class 0 at the first read."""

    name = "then-standard"

    def __init__(self, begin: Steps) -> None:
        self._begin = begin

    def first(self, scene, ids):  # type: ignore[no-untyped-def]
        return self._begin.first(scene, ids)

    def observe(self, scene, ids, counts, read_bytes) -> None:  # type: ignore[no-untyped-def]
        pass

    def review(self, scene, ids):  # type: ignore[no-untyped-def]
        answer = self._begin.review(scene, ids)
        answer.targets[scene.events[ids] > 0] = 0
        return answer
