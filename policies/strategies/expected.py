"""Expected cost: the cheapest class by a learned model of reading, planned to the next read and beyond.

The heat table says, for every state (group, level, idle age), how likely a read is. On it this solves a small Markov
decision problem: what does an object cost from here on if it sits in class k, is demoted whenever that is cheaper as
it idles, and placed anew after each read. The solution is a table of dollars; a decision about an object is one
look-up per class plus what the move costs *it* now, its minimum stay included. Solved again as the heat table
changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies.costs import CostTable, cost_table
from policies.heat import BURST_EDGES, LEVELS, SIZE_EDGES, Heat, layout, levels_of, next_levels, size_groups
from policies.learned import Learned
from policies.offers import GIB_F, Terms
from policies.strategies.protocol import Review, Scene
from policies.trace import Floats, Ints

HORIZON_DAYS = 360.0
"""The future fades with this mean: beyond a year nobody vouches for a file or a price."""
GAIN = 0.03
"""A move must be cheaper by this part of what staying costs: facts, hysteresis against flutter."""
DOUBT = 0.02
"""Where a class cools by itself it needs no forecast; another must be cheaper by this part of all that is foreseen."""
SWEEPS_FIRST, SWEEPS = 40, 4
SOLVE_DAYS = 7.0
SIZE_GROUPS, BURSTS = len(SIZE_EDGES) + 1, len(BURST_EDGES) + 1
WATCHED_DAYS = 100.0
"""Object-days of newborns that must have been watched on a site before one is born into a minimum stay."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The knobs, all round numbers."""

    horizon_days: float = HORIZON_DAYS
    gain: float = GAIN
    doubt: float = DOUBT


class ExpectedCost:
    """The strategy; *terms* are those of the offers, needed to price typical objects of each size."""

    def __init__(
        self, terms: Terms, *, name: str = "expected-cost", tuning: Tuning | None = None,
        memory: Learned | None = None, kind_names: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Begin with *memory*, what learned() said in an earlier run, matched to this scene's kinds by *kind_names*.

        Memory of another layout is left unused: learning begins anew.
        """
        self.name = name
        self._memory = memory
        self._kind_names = tuple(kind_names)
        self._terms = terms
        self._tuning = tuning or Tuning()
        self._model: _Model | None = None

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Return the class that is cheapest for a newborn of its group, as far as is known."""
        model = self._learned(scene)
        model.begin(scene, ids)
        values = model.values(scene, ids) + scene.table.first()[ids] + model.caution(scene)
        return np.asarray((values * self._doubt(scene)).argmin(axis=1))

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Learn that these were read, and that they were not before."""
        self._learned(scene).saw(scene, ids, counts, read_bytes)

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Return the cheapest class for each, and ask to be asked at the next idle bucket."""
        model = self._learned(scene)
        model.account(scene, ids)
        here = scene.classes[ids]
        rows = np.arange(len(ids))
        stays = model.values(scene, ids)
        moves = scene.table.move(ids, scene.has_read[ids])[rows, here]
        early = scene.table.early(ids, here, scene.now - scene.since[ids])
        restart = scene.table.restart(ids, scene.idle(ids))
        once = moves + np.where(np.arange(scene.table.classes) == here[:, None], 0.0, early[:, None] + restart)
        costs = stays * self._doubt(scene) + (1.0 + self._tuning.gain) * once
        best = costs.argmin(axis=1)
        better = costs[rows, best] < costs[rows, here]
        return Review(np.where(better, best, here), model.again(scene, ids))

    def learned(self, scene: Scene) -> Learned:
        """Return what is known up to now, every object's watch included; needs the names of all kinds.

        Ask after the day's observe() and review(): objects of the scene count as watched until now.
        """
        if len(self._kind_names) != scene.kind_count:
            raise ValueError(f"{scene.kind_count} kinds of file need as many names (got {len(self._kind_names)})")
        return self._learned(scene).memory(scene, self._kind_names)

    def _doubt(self, scene: Scene) -> Floats:
        """Return [class] what dollars of a forecast are multiplied by: a class that keeps its promise needs none."""
        is_promise = np.array([bool(offer.ladder) for offer in scene.table.offers])
        return np.where(is_promise | ~is_promise.any(), 1.0, 1.0 + self._tuning.doubt)

    def _learned(self, scene: Scene) -> "_Model":
        if self._model is None:
            self._model = _Model(scene, self._terms, self._tuning)
            if self._memory is not None:
                self._model.remember(scene, self._memory, self._kind_names)
        self._model.keep_fresh(scene)
        return self._model


class _Model:
    """Groups, what was learned of them, and the table of dollars that follows."""

    def __init__(self, scene: Scene, terms: Terms, tuning: Tuning) -> None:
        sizes = scene.table.gib * GIB_F
        self._group = (scene.kinds * SIZE_GROUPS + size_groups(sizes)) * BURSTS
        self._seen, self._read_shares = np.zeros(len(sizes)), np.zeros(len(sizes))
        groups = scene.kind_count * SIZE_GROUPS * BURSTS
        parents = np.repeat(np.arange(scene.kind_count), SIZE_GROUPS * BURSTS)
        self.heat = Heat(groups, parents, tick_days=scene.tick_days)
        self._accounted = scene.births.copy()
        present = np.bincount(self._group, minlength=groups)
        logs = np.bincount(self._group, weights=np.log(np.maximum(sizes, 1.0)), minlength=groups)
        self._typical = np.repeat(np.exp(logs[::BURSTS] / np.maximum(present[::BURSTS], 1)), BURSTS)
        table = cost_table(scene.table.offers, self._typical.astype(np.int64), terms)
        self._problem = Problem(table, self.heat.edges, tuning.horizon_days, tick_days=scene.tick_days)
        self._solved_at = -np.inf
        self._has_newcomers = True
        """Whether an object came to a group that was never solved."""
        self._first_at = scene.now

    def keep_fresh(self, scene: Scene) -> None:
        """Solve again when a week has passed, sooner in the first days."""
        wait = min(SOLVE_DAYS, max(scene.tick_days, (scene.now - self._first_at) / 4))
        is_due = scene.now - self._solved_at >= wait
        if not is_due and not self._has_newcomers:
            return
        groups = np.unique(self._group)
        begun = self._problem.begun[groups]
        self.heat.forget(scene.now)
        if is_due:
            self._solve(groups[begun], SWEEPS)
            self._solved_at = scene.now
        self._solve(groups[~begun], SWEEPS_FIRST)
        self._has_newcomers = False

    def _solve(self, groups: Ints, sweeps: int) -> None:
        counts, shares = self.heat.reads_per_event()
        self._problem.solve(groups, self.heat.chances()[groups], counts[groups], shares[groups], sweeps=sweeps)

    def memory(self, scene: Scene, kind_names: Sequence[str]) -> Learned:
        """Return everything learned, as of now."""
        self.account(scene, np.arange(len(self._accounted)))
        shaped = [it.reshape(scene.kind_count, -1, *it.shape[1:]).copy() for it in self.heat.counts_at(scene.now)]
        reads, days, events, counts, shares = shaped
        return Learned(
            layout=layout(self.heat.edges), begun_day=self._first_at, day=scene.now, kinds=tuple(kind_names),
            reads=reads, days=days, events=events, counts=counts, shares=shares,
        )  # fmt: skip

    def remember(self, scene: Scene, memory: Learned, kind_names: Sequence[str]) -> None:
        """Begin with *memory*; what it had watched is not watched again. A kind it does not know begins at zero."""
        if memory.layout != layout(self.heat.edges) or memory.day > scene.now:
            return
        places = [(new, memory.kinds.index(name)) for new, name in enumerate(kind_names) if name in memory.kinds]
        taken = []
        for array in (memory.reads, memory.days, memory.events, memory.counts, memory.shares):
            begun = np.zeros((scene.kind_count, *array.shape[1:]))
            for new, old in places:
                begun[new] = array[old]
            taken.append(begun.reshape(-1, *array.shape[2:]))
        reads, days, events, counts, shares = taken
        self.heat.take_over(memory.day, (reads, days, events, counts, shares))
        self._accounted = np.maximum(self._accounted, memory.day)
        self._first_at = memory.begun_day

    def begin(self, scene: Scene, ids: Ints) -> None:
        """Start watching newborn objects."""
        self._accounted[ids] = scene.now

    def account(self, scene: Scene, ids: Ints) -> None:
        """Book the time since the last look as watched."""
        days = scene.now - self._accounted[ids]
        fresh = days > 0
        ids, days = ids[fresh], days[fresh]
        bucket = self.heat.bucket(self._accounted[ids] - scene.last[ids])
        self.heat.watch(self._group[ids], levels_of(scene, ids), bucket, days)
        self._accounted[ids] = scene.now

    def saw(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Book reads, in the state in which they came."""
        later = scene.now > self._accounted[ids]
        bucket = self.heat.bucket(self._accounted[ids] - scene.last[ids])
        shares = read_bytes / np.maximum(scene.table.gib[ids] * GIB_F, 1.0)
        levels = levels_of(scene, ids)
        self.account(scene, ids)
        self.heat.read(
            self._group[ids][later], levels[later], bucket[later],
            counts[later].astype(np.float64), shares[later],
        )  # fmt: skip
        self._band(ids, shares)

    def _band(self, ids: Ints, shares: Floats) -> None:
        """Count an event of each object, and put it among those that are read in bursts like its own so far."""
        self._seen[ids] += 1.0
        self._read_shares[ids] += shares
        band = np.searchsorted(BURST_EDGES, self._read_shares[ids] / self._seen[ids], side="right")
        self._group[ids] = self._group[ids] // BURSTS * BURSTS + band
        self._has_newcomers = self._has_newcomers or not self._problem.begun[self._group[ids]].all()

    def values(self, scene: Scene, ids: Ints) -> Floats:
        """Return [id, class] dollars from here on, if it begins there."""
        groups = self._group[ids]
        bucket = self.heat.bucket(scene.idle(ids))
        values = self._problem.stay[groups, levels_of(scene, ids), bucket]
        scale = scene.table.gib[ids] * GIB_F / self._typical[groups]
        return np.asarray(values * scale[:, None])

    def caution(self, scene: Scene) -> Floats:
        """Return [class] 0, or infinity for classes with a minimum stay while hardly a newborn has been watched."""
        free = scene.table.min_days == 0
        if self.heat.newborn_days() >= WATCHED_DAYS or not free.any():
            return np.zeros(len(free))
        return np.where(free, 0.0, np.inf)

    def again(self, scene: Scene, ids: Ints) -> Floats:
        """Return days until the next idle bucket."""
        idle = scene.idle(ids)
        bucket = self.heat.bucket(idle)
        return np.append(self.heat.edges, np.inf)[bucket + 1] - idle


class Problem:
    """The decision problem of one typical object per group, solved by sweeps from old to young."""

    def __init__(self, table: CostTable, edges: Floats, horizon_days: float, *, tick_days: float) -> None:
        groups, classes, buckets = len(table.gib), table.classes, len(edges)
        self._table, self._edges = table, edges
        self._tick, self._fade = tick_days, float(np.exp(-tick_days / horizon_days))
        self._widths = np.append(np.diff(edges), np.inf)
        self._next = next_levels(edges)
        ids = np.arange(groups)
        no, yes = np.zeros(groups, bool), np.ones(groups, bool)
        self._idle_move, self._read_move = table.move(ids, no), table.move(ids, yes)
        middle = edges + np.minimum(self._widths, 360.0) / 2
        rest = np.maximum(0.0, table.min_days - edges[:, None])
        rest_read = np.maximum(0.0, table.min_days - middle[:, None])
        other = ~np.eye(classes, dtype=bool)
        restart = np.stack([table.restart(ids, np.full(groups, edge)) for edge in edges], axis=1)
        self._early = (table.hold[:, None, :, None] * rest[None, :, :, None] + restart[:, :, None, :]) * other
        self._early_read = table.hold[:, None, :, None] * rest_read[None, :, :, None] * other
        zero = np.zeros(groups)
        self._hold = np.stack(
            [
                np.stack([
                    table.hold_between(ids, np.full(groups, k), zero + low, zero + high) / (high - low)
                    for k in range(classes)
                ], axis=1)
                for low, high in zip(edges, np.append(edges[1:], edges[-1] + 360.0), strict=True)
            ],
            axis=1,
        )  # fmt: skip
        self.begun = np.zeros(groups, bool)
        """Whether `stay` holds anything for the group."""
        self.stay = np.zeros((groups, LEVELS, buckets, classes))
        """[group, level, idle bucket, class] dollars from the start of the bucket on."""

    def solve(self, groups: Ints, chances: Floats, counts: Floats, shares: Floats, *, sweeps: int) -> None:
        """Improve `stay` of *groups* for chances of a read per tick [group, level, bucket] and reads and sizes per
        event; the others stay as they were.
        """
        if not len(groups):
            return
        table = self._table
        go_on = (1.0 - chances) * self._fade
        survive = go_on ** (self._widths / self._tick)
        ticks = (1.0 - survive) / (1.0 - go_on)  # until a read, the end of the bucket, or of what is foreseen
        hit, within = chances * self._fade * ticks, ticks * self._tick
        size = table.gib[groups] * GIB_F
        once = table.event_requests[groups] + table.event_retrieval[groups] + table.event_stall[groups]
        event = once[:, None, :] + (
            counts[:, :, None] * table.read_requests + (shares * size[:, None])[:, :, None] * table.read_retrieval_byte
        )
        hold, stay = self._hold[groups], self.stay[groups]
        paid = hold[:, None] * within[..., None] + hit[..., None] * event[:, :, None, :]
        # From above: the value of a policy that anybody could follow, so that every sweep only improves on it.
        worst = (hold.max(axis=1) * self._tick + event.max(axis=1)) / (1.0 - self._fade)
        stay = np.where(self.begun[groups][:, None, None, None], stay, worst[:, None, None, :])
        moves = _Moves(*(array[groups] for array in (self._idle_move, self._read_move, self._early, self._early_read)))
        for _ in range(sweeps):
            self._sweep(stay, moves, paid, hit, survive=survive)
        self.stay[groups] = stay
        self.begun[groups] = True

    def _sweep(self, stay: Floats, moves: "_Moves", paid: Floats, hit: Floats, *, survive: Floats) -> None:
        """Improve every state of *stay* once, old idle ages first.

        Who sits in a class and is read on at one level comes back to the same state: that series is summed in closed
        form (*alone* dollars beside a *share* of itself), or it would take a sweep for every read.
        """
        last = len(self._edges) - 1
        levels = np.arange(LEVELS)
        older = stay[:, :, last]
        alone, share = np.zeros_like(older), np.zeros(hit.shape[:2])
        for bucket in range(last, -1, -1):
            fresh = stay[:, self._next[:, bucket], 0]
            placed = moves.read[:, None] + moves.early_read[:, None, bucket] + fresh[:, :, None, :]
            landed = hit[:, :, bucket, None] * placed.min(axis=3)
            loops = self._next[:, bucket] == levels
            outlast = survive[:, :, bucket]
            alone = paid[:, :, bucket] + np.where(loops[:, None], 0.0, landed) + outlast[..., None] * alone
            share = hit[:, :, bucket] * loops + outlast * share
            value = paid[:, :, bucket] + landed
            if bucket < last:
                moved = moves.idle[:, None] + moves.early[:, None, bucket + 1] + older[:, :, None, :]
                value = value + outlast[..., None] * moved.min(axis=3)
            if bucket == 0:
                value = np.minimum(value, alone / (1.0 - share[..., None]))
            stay[:, :, bucket] = value
            older = value


@dataclass(frozen=True, slots=True)
class _Moves:
    """What changes of class cost the groups at hand: [group, from, to], early [group, bucket, from, to]."""

    idle: Floats
    read: Floats
    early: Floats
    early_read: Floats
