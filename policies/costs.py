"""Offers spread over objects: dollars per object and class, as arrays that simulator, optimum and strategies share.

c_b = price * max(size, smallest billed) + overheads; a move down the waterfall is a request, a move up is a read
(unless one was just paid for) and a write; leaving before the minimum stay pays the rest of it. Requests and
overheads of packed objects fall on the pack and are shared by size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.offers import GIB_F, Offer, Terms
from policies.trace import Bools, Floats, Ints

Matrix = npt.NDArray[np.float64]
"""Two- or three-dimensional: [object, class] or [object, from, to]."""


@dataclass(frozen=True, slots=True)
class CostTable:
    """All costs of some objects in some classes, in dollars; classes in the order of *offers* (warmest first)."""

    offers: tuple[Offer, ...]
    gib: Floats
    """Logical size."""
    share: Floats
    """Of an object's requests: 1, or its part of a pack."""
    hold: Matrix
    """[object, class] per day; of a class with a ladder, at its first step."""
    ladder_gib: Matrix
    """[object, class] GiB that cool along the ladder; 0 where the class has none or the object is too small."""
    monitor: Matrix
    """[object, class] the part of hold that is monitoring."""
    event_requests: Matrix
    """[object, class] per event."""
    event_retrieval: Matrix
    event_stall: Matrix
    read_requests: Floats
    """[class] per read."""
    read_retrieval_byte: Floats
    """[class] per byte read."""
    min_days: Floats
    """[class]"""
    is_up: npt.NDArray[np.bool_]
    """[from, to]: the way back up the waterfall, which needs the bytes."""
    move_request: Matrix
    """[from, to] requests of a move (transition down, put up), before *share*."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.offers)

    def first(self) -> Matrix:
        """Return [object, class] dollars of writing an object into its first class."""
        return np.asarray(self.share[:, None] * _of(self.offers, "put_usd"))

    def read(self, ids: Ints, counts: Ints, read_bytes: Ints) -> Matrix:
        """Return [id, class] dollars of one event per id."""
        return np.asarray(
            self.event_requests[ids] + self.event_retrieval[ids] + self.event_stall[ids]
            + counts[:, None] * self.read_requests + read_bytes[:, None] * self.read_retrieval_byte
        )  # fmt: skip

    def fetch(self, ids: Ints) -> Matrix:
        """Return [id, class] dollars of reading each object whole, once."""
        return self.read(ids, np.ones(len(ids), np.int64), (self.gib[ids] * GIB_F).astype(np.int64))

    def move(self, ids: Ints, has_read: Bools) -> npt.NDArray[np.float64]:
        """Return [id, from, to] dollars of a change of class; where *has_read*, the bytes are at hand already."""
        cost = self.share[ids, None, None] * self.move_request
        fetch = np.where(has_read[:, None], 0.0, self.fetch(ids))
        return np.asarray(cost + fetch[:, :, None] * self.is_up)

    def early(self, ids: Ints, classes: Ints, stayed_days: Floats) -> Floats:
        """Return dollars due for leaving *classes* after a stay: the rest of the minimum, at the class's price."""
        rest = np.maximum(0.0, self.min_days[classes] - stayed_days)
        return np.asarray(self.hold[ids, classes] * rest)

    def hold_between(self, ids: Ints, classes: Ints, idle_from: Floats, idle_to: Floats) -> Floats:
        """Return dollars of holding while the idle age (since the last read or the move in) goes from one to other."""
        usd = self.hold[ids, classes] * (idle_to - idle_from)
        for number, offer in enumerate(self.offers):
            if offer.ladder:
                there = np.flatnonzero(classes == number)
                usd[there] -= self.ladder_gib[ids[there], number] * _discount(offer, idle_from[there], idle_to[there])
        return np.asarray(usd)

    def restart(self, ids: Ints, idle: Floats) -> Matrix:
        """Return [id, class] dollars that a class with a ladder costs more because it counts idleness from now on.

        An object idle for *idle* days would stand lower on the ladder had it been there all along.
        """
        extra = np.zeros((len(ids), self.classes))
        for number, offer in enumerate(self.offers):
            if offer.ladder:
                final = offer.ladder[-1]
                below = np.minimum(idle, final[0])
                step = _discount(offer, np.zeros(len(ids)), below)
                whole = (offer.ladder[0][1] - final[1]) * below
                extra[:, number] = self.ladder_gib[ids, number] * (whole - step)
        return extra

    def break_even_days(self, number: int, source: int, target: int) -> float:
        """Return the idle days after which moving object *number* away has repaid one full trip and read back.

        u* = X / (P_a s - c_b), or (X + c_b m_b) / (P_a s) where that is within the minimum stay m_b. Infinite where
        the target is not cheaper at this size.
        """
        ids = np.array([number])
        there = float(self.move(ids, np.array([False]))[0, source, target])
        back = float(self.fetch(ids)[0, target] + self.share[number] * self.move_request[target, source])
        stay, cold = float(self.hold[number, source]), float(self.hold[number, target])
        once = there + back
        with_minimum = (once + cold * float(self.min_days[target])) / stay if stay > 0 else math.inf
        if with_minimum <= self.min_days[target]:
            return with_minimum
        return once / (stay - cold) if stay > cold else math.inf


def cost_table(offers: Sequence[Offer], sizes: Ints, terms: Terms) -> CostTable:
    """Return the costs of objects of *sizes* bytes under *offers*."""
    gib = sizes / GIB_F
    share = np.ones(len(sizes)) if terms.pack_bytes is None else np.minimum(1.0, sizes / terms.pack_bytes)
    stored = np.stack([sizes * offer.stored_ratio for offer in offers], axis=1)
    shares = np.stack([share if offer.is_packed else np.ones(len(sizes)) for offer in offers], axis=1)
    smallest = shares * np.array([offer.min_billed_bytes for offer in offers])
    monitored = stored >= np.array([offer.monitor_min_bytes for offer in offers]) * shares
    monitor = shares * monitored * _of(offers, "monitor_usd_day")
    hold = (
        np.maximum(stored, smallest) / GIB_F * _of(offers, "usd_gib_day")
        + shares * _of(offers, "overhead_usd_day")
        + monitor
    )
    is_up = np.array([[b.rank < a.rank for b in offers] for a in offers])
    return CostTable(
        offers=tuple(offers),
        gib=gib,
        share=share,
        hold=hold,
        monitor=monitor,
        ladder_gib=stored / GIB_F * monitored * np.array([bool(offer.ladder) for offer in offers]),
        event_requests=shares * _of(offers, "event_usd"),
        event_retrieval=stored / GIB_F * _of(offers, "event_usd_gib"),
        event_stall=gib[:, None] * _of(offers, "stall_usd_gib"),
        read_requests=_of(offers, "read_usd"),
        read_retrieval_byte=_of(offers, "read_usd_gib") * _of(offers, "stored_ratio") / GIB_F,
        min_days=_of(offers, "min_days"),
        is_up=is_up,
        move_request=np.array([[_request(a, b) for b in offers] for a in offers]),
    )


def _of(offers: Sequence[Offer], field: str) -> Floats:
    return np.array([getattr(offer, field) for offer in offers], dtype=np.float64)


def _request(source: Offer, target: Offer) -> float:
    if source.name == target.name:
        return 0.0
    return target.put_usd if target.rank < source.rank or source.rank < 0 else target.transition_usd


def _discount(offer: Offer, idle_from: Floats, idle_to: Floats) -> Floats:
    """Return dollars per GiB by which the ladder is below its first step over an interval of idle age."""
    total = np.zeros(len(idle_from))
    top = offer.ladder[0][1]
    for number, (begin, usd) in enumerate(offer.ladder):
        end = offer.ladder[number + 1][0] if number + 1 < len(offer.ladder) else np.inf
        total += (top - usd) * np.maximum(0.0, np.minimum(idle_to, end) - np.maximum(idle_from, begin))
    return total
