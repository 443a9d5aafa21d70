"""The price book refuses holes, and the arithmetic on it is exact."""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import cost
from policies.offers import WATERFALL
from policies.price_fields import PriceBookError
from policies.price_overrides import overridden
from policies.prices import parse_book
from tests.policies.facts import GIB, book, book_data

BOOK = book()
SIZES = st.integers(0, 2**50)
CLASSES = st.sampled_from(WATERFALL)


def test_the_shipped_book_is_complete() -> None:
    assert set(BOOK.classes) == set(WATERFALL)
    assert BOOK.hot["gp3"] == 80_000_000
    assert BOOK.sources
    assert BOOK.as_of


def test_prices_are_exact_nano_dollars() -> None:
    standard = BOOK.price("STANDARD")

    assert standard.storage[0].nano_per_gib == 23_000_000
    assert standard.put_nano == 5_000
    assert standard.get_nano == 400
    assert BOOK.price("GLACIER").overhead == (("GLACIER", 32 * 1024), ("STANDARD", 8 * 1024))


def test_numbers_may_come_as_decimals() -> None:
    data = book_data()
    data["classes"]["STANDARD"]["put_1k"] = Decimal("0.005")

    assert parse_book(data).price("STANDARD").put_nano == 5_000


def _remove(*path: str) -> Callable[[dict[str, Any]], None]:
    def damage(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return damage


def _set(value: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def damage(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_remove("id"), "book.id: missing"),
        (_remove("classes", "GLACIER", "put_1k"), "classes.GLACIER.put_1k: missing"),
        (_remove("classes", "STANDARD"), 'no class "STANDARD"'),
        (_set({}, "classes", "SHOEBOX"), "unknown storage class"),
        (_set(-0.01, "classes", "STANDARD_IA", "retrieval_gib"), "must not be negative"),
        (_set(1e-12, "classes", "STANDARD", "get_1k"), "finer than a nano-dollar"),
        (_set("cheap", "classes", "STANDARD", "get_1k"), "must be a price"),
        (_set(True, "classes", "STANDARD", "get_1k"), "must be a price"),
        (_set(float("nan"), "classes", "STANDARD", "get_1k"), "must not be negative"),
        (_set(-1, "classes", "GLACIER", "min_days"), "whole number"),
        (_set([], "classes", "STANDARD", "storage_gib_month"), "must be a list of steps"),
        (_set(10, "classes", "STANDARD", "storage_gib_month", 2, "up_to_gib"), "null on the last step"),
        (_set(51200, "classes", "STANDARD", "storage_gib_month", 1, "up_to_gib"), "above the step before"),
        (_set({}, "classes", "GLACIER", "restore"), "must hold some of"),
        (_set({"fast": {}}, "classes", "GLACIER", "restore"), "must hold some of"),
        (_set([5, 3], "classes", "GLACIER", "restore", "bulk", "latency_h"), "[from, to]"),
        (_set(1, "classes", "STANDARD", "discount"), "classes.STANDARD.discount: unknown key"),
        (_set(1, "surprise"), "book.surprise: unknown key"),
        (_set("EUR", "currency"), "must be USD"),
        (_set(720, "month_hours"), "must be 730"),
        (_set([], "sources"), "a guess"),
        (_set(1, "energy", "kwh_per_tib_month", "floppy"), "neither a class nor a disk"),
        (_remove("energy", "grid_gco2e_per_kwh"), "energy.grid_gco2e_per_kwh: missing"),
        (_set("many", "energy", "kwh_per_tib_month", "gp3"), "must be a number"),
        (_set("yes", "hot", "gp3", "refundable"), "must be true or false"),
        (_set(5, "classes", "INTELLIGENT_TIERING", "access_tiers", 0, "after_days"), "begin at 0 and rise"),
        (_set(1, "classes", "INTELLIGENT_TIERING", "access_tiers", 1, "usd_gib_month"), "dearer than the tier before"),
    ],
)
def test_a_book_with_a_fault_is_refused_by_field(damage: Callable[[dict[str, Any]], None], said: str) -> None:
    data = book_data()
    damage(data)

    with pytest.raises(PriceBookError) as refused:
        parse_book(data)

    assert said in str(refused.value)


def test_energy_is_reckoned_by_tier() -> None:
    assert BOOK.energy.grams_month("gp3", 2**40) == pytest.approx(2.19 * 379)
    assert BOOK.energy.grams_month("nowhere", 2**40) == 0


def test_every_estimate_is_marked() -> None:
    assert not BOOK.disks["gp3"].is_estimate
    assert BOOK.disks["nvme"].is_estimate
    assert "Estimates" in BOOK.energy.source


def test_a_site_puts_its_own_prices_on_top() -> None:
    local = {
        "extends": "aws-us-east-1", "id": "mine@2026", "as_of": "2026-11", "from": "contract 17",
        "discount": {"storage": 0.1, "retrieval": 0.5},
        "classes": {"GLACIER": {"put_1k": 0.02}},
        "hot": {"array": {"usd_per_gib_month": 0.03, "as_of": "2026", "refundable": True}},
    }  # fmt: skip
    book = parse_book(overridden(book_data(), local))

    assert book.book_id == "mine@2026"
    assert book.price("STANDARD").storage[0].nano_per_gib == 20_700_000
    assert book.price("GLACIER_IR").retrieval_nano_per_gib == 15_000_000
    assert book.price("GLACIER").put_nano == 20_000
    assert book.price("INTELLIGENT_TIERING").access_tiers[1].nano_per_gib == 11_250_000
    assert book.disks["array"].is_refundable
    assert "contract 17" in book.sources[-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"discount": {"storage": 1.5}}, "within 0..1"),
        ({"discount": {"luck": 0.1}}, "discount.luck: unknown key"),
        ({"classes": {"SHOEBOX": {}}}, "no such class"),
        ({"classes": {"STANDARD": {"luck": 1}}}, "classes.STANDARD.luck: unknown key"),
        ({"surprise": 1}, "book.surprise: unknown key"),
    ],
)
def test_overrides_that_cannot_be_meant_are_refused(change: dict[str, Any], said: str) -> None:
    local = {"id": "mine", "as_of": "2026", "from": "me", **change}

    with pytest.raises(PriceBookError, match=said):
        parse_book(overridden(book_data(), local))


def test_a_month_of_a_gib_costs_its_price() -> None:
    assert cost.hold_usd_month(BOOK, "STANDARD", GIB) == 23_000_000
    assert cost.hold_usd_month(BOOK, "LOCAL", GIB) == 15_000_000
    assert cost.accrue_at(80_000_000, GIB, hours=730) == 80_000_000


def test_graduated_prices_are_marginal() -> None:
    at_edge = cost.hold_usd_month(BOOK, "STANDARD", 51200 * GIB)

    assert at_edge == 51200 * 23_000_000
    assert cost.hold_usd_month(BOOK, "STANDARD", 51201 * GIB) == at_edge + 22_000_000


def test_archived_objects_carry_their_overhead() -> None:
    # 32 KiB at GLACIER and 8 KiB at STANDARD for each of 1024 * 1024 objects: 32 and 8 GiB.
    assert cost.hold_usd_month(BOOK, "GLACIER", 0, objects=2**20) == 32 * 3_600_000 + 8 * 23_000_000


def test_small_objects_are_billed_at_the_smallest_size() -> None:
    assert cost.hold_usd_month(BOOK, "STANDARD_IA", 1, objects=8192) == 12_500_000  # 8192 * 128 KiB = 1 GiB


def test_monitoring_is_charged_for_objects_that_are_large_enough() -> None:
    plain = cost.hold_usd_month(BOOK, "INTELLIGENT_TIERING", GIB)

    assert cost.hold_usd_month(BOOK, "INTELLIGENT_TIERING", GIB, objects=1000) == plain + 2_500_000
    assert cost.hold_usd_month(BOOK, "INTELLIGENT_TIERING", 1000, objects=1000) == cost.hold_usd_month(
        BOOK, "INTELLIGENT_TIERING", 1000
    )


def test_a_recall_from_an_archive_pays_restore_retrieval_and_the_warm_copy() -> None:
    bulk = cost.recall_usd(BOOK, "GLACIER", GIB, gets=1, speed="bulk")
    expedited = cost.recall_usd(BOOK, "GLACIER", GIB, gets=1, speed="expedited")
    warm = cost.recall_usd(BOOK, "GLACIER", GIB, gets=1, speed="bulk", warm_days=1)

    assert bulk == 400
    assert expedited == 400 + 10_000_000 + 30_000_000
    assert warm - bulk == 23_000_000 * 24 // 730
    assert cost.recall_usd(BOOK, "STANDARD", GIB, gets=2, speed="bulk") == 800
    assert cost.restore_hours(BOOK, "GLACIER", speed="bulk") == 12
    assert cost.restore_hours(BOOK, "STANDARD", speed="bulk") == 0


def test_a_speed_that_the_class_lacks_is_refused() -> None:
    with pytest.raises(PriceBookError, match="no restore speed"):
        cost.recall_usd(BOOK, "DEEP_ARCHIVE", 1, gets=1, speed="expedited")


def test_early_deletion_pays_the_rest_of_the_minimum_stay() -> None:
    whole = cost.early_delete_usd(BOOK, "DEEP_ARCHIVE", GIB, held_hours=0)

    # Its 32 KiB of index stay as long as it; the 8 KiB billed as STANDARD have no minimum.
    assert whole == cost.accrue(BOOK, "DEEP_ARCHIVE", GIB + 32 * 1024, hours=180 * 24)
    assert 0 < cost.early_delete_usd(BOOK, "DEEP_ARCHIVE", GIB, held_hours=179 * 24) < whole
    assert cost.early_delete_usd(BOOK, "DEEP_ARCHIVE", GIB, held_hours=180 * 24) == 0
    assert cost.early_delete_usd(BOOK, "STANDARD", GIB, held_hours=0) == 0


def test_egress_is_graduated() -> None:
    assert cost.egress_usd(BOOK, GIB) == 90_000_000


def test_break_even_is_never_reached_without_a_saving() -> None:
    assert cost.break_even_days(saved_nano_month=0, once_nano=5) == math.inf
    assert cost.break_even_days(saved_nano_month=-1, once_nano=0) == math.inf
    assert cost.break_even_days(saved_nano_month=730, once_nano=24) == pytest.approx(1.0)
    assert cost.break_even_days(saved_nano_month=730, once_nano=24, min_days=90) == 90


@given(size=SIZES, storage_class=CLASSES, hours=st.integers(0, 10_000))
def test_accrual_is_a_whole_number_that_grows_with_size_and_time(size: int, storage_class: str, hours: int) -> None:
    amount = cost.accrue(BOOK, storage_class, size, hours=hours)

    assert isinstance(amount, int)
    assert 0 <= amount <= cost.accrue(BOOK, storage_class, size + 1, hours=hours)
    assert amount <= cost.accrue(BOOK, storage_class, size, hours=hours + 1)


@given(size=SIZES, storage_class=CLASSES, hours=st.integers(1, 1000))
def test_hour_by_hour_never_exceeds_the_whole_and_misses_under_a_nano_an_hour(
    size: int, storage_class: str, hours: int
) -> None:
    whole = cost.accrue(BOOK, storage_class, size, hours=hours)
    hourly = cost.accrue(BOOK, storage_class, size, hours=1) * hours

    assert whole - hours < hourly <= whole


@given(size=st.integers(0, 2**45), pack=st.integers(1, 2**30))
def test_a_files_share_of_a_put_is_never_too_little(size: int, pack: int) -> None:
    share = cost.packed_put_usd(BOOK, "STANDARD", size, pack_bytes=pack)

    assert (share - 1) * pack < 5_000 * size <= share * pack or share == size == 0


@pytest.mark.parametrize("call", [
    lambda: cost.accrue(BOOK, "STANDARD", -1, hours=1),
    lambda: cost.accrue_at(1, 1, hours=-1),
    lambda: cost.move_once_usd(BOOK, "STANDARD", puts=-1),
    lambda: cost.packed_put_usd(BOOK, "STANDARD", 1, pack_bytes=0),
])  # fmt: skip
def test_negative_amounts_are_refused(call: Callable[[], int]) -> None:
    with pytest.raises(ValueError, match="must"):
        call()
