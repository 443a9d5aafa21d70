"""How sizes, durations and nano-dollars are written in reasons and verdicts.

One spelling for the whole plan, so that a reader can redo the arithmetic.
"""

from datetime import UTC, datetime
from decimal import Decimal

from policies.values import NS_PER_DAY, NS_PER_HOUR, NS_PER_S

GIB = 2**30
NANO = 1_000_000_000
"""Nano-dollars in a dollar."""

_UNITS = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def say_bytes(size_bytes: int) -> str:
    """Return e.g. "1.50 GiB"; below 1 KiB the exact bytes."""
    for unit, name in _UNITS:
        if abs(size_bytes) >= unit:
            return f"{size_bytes / unit:.2f} {name}"
    return f"{size_bytes} B"


def say_time(duration_ns: int) -> str:
    """Return e.g. "47.2 d" or, below two days, hours."""
    if duration_ns < 2 * NS_PER_DAY:
        return f"{duration_ns / NS_PER_HOUR:.1f} h"
    return f"{duration_ns / NS_PER_DAY:.1f} d"


def say_date(at_ns: int) -> str:
    """Return the day (UTC), e.g. "2026-11-21"."""
    return datetime.fromtimestamp(at_ns // NS_PER_S, UTC).strftime("%Y-%m-%d")


def say_usd(nano: int) -> str:
    """Return dollars with as many digits as carry meaning: cents above a dollar, three significant digits below."""
    dollars = nano / NANO
    if abs(dollars) >= 1:
        return f"${dollars:,.2f}"
    return f"${Decimal(f'{dollars:.3g}'):f}"


def say_dollars(usd: float) -> str:
    """Return an amount in dollars as say_usd() does."""
    return say_usd(round(usd * NANO))
