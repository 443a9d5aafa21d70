"""Where a new pack goes up that belongs in an archive class: straight there, or to STANDARD for some days first.

Pure. An archive class bills its minimum stay even of what is deleted the next day; STANDARD bills by the hour, but is
dearer, and a second request is needed. So the second way pays where packs die young. All amounts are expectations of
one pack in nano-dollars, up to the same moment: with a death rate of L a day, a pack stands E[min(T, w)] =
(1 - exp(-L w)) / L days of its first w, and what it owes to a class with a minimum of m days is
m + (exp(-L m) - exp(-L h)) / L days until day h.
"""

import math
from dataclasses import dataclass

from policies.amounts import GIB, say_usd
from policies.cost import HOURS_PER_DAY
from policies.prices import MONTH_HOURS, PriceBook

STANDARD = "STANDARD"
WAITS = (1, 2, 3, 5, 7, 10, 14, 21, 30)
"""Days that are weighed. Beyond 30, STANDARD costs more than any minimum stay that it could save."""
LOOKS = 3
"""GETs' worth of looking at an object while its class is changed."""
_PRIOR_DEATHS = 0.05
_PRIOR_PACK_DAYS = 30.0
# Of an installation that has seen nothing yet: one pack in 600 a day. Its weight is gone after a few dozen packs.


@dataclass(frozen=True, slots=True)
class Churn:
    """How young packs of a tier have fared."""

    deaths: int = 0
    """Doomed within their first 30 days."""
    pack_days: float = 0.0
    """Days that they were watched in, together."""

    @property
    def per_day(self) -> float:
        """Return the share that dies in a day: counted, shrunk towards what is usual."""
        return (self.deaths + _PRIOR_DEATHS) / (self.pack_days + _PRIOR_PACK_DAYS)


@dataclass(frozen=True, slots=True)
class Way:
    """One way up, for one pack."""

    wait_days: int
    """In STANDARD; 0: straight."""
    request_nano: int
    storage_nano: int
    """Minimum stay included, until the same day for all ways."""

    @property
    def nano(self) -> int:
        """Everything."""
        return self.request_nano + self.storage_nano


@dataclass(frozen=True, slots=True)
class Upload:
    """What was weighed for a class."""

    target: str
    churn: Churn
    straight: Way
    waiting: Way
    """The cheapest that waits."""

    @property
    def chosen(self) -> Way:
        """Return the cheaper one; of equal ones the straight one."""
        return self.waiting if self.waiting.nano < self.straight.nano else self.straight

    def sentence(self) -> str:
        """Return the arithmetic."""
        way, other = (self.straight, self.waiting)
        if self.chosen is self.waiting:
            way, other = other, way
        return (
            f"new packs go {_way(way, self.target)}: {_sum(way)} each; {_way(other, self.target)} {_sum(other)}; "
            f"{self.churn.per_day:.2%} of young packs go a day ({self.churn.deaths} of {self.churn.pack_days:.0f} "
            "pack-days)"
        )


def weigh(book: PriceBook, target: str, size_bytes: int, churn: Churn, *, part_puts: int = 0) -> Upload:
    """Return both ways up for a pack of *size_bytes* that belongs in *target*.

    *part_puts* are billed as STANDARD beside its own request either way: archive classes bill parts so. Raises
    PriceBookError for an unknown class.
    """
    ways = [_weigh(book, target, size_bytes, churn.per_day, wait_days=days) for days in WAITS]
    parts = book.price(STANDARD).put_nano * part_puts
    straight = _weigh(book, target, size_bytes, churn.per_day, wait_days=0)
    best = min(ways, key=lambda way: way.nano)
    return Upload(target, churn, _with(straight, parts), _with(best, parts))


def _with(way: Way, parts_nano: int) -> Way:
    return Way(way.wait_days, way.request_nano + parts_nano, way.storage_nano)


def _weigh(book: PriceBook, target: str, size_bytes: int, rate: float, *, wait_days: int) -> Way:
    cold, warm = book.price(target), book.price(STANDARD)
    ends = max(WAITS) + cold.min_days
    alive = math.exp(-rate * wait_days)
    first = warm.put_nano if wait_days else cold.put_nano
    later = alive * (cold.put_nano + LOOKS * warm.get_nano) if wait_days else 0.0
    owed_days = cold.min_days + _between(rate, cold.min_days, ends - wait_days)
    cold_day = _per_day(book, target, size_bytes)
    storage = _between(rate, 0, wait_days) * _per_day(book, STANDARD, size_bytes) + alive * owed_days * cold_day
    return Way(wait_days, round(first + later), round(storage))


def _between(rate: float, since: float, until: float) -> float:
    """Return the expected days that a pack stands between two of its ages."""
    return (math.exp(-rate * since) - math.exp(-rate * until)) / rate


def _per_day(book: PriceBook, storage_class: str, size_bytes: int) -> float:
    price = book.price(storage_class)
    rate = price.storage[0].nano_per_gib * max(size_bytes, price.min_billed_bytes)
    rate += sum(book.price(other).storage[0].nano_per_gib * overhead for other, overhead in price.overhead)
    return rate / GIB * HOURS_PER_DAY / MONTH_HOURS


def _way(way: Way, target: str) -> str:
    if not way.wait_days:
        return f"straight to {target}"
    return f"to STANDARD and after {way.wait_days} day{'s' if way.wait_days > 1 else ''} to {target}"


def _sum(way: Way) -> str:
    return f"{say_usd(way.nano)} ({say_usd(way.request_nano)} of requests, {say_usd(way.storage_nano)} of storage)"
