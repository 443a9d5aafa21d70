"""Straight to the archive, or to STANDARD first: by price, by hand, and never dearer than going straight."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import policies
from policies.prices import parse_book
from policies.uploading import LOOKS, WAITS, Churn, weigh

BOOK = parse_book(json.loads((Path(policies.__file__).parent / "data" / "aws-us-east-1.json").read_text()))
MIB = 2**20
PACK = 64 * MIB


@pytest.mark.parametrize("target", ["GLACIER", "DEEP_ARCHIVE"])
def test_what_lives_long_goes_straight(target: str) -> None:
    found = weigh(BOOK, target, PACK, Churn(deaths=0, pack_days=10_000))
    assert found.chosen is found.straight
    assert found.straight.request_nano == BOOK.price(target).put_nano
    assert f"straight to {target}" in found.sentence()


def test_what_dies_young_waits_in_standard() -> None:
    """Nine of ten packs are gone after a day: the minimum stay of 90 or 180 days would be paid for nothing."""
    found = weigh(BOOK, "DEEP_ARCHIVE", PACK, Churn(deaths=900, pack_days=400))
    assert found.chosen is found.waiting
    assert 1 <= found.waiting.wait_days <= 14
    assert f"to STANDARD and after {found.waiting.wait_days} days to DEEP_ARCHIVE" in found.sentence()
    assert "(900 of 400 pack-days)" in found.sentence()


def test_an_installation_that_has_seen_nothing_goes_straight() -> None:
    assert weigh(BOOK, "DEEP_ARCHIVE", PACK, Churn()).chosen.wait_days == 0


def test_the_straight_way_owes_its_minimum_stay_whatever_happens() -> None:
    found = weigh(BOOK, "GLACIER", PACK, Churn(deaths=1_000_000, pack_days=1))
    by_hand = 0.0036 * 1e9 * (PACK + 32 * 1024) / 2**30 * 90 * 24 / 730 + 0.023 * 1e9 * 8192 / 2**30 * 90 * 24 / 730
    assert found.straight.storage_nano == pytest.approx(by_hand, rel=1e-6)


@given(
    st.sampled_from(["GLACIER", "DEEP_ARCHIVE"]),
    st.integers(1000, 5 * 2**30),
    st.integers(0, 10_000),
    st.floats(0, 1e6),
)
def test_the_chosen_way_is_never_the_dearer_one(target: str, size: int, deaths: int, pack_days: float) -> None:
    found = weigh(BOOK, target, size, Churn(deaths, pack_days))
    assert found.chosen.nano == min(found.straight.nano, found.waiting.nano)
    assert found.waiting.wait_days in WAITS


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.6])
def test_expectations_are_those_of_many_packs(rate: float) -> None:
    """Ten thousand packs whose lives are drawn, each billed day by day as S3 does."""
    churn = Churn(deaths=round(rate * 1e6), pack_days=1e6)
    found = weigh(BOOK, "DEEP_ARCHIVE", PACK, churn)
    draw = random.Random(7)
    lives = [draw.expovariate(churn.per_day) for _ in range(20_000)]
    price, warm = BOOK.price("DEEP_ARCHIVE"), BOOK.price("STANDARD")
    ends = max(WAITS) + price.min_days
    per_day = 24 / 730 / 2**30
    cold_day = (price.storage[0].nano_per_gib * (PACK + 32768) + warm.storage[0].nano_per_gib * 8192) * per_day
    warm_day = warm.storage[0].nano_per_gib * PACK * per_day
    for way in (found.straight, found.waiting):
        wait = way.wait_days
        total = 0.0
        for life in lives:
            total += warm_day * min(life, wait) + (warm.put_nano if wait else price.put_nano)
            if life > wait or not wait:
                total += (price.put_nano + LOOKS * warm.get_nano) if wait else 0
                total += cold_day * max(min(life, ends) - wait, price.min_days)
        assert way.nano == pytest.approx(total / len(lives), rel=0.02)
