"""How old the numbers of a price book are. Providers change prices about once a year, and nobody is told."""

import re
from datetime import date

from policies.price_fields import PriceBookError
from policies.prices import PriceBook

STALE_MONTHS = 12
"""Older prices are said to be stale: look them up again, or bring an own book."""
_DATED = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-\d{2})?$")
_AT_END = re.compile(r"\(([^()]*)\)$")


def age_months(as_of: str, today: date) -> int:
    """Return whole months since *as_of* ("2026", "2026-06", "2024-07..2026-06": the end counts; a year: its January).

    Negative for a date to come. Raises PriceBookError on anything else.
    """
    match = _DATED.search(as_of)
    if match is None or not 1 <= int(match[2] or 1) <= 12:
        raise PriceBookError(f'as_of: "{as_of}" is no date: write 2026, 2026-06 or 2024-07..2026-06')
    return (today.year - int(match[1])) * 12 + today.month - int(match[2] or 1)


def stale_parts(book: PriceBook, today: date) -> list[str]:
    """Return what in *book* is older than STALE_MONTHS, and how old, in words: sources, disks, energy, the book."""
    dated = [("the book", book.as_of), ("energy", book.energy.as_of)]
    dated += [(name, disk.as_of) for name, disk in book.disks.items()]
    for source in book.sources:
        match = _AT_END.search(source)
        dated.append((source, match[1] if match else ""))
    ages = [(what, age_months(as_of, today)) for what, as_of in dated]
    return [f"{what}: {months} months old" for what, months in ages if months > STALE_MONTHS]
