"""The offline optimum equals the least of all schedules, and nobody undercuts it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.costs import CostTable
from policies.offers import Terms
from policies.optimum import optimum
from policies.simulator import simulate
from policies.strategies.fixed import Stay
from policies.trace import Trace
from tests.policies.facts import GIB
from tests.policies.histories import ARCHIVES, INSTANT, WITH_INT, history, table_for

HOT = Terms(hot="gp3", stall_usd_gib=0.0111)
SETTINGS = [(INSTANT, Terms()), (WITH_INT, Terms()), (ARCHIVES, Terms(wait_usd_gib=0.03)), (INSTANT, HOT)]
READS = st.lists(st.integers(1, 399), max_size=4, unique=True).map(sorted)


def cheapest(trace: Trace, table: CostTable, number: int) -> float:
    """Return the least cost of one object, by trying every class in every gap between reads."""
    reads = trace.ticks[trace.starts[number] : trace.starts[number + 1]].tolist()
    bounds = [0, *reads, int(trace.deaths[number])]
    schedules = itertools.product(range(table.classes), repeat=len(bounds) - 1)
    is_last = int(trace.deaths[number]) == trace.end_tick
    return min(_bill(schedule, bounds, table, number, is_last) for schedule in schedules)


def _bill(schedule: tuple[int, ...], bounds: list[int], table: CostTable, number: int, is_last: bool) -> float:
    ids = np.array([number])
    moves = table.move(ids, np.array([True]))[0]
    fetch = table.fetch(ids)[0]
    total = float(table.first()[number, schedule[0]])
    since = 0
    for gap, k in enumerate(schedule):
        begin, end = bounds[gap], bounds[gap + 1]
        total += float(table.hold_between(ids, np.array([k]), np.zeros(1), np.array([float(end - begin)]))[0])
        final = gap == len(schedule) - 1
        if not final:
            total += float(fetch[k])
        following = None if final else schedule[gap + 1]
        if following != k and not (final and is_last):
            total += float(table.hold[number, k]) * max(0.0, float(table.min_days[k]) - (end - since))
        if following is not None and following != k:
            total += float(moves[k, following])
            since = end
    return total


@pytest.mark.parametrize(("classes", "terms"), SETTINGS)
@settings(max_examples=25, deadline=None)
@given(reads=READS, size=st.sampled_from([50_000, 2**20, GIB]), end=st.integers(400, 900), is_deleted=st.booleans())
def test_it_is_the_least_of_all_schedules(
    classes: tuple[str, ...], terms: Terms, reads: list[int], size: int, end: int, is_deleted: bool
) -> None:
    trace = history([reads], end=end, sizes=[size], deaths=[end - 1 if is_deleted else end])
    table = table_for(trace, classes, terms)

    assert optimum(trace, table)[0] == pytest.approx(cheapest(trace, table, 0), rel=1e-9)


def test_further_moments_to_move_never_make_it_dearer() -> None:
    coarse = history([[10, 50, 200]], end=500)
    fine = history([list(range(1, 500))], end=500)
    counts = np.isin(fine.ticks, coarse.ticks).astype(np.int64)
    moments = Trace(**{name: getattr(fine, name) for name in Trace.__slots__} | {"counts": counts})  # type: ignore[attr-defined]

    table = table_for(coarse, ARCHIVES)
    assert optimum(moments, table)[0] <= optimum(coarse, table)[0] + 1e-12


def test_many_objects_are_solved_as_each_alone() -> None:
    rng = np.random.default_rng(7)
    reads = [sorted(rng.choice(700, size=rng.integers(0, 12), replace=False).tolist()) for _ in range(60)]
    together = history(reads, end=720)
    alone = [float(optimum(one, table_for(one, ARCHIVES))[0]) for one in (history([r], end=720) for r in reads)]

    assert optimum(together, table_for(together, ARCHIVES)) == pytest.approx(alone)


@pytest.mark.parametrize(("classes", "terms"), SETTINGS)
def test_no_class_held_for_ever_is_cheaper(classes: tuple[str, ...], terms: Terms) -> None:
    rng = np.random.default_rng(3)
    reads = [sorted(rng.choice(700, size=rng.integers(0, 30), replace=False).tolist()) for _ in range(50)]
    trace = history(reads, end=720)
    table = table_for(trace, classes, terms)
    best = optimum(trace, table)

    for k in range(table.classes):
        held = simulate(trace, table, Stay("stay", k)).usd_by_object
        assert (best <= held + 1e-12).all()
