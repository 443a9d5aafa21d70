"""Thresholds are chosen on the earlier part and judged on the later, and the dollars of both are exact."""

from functools import partial

import pytest

from policies.costs import cost_table
from policies.offers import Terms, make_offers
from policies.simulator import simulate
from policies.strategies.registry import StrategyError, make_strategy
from policies.synthetic import synthetic
from policies.trace import TraceError
from policies.tuning import candidates, tune
from tests.policies.histories import BOOK, INSTANT, WITH_INT, history

OFFERS = make_offers(BOOK, INSTANT, Terms())
MAKE = partial(make_strategy, offers=OFFERS, terms=Terms())
NEVER_READ = "idle=0:STANDARD,180:GLACIER_IR"
SOON = "idle=0:STANDARD,3:GLACIER_IR"


def test_files_that_nobody_reads_choose_the_shorter_threshold() -> None:
    found = tune(history([[]] * 5, end=900), OFFERS, Terms(), MAKE, now=NEVER_READ, names=[SOON])

    assert found.best.policy == SOON
    # both are in GLACIER_IR in the last 300 days: the choice mattered once, and does not any more
    assert found.now.chosen_by_usd > found.best.chosen_by_usd
    assert found.saved_usd == pytest.approx(0)
    assert not found.is_worth_it


def test_the_later_period_has_no_say_in_the_choice() -> None:
    quiet_then_busy = history([list(range(620, 900, 2))] * 4, end=900)
    found = tune(quiet_then_busy, OFFERS, Terms(), MAKE, now="all-standard", names=[SOON])

    assert found.best.policy == SOON
    assert found.hindsight.policy == "all-standard" or found.saved_usd > 0
    assert found.saved_usd == pytest.approx(found.now.held_out_usd - found.best.held_out_usd)


def test_both_periods_add_up_to_the_whole_replay() -> None:
    trace = synthetic("mixed", objects=60, days=400, seed=4)
    table = cost_table(OFFERS, trace.sizes, Terms())
    found = tune(trace, OFFERS, Terms(), MAKE, now="expected-cost", names=["break-even", SOON, "ewma=half-life:15"])

    assert len(found.candidates) == 4
    for it in found.candidates:
        whole = simulate(trace, table, MAKE(it.policy)).usd_total
        assert it.chosen_by_usd + it.held_out_usd == pytest.approx(whole)
        assert it.chosen_by_usd > 0
        assert it.held_out_usd > 0
    assert [it.chosen_by_usd for it in found.candidates] == sorted(it.chosen_by_usd for it in found.candidates)


@pytest.mark.parametrize("classes", [("STANDARD",), INSTANT, WITH_INT])
def test_every_candidate_can_be_made(classes: tuple[str, ...]) -> None:
    offers = make_offers(BOOK, classes, Terms())

    for name in candidates(offers):
        assert make_strategy(name, offers, Terms()).name == name


def test_equals_keep_what_is_in_use() -> None:
    found = tune(history([[]], end=90), OFFERS, Terms(), MAKE, now="all-standard", names=["age=0:STANDARD"])

    assert found.best == found.now
    assert found.saved_usd == 0


def test_a_history_too_short_to_be_cut_is_refused() -> None:
    with pytest.raises(TraceError, match="too short"):
        tune(history([[]], end=3), OFFERS, Terms(), MAKE, now="ewma")
    with pytest.raises(ValueError, match="held_out"):
        tune(history([[]], end=30), OFFERS, Terms(), MAKE, now="ewma", held_out=1.0)


@pytest.mark.parametrize("said", ["ewma=halflife:3", "ewma=gain", "expected-cost=gain:2", "ewma=half-life:0"])
def test_knobs_that_mean_nothing_are_refused(said: str) -> None:
    with pytest.raises(StrategyError, match=said.partition("=")[0]):
        MAKE(said)


def test_a_half_life_of_its_own_forgets_sooner() -> None:
    trace = history([[*range(1, 60, 3)]] * 3, end=300)
    table = cost_table(OFFERS, trace.sizes, Terms())
    quick, usual, same = (simulate(trace, table, MAKE(name)) for name in ("ewma=half-life:7", "ewma", "ewma=gain:0.03"))

    assert quick.gib_days[0] < usual.gib_days[0]
    assert same.usd_total == usual.usd_total
