"""Prices of single objects in arrays are those of policies.cost one by one, and of arithmetic by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.amounts import GIB
from policies.cost import accrue, early_delete_usd
from policies.object_costs import change, early, hold, move_once
from policies.prices import PriceBook
from tiering.config.price_books import load_book

BOOK: PriceBook = load_book("aws-us-east-1")
PLAIN = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
SIZES = st.integers(0, 50 * GIB)
KIB, MIB = 1024, 1024 * 1024


def at(size: int) -> np.ndarray:
    """Return one object as an array."""
    return np.array([size], np.int64)


@given(st.sampled_from(PLAIN), SIZES, st.integers(1, 1000))
def test_holding_costs_what_the_ledger_would_book(name: str, size: int, days: int) -> None:
    exact = accrue(BOOK, name, size, hours=days * 24, objects=1)
    assert hold(BOOK, name, at(size), days=days)[0] == pytest.approx(exact, rel=1e-9, abs=2)


@given(st.sampled_from(PLAIN), SIZES, st.integers(0, 200))
def test_leaving_early_costs_the_rest_of_the_stay(name: str, size: int, days: int) -> None:
    price = BOOK.price(name)
    found = early(BOOK, price, at(size), np.array([float(days)]))[0]
    exact = early_delete_usd(BOOK, name, size, held_hours=days * 24)
    assert found == pytest.approx(exact, rel=1e-6, abs=2)


def test_intelligent_tiering_cools_while_nobody_reads() -> None:
    tiers = BOOK.price("INTELLIGENT_TIERING").access_tiers
    by_hand = (30 * tiers[0].nano_per_gib + 60 * tiers[1].nano_per_gib + 10 * tiers[2].nano_per_gib) * 24 / 730
    monitor = BOOK.price("INTELLIGENT_TIERING").monitor_nano_per_object_month * 100 * 24 / 730
    assert hold(BOOK, "INTELLIGENT_TIERING", at(GIB), days=100)[0] == pytest.approx(by_hand + monitor)
    idle = hold(BOOK, "INTELLIGENT_TIERING", at(GIB), days=10, idle_days=np.array([95.0]))[0]
    assert idle == pytest.approx((10 * tiers[2].nano_per_gib) * 24 / 730 + monitor / 10)
    small = hold(BOOK, "INTELLIGENT_TIERING", at(100 * KIB), days=100, idle_days=200.0)[0]
    assert small == pytest.approx(hold(BOOK, "STANDARD", at(100 * KIB), days=100)[0])


def test_small_objects_are_not_worth_a_class_that_bills_them_as_larger() -> None:
    sizes = np.array([1 * KIB, 16 * KIB, 64 * KIB, 1 * MIB], np.int64)
    new = np.zeros(4)
    found = change(BOOK, "STANDARD", "STANDARD_IA", sizes, new, idle_days=new, horizon_days=365)
    assert list(found.gain > 0) == [False, False, False, True]
    assert found.break_even_days[0] == np.inf
    assert found.break_even_days[3] >= BOOK.price("STANDARD_IA").min_days


def test_an_object_pays_for_reading_it_out_of_its_class_and_for_leaving_early() -> None:
    held = np.array([10.0])
    found = change(BOOK, "STANDARD_IA", "GLACIER_IR", at(GIB), held, idle_days=held, horizon_days=365)
    look, put = BOOK.price("STANDARD_IA").get_nano, BOOK.price("GLACIER_IR").put_nano
    retrieval = BOOK.price("STANDARD_IA").retrieval_nano_per_gib
    left = 20 * 24 / 730 * BOOK.price("STANDARD_IA").storage[0].nano_per_gib
    assert found.once[0] == pytest.approx(look + put + retrieval + left)


def test_copies_above_five_gigabytes_are_paid_by_the_part() -> None:
    one = move_once(BOOK, "STANDARD", "GLACIER", at(5 * 10**9))[0]
    parts = move_once(BOOK, "STANDARD", "GLACIER", at(10 * GIB))[0]
    standard = BOOK.price("STANDARD")
    assert parts - one == 11 * standard.put_nano + standard.get_nano


def test_the_horizon_is_never_shorter_than_the_target_s_minimum_stay() -> None:
    new = np.zeros(1)
    short = change(BOOK, "STANDARD", "DEEP_ARCHIVE", at(GIB), new, idle_days=new, horizon_days=1)
    assert short.gain[0] < 0
    assert short.once[0] + short.gain[0] == pytest.approx(
        hold(BOOK, "STANDARD", at(GIB), days=1)[0] - hold(BOOK, "DEEP_ARCHIVE", at(GIB), days=180)[0]
    )
