"""Replays a history under a strategy and adds up the bill, by kind of dollar and by kind of file.

Tick by tick: births choose a class, reads are charged where the object is, then the strategy is asked about whatever
was born, read, or had asked to be looked at again. Holding is charged per stay, so that quiet objects cost no work: a
million accesses take seconds. Same input, same output; nothing here is random.
"""

import itertools
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from policies.costs import CostTable, Matrix
from policies.offers import GIB_F
from policies.strategies.protocol import DECAY, Scene, Strategy
from policies.trace import Floats, Ints, Trace


class Dollar(IntEnum):
    """What a dollar was paid for; the names are those of `simulate --json`."""

    STORAGE = 0
    REQUESTS = 1
    RETRIEVAL = 2
    EARLY_DELETE = 3
    MONITORING = 4
    STALL = 5


@dataclass(slots=True)
class Outcome:
    """What a strategy would have cost."""

    policy: str
    usd_by_kind: Matrix
    """[Dollar, kind of file]"""
    usd_by_object: Floats
    recalls: int = 0
    """Reads (per object and tick) that had to wait: a restore, or a recall to the hot tier."""
    recall_gib: float = 0.0
    waited_h: float = 0.0
    """Longest restore times of those reads, summed."""
    moves: int = 0
    moved_gib: float = 0.0
    reviews: int = 0
    gib_days: Floats = field(default_factory=lambda: np.zeros(0))
    """[class] where the bytes were, over the whole time."""

    @property
    def usd_total(self) -> float:
        """Sum of everything."""
        return float(self.usd_by_kind.sum())

    def usd(self) -> dict[str, float]:
        """Return dollars by what they were paid for."""
        return {dollar.name.lower(): float(self.usd_by_kind[dollar].sum()) for dollar in Dollar}


def simulate(trace: Trace, table: CostTable, strategy: Strategy) -> Outcome:
    """Return the bill of *trace* under *strategy*; the strategy is used up (it may have learned)."""
    return _Replay(trace, table, strategy).run()


class _Replay:
    def __init__(self, trace: Trace, table: CostTable, strategy: Strategy) -> None:
        self._trace, self._table, self._strategy = trace, table, strategy
        count = trace.objects
        births: Floats = np.asarray(trace.births * trace.tick_days, np.float64)
        self._scene = Scene(
            now=0.0, tick_days=trace.tick_days, table=table,
            kinds=trace.kinds, kind_count=len(trace.kind_names), births=births,
            classes=np.zeros(count, np.int64), since=births.copy(), last=births.copy(), anchor=births.copy(),
            events=np.zeros(count, np.int64), heat=np.zeros(count), has_read=np.zeros(count, bool),
        )  # fmt: skip
        self._settled = births.copy()
        self._alive = np.zeros(count, bool)
        self._due = np.full(count, -1)
        self._calendar: dict[int, list[Ints]] = {}
        self._waits = np.array([offer.stall_usd_gib > 0 or offer.wait_h > 0 for offer in table.offers])
        self._wait_h = np.array([offer.wait_h for offer in table.offers])
        self._outcome = Outcome(
            strategy.name, np.zeros((len(Dollar), len(trace.kind_names))), np.zeros(count),
            gib_days=np.zeros(table.classes),
        )  # fmt: skip

    def run(self) -> Outcome:
        trace = self._trace
        events = np.argsort(trace.ticks, kind="stable")
        owners = np.repeat(np.arange(trace.objects), np.diff(trace.starts))
        event_bounds = np.searchsorted(trace.ticks[events], np.arange(trace.end_tick + 1))
        born = np.argsort(trace.births, kind="stable")
        born_bounds = np.searchsorted(trace.births[born], np.arange(trace.end_tick + 1))
        dying = np.argsort(trace.deaths, kind="stable")
        dying_bounds = np.searchsorted(trace.deaths[dying], np.arange(trace.end_tick + 1))
        for tick in range(trace.end_tick):
            self._scene.now = tick * trace.tick_days
            gone = dying[dying_bounds[tick] : dying_bounds[tick + 1]]
            new = born[born_bounds[tick] : born_bounds[tick + 1]]
            read = events[event_bounds[tick] : event_bounds[tick + 1]]
            due = self._calendar.pop(tick, [])
            if len(gone):
                self._remove(gone)
            if len(new):
                self._place(new)
            if len(read):
                self._read(owners[read], read)
            asked = self._asked(tick, new, owners[read], due)
            if len(asked):
                self._review(tick, asked)
            self._scene.has_read[owners[read]] = False
        self._scene.now = trace.end_tick * trace.tick_days
        self._settle(np.flatnonzero(self._alive))
        return self._outcome

    def _asked(self, tick: int, new: Ints, read: Ints, due: list[Ints]) -> Ints:
        waiting = [ids[(self._due[ids] == tick) & self._alive[ids]] for ids in due]
        if not waiting and not len(new):
            return read
        return np.unique(np.concatenate([new, read, *waiting]))

    def _place(self, ids: Ints) -> None:
        self._alive[ids] = True
        classes = self._strategy.first(self._scene, ids)
        self._scene.classes[ids] = classes
        self._book(Dollar.REQUESTS, ids, self._table.first()[ids, classes])

    def _read(self, ids: Ints, events: Ints) -> None:
        scene, table, trace = self._scene, self._table, self._trace
        classes, counts = scene.classes[ids], trace.counts[events]
        self._settle(ids)
        self._book(Dollar.REQUESTS, ids, table.event_requests[ids, classes] + counts * table.read_requests[classes])
        retrieval = table.event_retrieval[ids, classes]
        retrieval = retrieval + trace.read_bytes[events] * table.read_retrieval_byte[classes]
        self._book(Dollar.RETRIEVAL, ids, retrieval)
        self._book(Dollar.STALL, ids, table.event_stall[ids, classes])
        waits = self._waits[classes]
        self._outcome.recalls += int(waits.sum())
        self._outcome.recall_gib += float(table.gib[ids[waits]].sum())
        self._outcome.waited_h += float(self._wait_h[classes].sum())
        self._strategy.observe(scene, ids, counts, trace.read_bytes[events])
        scene.heat[ids] = scene.heat[ids] * np.exp(-DECAY * (scene.now - scene.last[ids])) + 1.0
        scene.events[ids] += 1
        scene.last[ids] = scene.now
        scene.anchor[ids] = scene.now
        scene.has_read[ids] = True

    def _review(self, tick: int, ids: Ints) -> None:
        answer = self._strategy.review(self._scene, ids)
        self._outcome.reviews += len(ids)
        moving = answer.targets != self._scene.classes[ids]
        if moving.any():
            self._move(ids[moving], answer.targets[moving])
        again = np.ceil(answer.again_days / self._trace.tick_days - 1e-9)
        self._due[ids] = -1
        soon = again < self._trace.end_tick - tick
        ticks = tick + np.maximum(1, again[soon]).astype(np.int64)
        self._due[ids[soon]] = ticks
        order = np.argsort(ticks, kind="stable")
        sorted_ids, sorted_ticks = ids[soon][order], ticks[order]
        bounds = np.flatnonzero(np.diff(sorted_ticks, prepend=-1, append=-1))
        for begin, end in itertools.pairwise(bounds):
            self._calendar.setdefault(int(sorted_ticks[begin]), []).append(sorted_ids[begin:end])

    def _move(self, ids: Ints, targets: Ints) -> None:
        scene, table = self._scene, self._table
        self._settle(ids)
        sources = scene.classes[ids]
        self._book(Dollar.EARLY_DELETE, ids, table.early(ids, sources, scene.now - scene.since[ids]))
        requests = table.share[ids] * table.move_request[sources, targets]
        reads = table.is_up[sources, targets] & ~scene.has_read[ids]
        once = (table.gib[ids] * GIB_F) * table.read_retrieval_byte[sources] + table.event_retrieval[ids, sources]
        fetch = table.event_requests[ids, sources] + table.read_requests[sources]
        self._book(Dollar.REQUESTS, ids, requests + reads * fetch)
        self._book(Dollar.RETRIEVAL, ids, reads * once)
        self._book(Dollar.STALL, ids, reads * table.event_stall[ids, sources])
        scene.classes[ids] = targets
        scene.since[ids] = scene.now
        scene.anchor[ids] = scene.now
        self._outcome.moves += len(ids)
        self._outcome.moved_gib += float(table.gib[ids].sum())

    def _remove(self, ids: Ints) -> None:
        scene = self._scene
        self._settle(ids)
        stayed = scene.now - scene.since[ids]
        self._book(Dollar.EARLY_DELETE, ids, self._table.early(ids, scene.classes[ids], stayed))
        self._alive[ids] = False

    def _settle(self, ids: Ints) -> None:
        """Charge holding up to now."""
        scene, classes = self._scene, self._scene.classes[ids]
        begun, anchor = self._settled[ids], scene.anchor[ids]
        days = scene.now - begun
        usd = self._table.hold_between(ids, classes, begun - anchor, scene.now - anchor)
        monitoring = self._table.monitor[ids, classes] * days
        self._book(Dollar.STORAGE, ids, usd - monitoring)
        self._book(Dollar.MONITORING, ids, monitoring)
        gib_days = self._table.gib[ids] * days
        self._outcome.gib_days += np.bincount(classes, weights=gib_days, minlength=self._table.classes)
        self._settled[ids] = scene.now

    def _book(self, dollar: Dollar, ids: Ints, usd: Floats) -> None:
        self._outcome.usd_by_object[ids] += usd
        row = self._outcome.usd_by_kind[dollar]
        row += np.bincount(self._trace.kinds[ids], weights=usd, minlength=len(row))
