"""What a strategy is asked, and what it sees when it answers.

A Scene holds, for numbered objects, what is known *now*: costs, kinds, residency, and heat (reads so far). The
simulator fills it from a trace, a planner from the catalog; strategies only read it. Reads by frostline itself, stat
and scans never enter a Scene.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from policies.costs import CostTable
from policies.trace import Bools, Floats, Ints

HALF_LIFE_DAYS = 60.0
"""Of the decayed read rate. facts: 60 days is hard to beat; a month forgets the quarter's rhythm, a year the drift."""
NEVER = np.inf
DECAY = float(np.log(2)) / HALF_LIFE_DAYS


@dataclass(slots=True)
class Scene:
    """All per-object arrays have one entry per object of the table; days count from a fixed moment."""

    now: float
    tick_days: float
    """How often decisions are made."""
    table: CostTable
    kinds: Ints
    """Index of the kind of file; what is learned is learned per kind."""
    kind_count: int
    births: Floats
    classes: Ints
    """Where each object is, as an index into table.offers."""
    since: Floats
    """Day of the move into that class."""
    last: Floats
    """Day of the last read; of an object never read, its birth."""
    anchor: Floats
    """Day from which a class with a ladder counts idleness: last read or move in, whichever is later."""
    events: Ints
    """Ticks with reads so far."""
    heat: Floats
    """Decayed number of such ticks, as of *last*: halves every HALF_LIFE_DAYS."""
    has_read: Bools
    """Read in this very tick: a move up shares the bytes."""

    def rate(self, ids: Ints) -> Floats:
        """Return decayed ticks with reads per day: what an exponential average says now."""
        return np.asarray(self.heat[ids] * np.exp(-DECAY * (self.now - self.last[ids])) * DECAY)

    def idle(self, ids: Ints) -> Floats:
        """Return days since the last read (or birth)."""
        return np.asarray(self.now - self.last[ids])


@dataclass(frozen=True, slots=True)
class Review:
    """The answer: where each object should be, and when it wants to be asked again if nobody reads it before."""

    targets: Ints
    again_days: Floats
    """From now; NEVER: not before the next read. The asker may round up to its own rhythm."""


class Strategy(Protocol):
    """Decides for one object at a time, but answers for many at once. May learn; must not look ahead."""

    @property
    def name(self) -> str:
        """For reports and rules."""
        ...

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Return the class each newborn object is written to."""
        ...

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Take note of reads (*counts* and bytes per object in this tick); *scene* still shows heat before them."""
        ...

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Return where objects should be, right after birth, a read, or when they asked for it."""
        ...
