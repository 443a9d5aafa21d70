"""Which assumption moves the bill: every factor low and high, one at a time, the others as they are (a tornado).

Pure: takes a history, a price book's offers as a recipe, and returns rows sorted by swing. Strategies are made anew for
every cell, so that each learns from the changed world alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from policies.costs import cost_table
from policies.offers import Offer, Terms
from policies.simulator import simulate
from policies.strategies.protocol import Strategy
from policies.trace import Trace

Maker = Callable[[Sequence[Offer], Terms], Strategy]


@dataclass(frozen=True, slots=True)
class Factor:
    """One assumption, and by what it is multiplied."""

    name: str
    low: float
    high: float


FACTORS = (
    Factor("storage price", 0.8, 1.25),
    Factor("request price", 0.5, 2.0),
    Factor("retrieval price", 0.5, 2.0),
    Factor("reads", 0.5, 2.0),
    Factor("data volume", 0.8, 1.25),
    Factor("stored per logical byte", 0.8, 1.25),
    Factor("stall and wait per GiB", 0.5, 2.0),
    Factor("length of the history", 0.5, 0.75),
)
"""Ranges: list prices move little, habits of reading by factors of two; recall bandwidth is the stall's inverse."""


@dataclass(frozen=True, slots=True)
class Swing:
    """What one factor does to the bill, in dollars per day of history."""

    factor: Factor
    low_usd_day: float
    base_usd_day: float
    high_usd_day: float

    @property
    def swing(self) -> float:
        """How far apart the ends are."""
        return abs(self.high_usd_day - self.low_usd_day)


def tornado(trace: Trace, offers: Sequence[Offer], terms: Terms, make: Maker, *, seed: int = 0) -> list[Swing]:
    """Return the swing of every factor, the largest first. *seed* decides which reads are doubled or dropped."""
    base = _usd_day(trace, offers, terms, make)
    swings = []
    for factor in FACTORS:
        low, high = (
            _usd_day(*_changed(factor.name, times, trace, offers, terms, seed=seed), make)
            for times in (factor.low, factor.high)
        )
        swings.append(Swing(factor, low, base, high))
    return sorted(swings, key=lambda swing: -swing.swing)


def _usd_day(trace: Trace, offers: Sequence[Offer], terms: Terms, make: Maker) -> float:
    table = cost_table(offers, trace.sizes, terms)
    return simulate(trace, table, make(offers, terms)).usd_total / trace.days


def _changed(
    name: str, times: float, trace: Trace, offers: Sequence[Offer], terms: Terms, *, seed: int
) -> tuple[Trace, Sequence[Offer], Terms]:
    if name == "reads":
        return _thinned(trace, times, seed), offers, terms
    if name == "data volume":
        bigger = (trace.sizes * times).astype(np.int64)
        return replace(trace, sizes=bigger, read_bytes=(trace.read_bytes * times).astype(np.int64)), offers, terms
    if name == "length of the history":
        return trace.between(0, max(1, int(trace.end_tick * times))), offers, terms
    return trace, [_offer(offer, name, times) for offer in offers], terms


def _offer(offer: Offer, name: str, times: float) -> Offer:
    if name == "storage price":
        ladder = tuple((day, usd * times) for day, usd in offer.ladder)
        overhead = offer.overhead_usd_day * times
        return replace(offer, usd_gib_day=offer.usd_gib_day * times, ladder=ladder, overhead_usd_day=overhead)
    if name == "request price":
        return replace(
            offer, put_usd=offer.put_usd * times, transition_usd=offer.transition_usd * times,
            read_usd=offer.read_usd * times, event_usd=offer.event_usd * times,
            monitor_usd_day=offer.monitor_usd_day * times,
        )  # fmt: skip
    if name == "retrieval price":
        return replace(offer, read_usd_gib=offer.read_usd_gib * times, event_usd_gib=offer.event_usd_gib * times)
    if name == "stored per logical byte":
        return replace(offer, stored_ratio=offer.stored_ratio * times) if offer.is_packed else offer
    return replace(offer, stall_usd_gib=offer.stall_usd_gib * times)


def _thinned(trace: Trace, times: float, seed: int) -> Trace:
    """Return the history with every event kept with probability *times*, or read that many times as often.

    More reads come in other ticks too: each event is repeated at a random later tick of its object's life.
    """
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(trace.objects), np.diff(trace.starts))
    kept = rng.uniform(size=trace.events) < times
    extra = rng.uniform(size=trace.events) < times - 1
    left = np.maximum(trace.deaths[owners] - trace.births[owners], 1)
    moved = trace.births[owners] + np.floor(rng.uniform(size=trace.events) * left).astype(np.int64)
    who = np.concatenate([owners[kept], owners[extra]])
    when = np.concatenate([trace.ticks[kept], moved[extra]])
    counts = np.concatenate([trace.counts[kept], trace.counts[extra]])
    read_bytes = np.concatenate([trace.read_bytes[kept], trace.read_bytes[extra]])
    cell, place = np.unique(who * (trace.end_tick + 1) + when, return_inverse=True)
    count_sum = np.bincount(place, weights=counts, minlength=len(cell)).astype(np.int64)
    byte_sum = np.bincount(place, weights=read_bytes, minlength=len(cell)).astype(np.int64)
    owner, tick = np.divmod(cell, trace.end_tick + 1)
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=trace.objects))]).astype(np.int64)
    return replace(trace, starts=starts, ticks=tick, counts=count_sum, read_bytes=byte_sum)
