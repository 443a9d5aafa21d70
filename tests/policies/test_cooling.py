"""The steps of a class that cools by itself, and why gc does not wait for a minimum stay."""

import json
from pathlib import Path

import pytest

import policies
from policies.cooling import ArchiveDays, monitoring_rate, step_at, step_rate, steps
from policies.cost import UNIT, accrue, early_delete_usd, rate
from policies.prices import PriceBook, parse_book
from policies.values import NS_PER_DAY

FOLDER = Path(policies.__file__).parent / "data"
BOOKS = [parse_book(json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]
AWS = next(book for book in BOOKS if book.book_id.startswith("aws"))
INT = AWS.price("INTELLIGENT_TIERING")
MIB = 2**20


def names(days: ArchiveDays) -> list[tuple[str, int]]:
    """Return (name, days) of each step."""
    return [(step.name, step.after_ns // NS_PER_DAY) for step in steps(INT, days)]


def test_the_steps_are_s3s_own() -> None:
    instant = [("frequent", 0), ("infrequent", 30), ("archive instant", 90)]
    assert names(ArchiveDays()) == instant
    assert names(ArchiveDays(archive=120)) == [*instant, ("archive access", 120)]
    assert names(ArchiveDays(archive=120, deep_archive=200)) == [
        *instant, ("archive access", 120), ("deep archive access", 200),
    ]  # fmt: skip
    assert names(ArchiveDays(deep_archive=180)) == [*instant, ("deep archive access", 180)]


def test_archived_after_90_days_an_object_is_never_in_the_instant_archive() -> None:
    assert names(ArchiveDays(archive=90)) == [("frequent", 0), ("infrequent", 30), ("archive access", 90)]


def test_fewer_days_than_s3_takes_are_refused() -> None:
    with pytest.raises(ValueError, match="does not archive after 89 days"):
        steps(INT, ArchiveDays(archive=89))
    with pytest.raises(ValueError, match="does not archive after 90 days"):
        steps(AWS.price("STANDARD"), ArchiveDays(archive=90))
    assert steps(AWS.price("STANDARD")) == ()


@pytest.mark.parametrize(("days", "step"), [(0, 0), (29.9, 0), (30, 1), (89, 1), (90, 2), (4000, 2)])
def test_an_object_is_on_the_step_of_its_idle_age(days: float, step: int) -> None:
    assert step_at(steps(INT), round(days * NS_PER_DAY)) == step


def test_a_month_on_each_step_costs_what_the_price_list_says() -> None:
    found = steps(INT, ArchiveDays(archive=120, deep_archive=200))
    month = [step_rate(AWS, step, 2**30, 1) * 730 / UNIT / 1e9 for step in found]
    name = 0.023 * 8 / 2**20
    index = 32 / 2**20
    assert month == pytest.approx([
        0.023, 0.0125, 0.004, 0.0036 * (1 + index) + name, 0.00099 * (1 + index) + name,
    ])  # fmt: skip
    assert monitoring_rate(INT, 1000) * 730 / UNIT / 1e9 == pytest.approx(0.0025)


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.book_id)
@pytest.mark.parametrize("size", [1000, 300_000, 64 * MIB])
def test_waiting_for_a_minimum_stay_is_never_cheaper_than_paying_the_rest_of_it(book: PriceBook, size: int) -> None:
    """So gc deletes as soon as it may: what is left is owed either way, and an archive's name is billed on top."""
    for name, price in book.classes.items():
        for held_days in range(0, price.min_days, 7):
            rest_hours = (price.min_days - held_days) * 24
            now = early_delete_usd(book, name, size, held_hours=held_days * 24)
            assert now <= accrue(book, name, size, hours=rest_hours, objects=1) + 1, name


@pytest.mark.parametrize("hours", [1, 7, 730, 8760])
def test_a_rate_times_hours_is_what_accrues(hours: int) -> None:
    for name in AWS.classes:
        assert rate(AWS, name, 300_000_000, objects=5) * hours // UNIT == accrue(
            AWS, name, 300_000_000, hours=hours, objects=5
        )
