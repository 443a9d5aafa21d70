"""Rules that leave the tier to a strategy: every one answers for live files, from what was recorded of them."""

import pytest

from policies.judging import Wishes
from policies.offers import Terms
from policies.placing import Site, history, place, tier_offers, wishes_of
from policies.planner import decide, explain
from policies.prices import MONTH_HOURS
from policies.rules import Choice, Rule, RuleError
from policies.values import NS_PER_DAY, AccessQuality, FileFacts
from tests.policies.facts import GIB, NOW_NS, TIERS, book, fact

SITE = Site(TIERS, book(), Terms(stall_usd_gib=0.0111, wait_usd_gib=0.03, pack_bytes=64 * 2**20))
TODAY = NOW_NS // NS_PER_DAY
STEPS = ((0.0, "hot"), (30.0, "standard"), (180.0, "archive"))
NAMES = ("break_even", "expected_cost", "ewma")


def used(path: str, *days_ago: int, written: float = 400) -> FileFacts:
    days = tuple(sorted(TODAY - ago for ago in days_ago))
    return fact(path, written=written, read=min(days_ago), active_days=days)


def wishes(files: list[FileFacts], choice: Choice) -> list[str]:
    return [wish.target for wish in place(files, choice, SITE, NOW_NS)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_daily_stays_and_what_nobody_read_for_a_year_goes(name: str) -> None:
    busy = [used(f"d/busy-{i}.npy", *range(90)) for i in range(20)]
    idle = [used(f"d/idle-{i}.npy", 390) for i in range(20)]
    found = wishes([*busy, *idle], Choice(name))

    assert set(found[:20]) == {"hot"}
    assert "hot" not in found[20:]


def test_steps_go_by_the_last_use_or_by_age() -> None:
    files = [used("a", 10), used("b", 40), used("c", 200)]

    assert wishes(files, Choice("idle", STEPS)) == ["hot", "standard", "archive"]
    assert wishes(files, Choice("age", STEPS)) == ["archive"] * 3


def test_frequency_goes_by_days_of_use() -> None:
    often, seldom = used("a", *range(60)), used("b", 300, written=700)
    choice = Choice("frequency", ((0.1, "hot"), (0.0, "standard")))

    assert wishes([often, seldom], choice) == ["hot", "standard"]


def test_intelligent_tiering_needs_a_tier_of_its_class() -> None:
    with pytest.raises(RuleError, match="INTELLIGENT_TIERING"):
        wishes([fact()], Choice("intelligent_tiering"))


def test_a_tier_that_is_not_allowed_is_never_wished() -> None:
    site = Site({name: TIERS[name] for name in ("hot", "standard")}, SITE.prices, SITE.terms)
    (wish,) = place([used("a", 390)], Choice("expected_cost"), site, NOW_NS)

    assert wish.target == "standard"


def test_the_offers_of_tiers_carry_the_operators_prices() -> None:
    hot, standard, archive = tier_offers(SITE)

    assert [offer.name for offer in (hot, standard, archive)] == ["hot", "standard", "archive"]
    assert hot.usd_gib_day * MONTH_HOURS / 24 == pytest.approx(0.08)
    assert (standard.read_usd, standard.stall_usd_gib) == (0, 0.0111)
    assert archive.wait_h > 0


def test_a_history_begins_where_watching_did() -> None:
    recent = fact("a", written=400, read=100, first_seen_ns=NOW_NS - 10 * NS_PER_DAY)
    trace = history([recent, used("b", 5, 3)], NOW_NS)

    assert trace.end_tick - 1 - trace.births[0] == 100  # idle since its last use: proven, whenever it was first seen
    assert list(trace.end_tick - 1 - trace.ticks) == [5, 3]


def test_unknown_reading_is_never_asked_about_except_by_age() -> None:
    blind = fact(read=None, quality=AccessQuality.NONE)
    by_cost = Rule(name="cost", target="hot", strategy=Choice("expected_cost"))
    by_age = Rule(name="age", target="hot", strategy=Choice("age", STEPS))

    assert wishes_of([blind], [by_cost], SITE, NOW_NS) == {}
    assert [wish.target for wish in wishes_of([blind], [by_age], SITE, NOW_NS).values()] == ["archive"]


def test_a_strategy_rule_decides_and_explain_shows_its_dollars() -> None:
    rule = Rule(name="cost", target="hot", strategy=Choice("break_even"))
    facts = used("d/a.npy", 390)
    asked: Wishes = wishes_of([facts], [rule], SITE, NOW_NS)
    (action,) = decide([facts], [rule], TIERS, SITE.prices, NOW_NS, wishes=asked)
    said = explain(facts, [facts], [rule], TIERS, prices=SITE.prices, now_ns=NOW_NS, wishes=asked)

    assert action.target == said.target != "hot"
    assert "hot $0.08 a month" in said.weighed
    assert "is repaid in" in said.weighed
    assert said.weighed in action.reason
    assert facts.size_bytes == GIB
