"""Old prices are called old, part by part."""

from datetime import date

import pytest

from policies.price_age import age_months, stale_parts
from policies.price_fields import PriceBookError
from tests.policies.facts import book
from tiering.config.price_books import load_book, shipped_books


@pytest.mark.parametrize(
    ("as_of", "months"),
    [("2026", 10), ("2026-06", 5), ("2026-06-30", 5), ("2024-07..2026-06", 5), ("2025-11", 12), ("2027-01", -2)],
)
def test_the_age_counts_from_the_last_date(as_of: str, months: int) -> None:
    assert age_months(as_of, date(2026, 11, 3)) == months


@pytest.mark.parametrize("as_of", ["", "lately", "2026-13"])
def test_what_is_no_date_is_refused(as_of: str) -> None:
    with pytest.raises(PriceBookError, match="no date"):
        age_months(as_of, date(2026, 1, 1))


def test_parts_grow_stale_one_by_one() -> None:
    told = book()

    assert not [said for said in stale_parts(told, date(2026, 6, 30)) if said.startswith("the book")]
    later = stale_parts(told, date(2027, 7, 1))
    assert "the book: 13 months old" in later
    assert len(later) > len(stale_parts(told, date(2026, 6, 30)))


@pytest.mark.parametrize("name", shipped_books())
def test_every_number_that_is_shipped_has_a_date(name: str) -> None:
    assert stale_parts(load_book(name), date(2000, 1, 1)) == []
