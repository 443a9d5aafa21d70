"""Break-even keeps its bound on sequences made to hurt it."""

import numpy as np
import pytest

from policies.offers import Terms
from policies.optimum import optimum
from policies.simulator import simulate
from policies.strategies.break_even import BreakEven, bound, constant_usd
from policies.trace import Trace
from tests.policies.facts import GIB
from tests.policies.histories import ARCHIVES, INSTANT, history, table_for

HOT = Terms(hot="gp3", stall_usd_gib=0.0111)
SETTINGS = [
    (("STANDARD", "STANDARD_IA"), Terms()), (INSTANT, Terms()), (ARCHIVES, Terms()),
    (ARCHIVES, Terms(wait_usd_gib=0.03)), (INSTANT, HOT),
]  # fmt: skip
END = 2000


def adversarial(count: int, classes: tuple[str, ...], terms: Terms, seed: int) -> Trace:
    """Return sequences whose gaps lie around the strategy's thresholds and the minimum stays: a read when it hurts."""
    rng = np.random.default_rng(seed)
    probe = table_for(history([[]], end=2), classes, terms)
    pairs = [(a, b) for a in range(probe.classes) for b in range(a + 1, probe.classes)]
    days = [probe.break_even_days(0, a, b) for a, b in pairs] + probe.min_days.tolist()
    nasty = np.array([max(1, int(d) + shift) for d in days if np.isfinite(d) for shift in (0, 1, 2)] + [1, 1, 2])
    gaps = rng.choice(nasty, size=(count, 40))
    # half of them repeat one gap: the cruel adversary against a threshold
    gaps[::2] = gaps[::2, :1]
    gaps[::4, 1::2] = 1
    ticks = np.cumsum(gaps, axis=1)
    return history([row[row < END].tolist() for row in ticks], end=END, sizes=[GIB] * count)


def worst(count: int, seed: int) -> list[tuple[float, float]]:
    """Return, per setting, the largest ratio beyond the constant and the bound."""
    found = []
    for number, (classes, terms) in enumerate(SETTINGS):
        trace = adversarial(count, classes, terms, seed + number)
        table = table_for(trace, classes, terms)
        paid = simulate(trace, table, BreakEven()).usd_by_object - constant_usd(table, 0)
        found.append((float((paid / optimum(trace, table)).max()), bound(table, 0)))
    return found


def test_break_even_keeps_its_bound_on_adversarial_sequences() -> None:
    for ratio, limit in worst(2000, seed=11):
        assert ratio <= limit


@pytest.mark.heavy
def test_break_even_keeps_its_bound_on_a_million_sequences() -> None:
    for part in range(20):
        for ratio, limit in worst(10_000, seed=1000 * part):
            assert ratio <= limit


def test_an_idle_object_leaves_on_the_break_even_day() -> None:
    trace = history([[]], end=400)
    table = table_for(trace, ("STANDARD", "GLACIER_IR"))
    ids = np.array([0])
    trip = float(table.move(ids, np.array([False]))[0, 0, 1] + table.move(ids, np.array([False]))[0, 1, 0])
    day = (trip + table.hold[0, 1] * 90) / (table.hold[0, 0] - table.hold[0, 1])
    gib_days = simulate(trace, table, BreakEven()).gib_days

    assert gib_days[0] == np.ceil(day)
    assert gib_days[1] == 400 - np.ceil(day)


def test_a_steadily_read_object_settles() -> None:
    often = history([list(range(1, 1000, 2))], end=1000)
    seldom = history([list(range(300, 1000, 300))], end=1000)

    assert simulate(often, table_for(often), BreakEven()).moves == 0
    assert simulate(seldom, table_for(seldom), BreakEven()).moves <= 2 * 3
