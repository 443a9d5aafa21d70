"""The heat table learns rates from reads and from silence, per kind and size, and forgets them again."""

import numpy as np
import pytest

from policies.costs import cost_table
from policies.heat import LEVELS, NEWBORN, Heat, level_heat, next_levels, prior_rates, size_groups
from policies.offers import Terms, make_offers
from policies.simulator import simulate
from policies.strategies.expected import ExpectedCost, Problem
from policies.strategies.fixed import Stay
from policies.strategies.registry import NAMES, StrategyError, baselines, make_strategy
from tests.policies.facts import GIB
from tests.policies.histories import BOOK, WITH_INT, history, table_for

ONE, ZERO = np.ones(1), np.zeros(1, np.int64)


def heat() -> Heat:
    """Return a table of two kinds with one size each."""
    return Heat(2, np.array([0, 1]), tick_days=1.0)


def test_nothing_seen_is_the_prior() -> None:
    table = heat()

    assert table.chances()[0] == pytest.approx(np.minimum(-np.expm1(-prior_rates(table.edges)), 0.999))


def test_silence_lowers_and_reads_raise_the_chance() -> None:
    cold, hot = heat(), heat()
    before = cold.chances()[0, NEWBORN, 0]
    cold.watch(ZERO, ZERO, ZERO, ONE * 5000)
    hot.watch(ZERO, ZERO, ZERO, ONE * 5000)
    for _ in range(2500):
        hot.read(ZERO, ZERO, ZERO, ONE, ONE)

    assert cold.chances()[0, NEWBORN, 0] < before / 5
    assert hot.chances()[0, NEWBORN, 0] == pytest.approx(0.5, abs=0.01)


def test_a_kind_without_evidence_borrows_from_the_site() -> None:
    table = heat()
    table.watch(ZERO, ZERO, ZERO, ONE * 5000)

    own, other = table.chances()[:, NEWBORN, 0]
    assert own <= other < heat().chances()[1, NEWBORN, 0]


def test_what_was_learned_fades_towards_the_prior() -> None:
    table = heat()
    table.watch(ZERO, ZERO, ZERO, ONE * 1000)
    learned = table.chances()[0, NEWBORN, 0]
    table.forget(3600.0)

    assert learned < table.chances()[0, NEWBORN, 0] == pytest.approx(heat().chances()[0, NEWBORN, 0], rel=0.05)


def test_levels_are_whole() -> None:
    edges = heat().edges

    assert len(level_heat()) == LEVELS
    assert next_levels(edges).shape == (LEVELS, len(edges))
    assert next_levels(edges).min() > NEWBORN
    assert next_levels(edges).max() < LEVELS
    assert size_groups(np.array([1.0, GIB])).tolist() == [0, 4]


def test_buckets_no_shorter_than_a_tick() -> None:
    assert Heat(1, ZERO, tick_days=30.0).edges[:3].tolist() == [0, 30, 45]


def test_the_plan_for_certain_rates_is_the_cheapest_class() -> None:
    """With a read in every tick, or never one, the solved dollars are those of sitting in the best class."""
    terms = Terms()
    table = cost_table(make_offers(BOOK, ("STANDARD", "GLACIER_IR"), terms), np.array([GIB]), terms)
    edges = heat().edges
    problem = Problem(table, edges, 360.0, tick_days=1.0)
    shape, ones = (1, LEVELS, len(edges)), np.ones((1, LEVELS))
    problem.solve(np.arange(shape[0]), np.full(shape, 0.999), ones, ones, sweeps=40)
    busy = problem.stay[0, -1, 0].copy()
    problem.solve(np.arange(shape[0]), np.full(shape, 1e-9), ones, ones, sweeps=40)
    quiet = problem.stay[0, NEWBORN, 0]
    days = 1 / (1 - np.exp(-1 / 360))

    assert busy.argmin() == 0
    assert busy[0] == pytest.approx(days * (0.023 * 12 / 365 + 0.0000004), rel=0.01)
    assert quiet.argmin() == 1
    assert quiet[1] == pytest.approx(days * 0.004 * 12 / 365, rel=0.02)


@pytest.mark.parametrize(("reads", "hot"), [(list(range(3, 400, 3)), True), ([], False)])
def test_a_site_is_found_out_within_weeks(reads: list[int], hot: bool) -> None:
    """Files that are all born hot stay; files that are never read are soon born cold."""
    trace = history([reads] * 200, end=400)
    table = table_for(trace, ("STANDARD", "GLACIER_IR"))
    shares = simulate(trace, table, ExpectedCost(Terms())).gib_days / (200 * 400)

    assert shares[0 if hot else 1] > 0.9


def test_a_promise_is_left_only_for_a_clear_gain() -> None:
    """Whatever is offered beside it, a class that cools by itself is never far from the best."""
    reads = [list(range(start, 700, 40)) for start in range(1, 60)]
    trace = history(reads, end=700)
    table = table_for(trace, WITH_INT)
    promise = simulate(trace, table, Stay("all-int", 2)).usd_total

    assert simulate(trace, table, ExpectedCost(Terms())).usd_total <= 1.02 * promise


def test_every_name_makes_a_strategy_and_baselines_follow_the_classes() -> None:
    terms = Terms(hot="gp3")
    offers = make_offers(BOOK, WITH_INT, terms)

    assert {make_strategy(name, offers, terms).name for name in NAMES} == set(NAMES)
    assert baselines(offers) == ["all-hot", "all-standard", "all-int", "age-30-90", "idle-30-90"]
    assert isinstance(make_strategy("all-glacier_ir", offers, terms), Stay)
    for wrong in ("all-shoebox", "luck", "idle=3:gp3", "ewma=0:gp3", "age=x:gp3"):
        with pytest.raises(StrategyError):
            make_strategy(wrong, offers, terms)
