"""The offline optimum: what the cheapest placement costs when the future is known. A yardstick, never a policy.

Exact dynamic programming per object over its reads (docs: F[j][k] = min over entries i < j and classes q != k of
F[i][q] + move(q -> k) + price_k * max(t_j - t_i, minimum stay, unless last) + reads), same classes and prices as the
strategies, first class free to choose. Classes change right after a read, which shares its bytes with a move up; who
comes back pays the way back, wait included. The inner minimum over entries within the minimum stay is a
sliding-window minimum (monotone queues), so an object with n reads costs O(n * classes^2); all objects advance
together in numpy.
"""

from dataclasses import dataclass

import numpy as np

from policies.costs import CostTable, Matrix
from policies.trace import Bools, Floats, Ints, Trace

CHUNK_EVENTS = 200_000
"""Objects are worked in batches of about so many events: bounds the memory to some tens of MB."""


def optimum(trace: Trace, table: CostTable) -> Floats:
    """Return the least dollars per object from birth to death, by the rules of the module.

    Events may have zero reads: they are further moments at which the class may change (not in classes with a ladder,
    whose idle age they would restart).
    """
    events = np.diff(trace.starts)
    order = np.argsort(-events, kind="stable")
    total = np.zeros(trace.objects)
    begin = 0
    weights = np.cumsum(events[order] + 1)
    while begin < trace.objects:
        done = weights[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(weights, done + CHUNK_EVENTS, side="right")))
        ids = order[begin:end]
        total[ids] = _Batch(trace, table, ids).solve()
        begin = end
    return total


@dataclass(slots=True)
class _Queue:
    """Per object, the entries into one class whose minimum stay has not passed: values ascending, oldest in front."""

    values: Floats
    times: Floats
    head: Ints
    tail: Ints

    def push(self, ids: Ints, values: Floats, time: Floats) -> None:
        """Add an entry; older ones that cost as much will pay for longer and are dropped."""
        active, kept = ids, values
        while len(active):
            last = self.tail[active] - 1
            worse = (last >= self.head[active]) & (self.values[np.maximum(last, 0)] >= kept)
            active, kept = active[worse], kept[worse]
            self.tail[active] -= 1
        at = self.tail[ids]
        self.values[at], self.times[at] = values, time
        self.tail[ids] += 1

    def front(self, ids: Ints) -> Floats:
        """Return the least value, infinite where there is none."""
        there = self.head[ids] < self.tail[ids]
        at = np.minimum(self.head[ids], len(self.values) - 1)
        return np.where(there, self.values[at], np.inf)


class _Batch:
    """Objects sorted by falling number of events, so that those with a j-th event are a prefix."""

    def __init__(self, trace: Trace, table: CostTable, ids: Ints) -> None:
        self._trace, self._table, self._ids = trace, table, ids
        self._events = np.diff(trace.starts)[ids]
        count, classes = len(ids), table.classes
        starts = np.concatenate([[0], np.cumsum(self._events + 2)])[:-1]
        room = int((self._events + 2).sum())
        self._queues = {
            k: _Queue(np.zeros(room), np.zeros(room), starts.copy(), starts.copy())
            for k in range(classes) if table.min_days[k] > 0
        }  # fmt: skip
        self._reads = np.zeros((count, classes))  # cumulative: queue values are relative to it
        self._matured = np.full((count, classes), np.inf)
        self._last = np.full((count, classes), np.inf)  # entries that owe no minimum stay, should the trace end in them
        self._now: Floats = np.asarray(trace.births[ids] * trace.tick_days, np.float64)

    def solve(self) -> Floats:
        """Return the optimum of each object of the batch."""
        everyone = np.arange(len(self._ids))
        self._enter(everyone, self._table.first()[self._ids])
        for number in range(int(self._events.max(initial=0))):
            active = everyone[: int(np.searchsorted(-self._events, -number, side="left"))]
            self._advance(active, number)
        end = np.asarray(self._trace.deaths[self._ids] * self._trace.tick_days, np.float64)
        self._pass(everyone, end)
        is_last = self._trace.deaths[self._ids] == self._trace.end_tick
        return np.asarray(np.where(is_last, self._last.min(axis=1), self._values(everyone).min(axis=1)))

    def _advance(self, active: Ints, number: int) -> None:
        trace, table, ids = self._trace, self._table, self._ids[active]
        at = trace.starts[ids] + number
        self._pass(active, np.asarray(trace.ticks[at] * trace.tick_days, np.float64))
        counts = trace.counts[at]
        has_read = counts > 0
        cost = np.where(has_read[:, None], table.read(ids, counts, trace.read_bytes[at]), 0.0)
        self._matured[active] += cost
        self._last[active] += cost
        self._reads[active] += cost
        self._move(active, has_read)

    def _move(self, active: Ints, has_read: Bools) -> None:
        arrive = self._values(active)[:, :, None] + self._table.move(self._ids[active], has_read)
        own = np.arange(self._table.classes)
        arrive[:, own, own] = np.inf
        self._enter(active, arrive.min(axis=1))

    def _enter(self, active: Ints, values: Matrix) -> None:
        self._last[active] = np.minimum(self._last[active], values)
        for k in range(self._table.classes):
            queue = self._queues.get(k)
            if queue is None:
                self._matured[active, k] = np.minimum(self._matured[active, k], values[:, k])
                continue
            prepaid = self._table.hold[self._ids[active], k] * self._table.min_days[k]
            queue.push(active, values[:, k] + prepaid - self._reads[active, k], self._now[active])

    def _pass(self, active: Ints, until: Floats) -> None:
        """Let time go by: charge holding, and ripen the entries whose minimum stay ends."""
        table, ids = self._table, self._ids[active]
        gap = until - self._now[active]
        zero = np.zeros(len(active))
        for k in range(table.classes):
            held = table.hold_between(ids, np.full(len(active), k), zero, gap)
            self._matured[active, k] += held
            self._last[active, k] += held
            if k in self._queues:
                self._ripen(active, k, until)
        self._now[active] = until

    def _ripen(self, active: Ints, k: int, until: Floats) -> None:
        queue, stay = self._queues[k], self._table.min_days[k]
        ids = active
        while len(ids):
            head = queue.head[ids]
            ripe = (head < queue.tail[ids]) & (queue.times[np.minimum(head, len(queue.times) - 1)] + stay <= until)
            ids, until, head = ids[ripe], until[ripe], head[ripe]
            beyond = self._table.hold[self._ids[ids], k] * (until - queue.times[head] - stay)
            value = queue.values[head] + self._reads[ids, k] + beyond
            self._matured[ids, k] = np.minimum(self._matured[ids, k], value)
            queue.head[ids] += 1

    def _values(self, active: Ints) -> Matrix:
        values = self._matured[active].copy()
        for k, queue in self._queues.items():
            values[:, k] = np.minimum(values[:, k], queue.front(active) + self._reads[active, k])
        return values
