"""Heat: how likely an object is read, learned per class of file from what was read and, as much, from what was not.

The state of an object is its level (never read; read once; then by its decayed number of reads) and its idle age. For
each state the table keeps reads and object-days watched, per group of objects (kind of file x size), and shrinks: group
towards kind, kind towards site, site towards a Gamma-Poisson prior that knows only the level. So a site where files are
born hot, or born cold, is found out within days of watching many files, and forgotten again with a half-life.
"""

import numpy as np
import numpy.typing as npt

from policies.strategies.protocol import HALF_LIFE_DAYS, Scene
from policies.trace import Floats, Ints

Cube = npt.NDArray[np.float64]
"""[group, level, idle bucket]"""
IDLE_EDGES = (0, 1, 2, 4, 7, 12, 20, 30, 45, 60, 90, 120, 180, 270, 365, 540, 730)
"""Days at which an idle bucket begins; holds 30, 90 and 180, where providers' steps and minimum stays lie."""
HEAT_EDGES = (1.25, 1.75, 2.5, 4.0, 8.0, 16.0, 32.0, 48.0, 64.0, 76.0)
"""Decayed reads at which a step begins; 86.6 is the limit of a read in every tick of a day."""
BAND_EDGES = (45.0, 150.0)
"""Mean days between reads over a whole life, splitting objects whose decayed heat says little."""
LOW = 3
"""Heat bins that are split by band; above, heat itself tells the rate."""
BANDS = len(BAND_EDGES) + 1
NEWBORN, ONCE = 0, 1
SELDOM = ONCE + BANDS
OFTEN = SELDOM + LOW * BANDS
LEVELS = OFTEN + len(HEAT_EDGES) + 1 - LOW
BAND_DAYS = (86.6, 86.6, 300.0)
"""Prior days in which a band's decayed reads came: the memory of the average, or the life of the slow."""
SIZE_EDGES = (2**17, 2**20, 2**24, 2**28, 2**32)
"""Bytes at which a size group begins; 128 KiB is the smallest billed size of the cold classes."""
BURST_EDGES = (1.5, 4.0)
"""Sizes read per event, on an object's own average, at which it counts as one that is read in bursts: whole, a few
times over within a tick, many times. Classes that charge by the byte read must know."""
SHRINK_READS = 2.0
"""Reads that a parent's rate weighs."""
SUREST = 0.999
"""Highest chance of a read within a tick that is believed."""
FORGET_DAYS = 180.0
"""Half-life of what was learned: two quarters, so that a site that changes its ways is believed within one."""
BORN_SHAPE, BORN_DAYS = 0.5, 30.0
"""Prior of the never read: half a read per month of age, falling as 1 / age."""


class Heat:
    """Learns rates per group, level and idle age. Time only moves forward."""

    def __init__(self, groups: int, parents: Ints, *, tick_days: float) -> None:
        """*parents*: of each group, its kind's number; kinds are pooled into the site."""
        self.edges = np.array([edge for edge in IDLE_EDGES if edge == 0 or edge >= tick_days], np.float64)
        self.widths = np.append(np.diff(self.edges), np.inf)
        self._parents = parents
        shape = (groups, LEVELS, len(self.edges))
        self._reads = np.zeros(shape)
        self._days = np.zeros(shape)
        self._count = np.zeros((groups, LEVELS))
        self._share = np.zeros((groups, LEVELS))
        self._events = np.zeros((groups, LEVELS))
        self._prior = prior_rates(self.edges)
        self._at = 0.0
        self._tick = tick_days

    def bucket(self, idle_days: Floats) -> Ints:
        """Return the idle bucket of each age."""
        return np.maximum(np.searchsorted(self.edges, idle_days + 1e-9, side="right") - 1, 0)

    def watch(self, groups: Ints, levels: Ints, buckets: Ints, days: Floats) -> None:
        """Add object-days in which an object of that state was watched, read or not."""
        np.add.at(self._days, (groups, levels, buckets), days)

    def read(self, groups: Ints, levels: Ints, buckets: Ints, counts: Floats, shares: Floats) -> None:
        """Add events: *counts* reads of *shares* object sizes altogether each."""
        np.add.at(self._reads, (groups, levels, buckets), 1.0)
        np.add.at(self._events, (groups, levels), 1.0)
        np.add.at(self._count, (groups, levels), counts)
        np.add.at(self._share, (groups, levels), shares)

    def forget(self, now: float) -> None:
        """Let what was learned fade up to *now*."""
        fade = 0.5 ** ((now - self._at) / FORGET_DAYS)
        self._reads *= fade
        self._days *= fade
        self._events *= fade
        self._count *= fade
        self._share *= fade
        self._at = now

    def chances(self) -> Cube:
        """Return, for every state, the chance of a read within a tick."""
        kinds = int(self._parents.max()) + 1
        prior = -np.expm1(-self._prior * self._tick)
        ticks = self._days / self._tick
        site = _shrunk(self._reads.sum(axis=0), ticks.sum(axis=0), prior)
        by_kind = np.zeros((2, kinds, *self._prior.shape))
        np.add.at(by_kind[0], self._parents, self._reads)
        np.add.at(by_kind[1], self._parents, ticks)
        kind = _shrunk(by_kind[0], by_kind[1], site)
        chance = _shrunk(self._reads, ticks, kind[self._parents])
        return np.minimum(chance, SUREST)

    def reads_per_event(self) -> tuple[Floats, Floats]:
        """Return [group, level] reads, and object sizes read, per event: groups shrink to their kind, kinds to one."""
        return self._per_event(self._count), self._per_event(self._share)

    def _per_event(self, what: Floats) -> Floats:
        pooled = np.zeros((2, int(self._parents.max()) + 1))
        np.add.at(pooled[0], self._parents, what.sum(axis=1))
        np.add.at(pooled[1], self._parents, self._events.sum(axis=1))
        kind = (pooled[0] + SHRINK_READS) / (pooled[1] + SHRINK_READS)
        weight = self._events + SHRINK_READS
        return np.asarray((what + SHRINK_READS * kind[self._parents][:, None]) / weight)

    def counts_at(self, now: float) -> tuple[Cube, Cube, Floats, Floats, Floats]:
        """Return, faded to *now*: reads, days, and per level events, reads and object sizes of them."""
        self.forget(now)
        return self._reads, self._days, self._events, self._count, self._share

    def take_over(self, now: float, counts: tuple[Cube, Cube, Floats, Floats, Floats]) -> None:
        """Begin with what counts_at(*now*) said another time, in the order of this table's groups."""
        self._reads, self._days, self._events, self._count, self._share = (array.copy() for array in counts)
        self._at = now

    def newborn_days(self) -> float:
        """Return object-days, faded, in which files never read were watched."""
        return float(self._days[:, NEWBORN].sum())


def layout(edges: Floats) -> str:
    """Return what the axes of the counts mean: equal strings, equal axes."""
    axes = f"{LEVELS} levels, idle {edges.tolist()}, heat {HEAT_EDGES}, bands {BAND_EDGES}"
    return f"{axes}, sizes {SIZE_EDGES}, bursts {BURST_EDGES}"


def levels_of(scene: Scene, ids: Ints) -> Ints:
    """Return the level of each object: it changes at reads only."""
    events = scene.events[ids]
    gap = (scene.last[ids] - scene.births[ids]) / np.maximum(events, 1)
    level = _level(scene.heat[ids], np.searchsorted(BAND_EDGES, gap, side="right"))
    once = ONCE + np.searchsorted(BAND_EDGES, gap, side="right")
    return np.where(events == 0, NEWBORN, np.where(events == 1, once, level))


def _level(heat: Floats, band: Ints) -> Ints:
    """Return the level of objects read more than once."""
    step = np.searchsorted(HEAT_EDGES, heat, side="right")
    return np.where(step < LOW, SELDOM + step * BANDS + band, OFTEN + step - LOW)


def level_heat() -> Floats:
    """Return the decayed reads that stand for each level."""
    edges = np.array([1.0, *HEAT_EDGES, 2 * HEAT_EDGES[-1]])
    steps = (edges[:-1] + edges[1:]) / 2
    return np.concatenate([[BORN_SHAPE], np.ones(BANDS), np.repeat(steps[:LOW], BANDS), steps[LOW:]])


def _level_band() -> Ints:
    """Return the band of each level; of those without one, the first."""
    bands = np.arange(BANDS)
    return np.concatenate([[0], bands, np.tile(bands, LOW), np.zeros(LEVELS - OFTEN, np.int64)])


def next_levels(edges: Floats) -> Ints:
    """Return [level, idle bucket] -> the level after a read there; a band lasts, but for that of the first read."""
    middle = _middle(edges)
    heat = 1.0 + level_heat()[:, None] * np.exp2(-middle / HALF_LIFE_DAYS)
    said = np.searchsorted(BAND_EDGES, middle, side="right")
    band = np.broadcast_to(_level_band()[:, None], heat.shape).copy()
    band[ONCE:SELDOM] = (band[ONCE:SELDOM] + said + 1) // 2
    level = _level(heat, band)
    level[NEWBORN] = ONCE + said
    return np.asarray(level)


def prior_rates(edges: Floats) -> Floats:
    """Return [level, bucket] events per day before anything was seen: reads / (days they came in + idle age)."""
    since = np.array(BAND_DAYS)[_level_band()]
    since[NEWBORN] = BORN_DAYS
    return np.asarray(level_heat()[:, None] / (since[:, None] + _middle(edges)))


def _middle(edges: Floats) -> Floats:
    return np.asarray(edges + np.append(np.diff(edges), edges[-1]) / 2)


def _shrunk(reads: Floats, ticks: Floats, parent: Floats) -> Floats:
    return np.asarray((reads + SHRINK_READS) / (ticks + SHRINK_READS / parent))


def size_groups(size_bytes: Floats) -> Ints:
    """Return the size group of each object."""
    return np.searchsorted(SIZE_EDGES, size_bytes, side="right")
