"""Break-even with a proven bound: leave a class once staying has cost as much as the way out and back.

The rule is the work-function algorithm for metrical task systems (Borodin, Linial, Saks 1992): keep, per class, the
least that an optimum ending there would have paid so far, w(k); move from s to x when w(s) has reached w(x) + d(x, s).
For two classes and an idle object this is ski rental: move after u* idle days. With K classes the cost is at most
(2K - 1) * psi times the optimum plus a constant, psi the largest ratio of a cycle of moves to its reverse.

Minimum stays are folded in by paying them on entry: d(q, k) includes price_k * minimum_k, and holding is counted from
the first day all the same. That model overstates any schedule, the optimum's by no more than twice, hence the bound
2 * (2K - 1) * psi of bound(). It holds for classes without a ladder and one read per tick: reads that come in a burst
within one tick are charged before anybody can move, and bound no one.
"""

import itertools

import numpy as np

from policies.costs import CostTable, Matrix
from policies.strategies.protocol import NEVER, Review, Scene
from policies.trace import Floats, Ints


class BreakEven:
    """Learns nothing; keeps K numbers per object."""

    def __init__(self, name: str = "break-even") -> None:
        self.name = name
        self._work: Matrix | None = None
        self._at = np.zeros(0)

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Return the class that is left most easily: the least entry, minimum stay included."""
        work = self._state(scene)
        work[ids] = scene.table.first()[ids] + _prepaid(scene.table, ids)
        self._at[ids] = scene.now
        return np.asarray(work[ids].argmin(axis=1))

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Charge the read to every class."""
        work = self._state(scene)
        self._pass(scene, ids)
        work[ids] += scene.table.read(ids, counts, read_bytes)

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Move what is saturated; ask again on the day on which the next class saturates."""
        work = self._state(scene)
        self._pass(scene, ids)
        rows, here = np.arange(len(ids)), scene.classes[ids]
        moves = scene.table.move(ids, np.zeros(len(ids), bool)) + _prepaid(scene.table, ids)[:, None, :]
        own = np.arange(scene.table.classes)
        moves[:, own, own] = 0.0
        back = moves[rows, :, here]
        slack = work[ids] + back - work[ids, here][:, None]
        slack[rows, here] = np.inf
        saturated = slack <= 1e-9 * back
        reach = np.where(saturated, work[ids] + moves[rows, here], np.inf)
        targets = np.where(saturated.any(axis=1), reach.argmin(axis=1), here)
        work[ids] = (work[ids][:, :, None] + moves).min(axis=1)
        return Review(targets, self._again(scene, ids, targets, moves))

    def _again(self, scene: Scene, ids: Ints, targets: Ints, moves: Matrix) -> Floats:
        work, rows = self._state(scene), np.arange(len(ids))
        slack = work[ids] + moves[rows, :, targets] - work[ids, targets][:, None]
        idle = scene.now - np.where(targets == scene.classes[ids], scene.anchor[ids], scene.now)
        hold = _hold_now(scene.table, ids, idle)
        falling = hold[rows, targets][:, None] - hold
        slack[rows, targets] = np.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            days = np.where(falling > 0, np.maximum(slack, 0.0) / falling, NEVER)
        soonest = days.min(axis=1)
        if any(offer.ladder for offer in scene.table.offers):
            # A ladder changes the slope: look again at the latest a month from now.
            soonest = np.minimum(soonest, 30.0)
        return np.asarray(soonest)

    def _pass(self, scene: Scene, ids: Ints) -> None:
        """Charge holding up to now to every class, each as if the object had been there since its last read."""
        work, count = self._state(scene), len(ids)
        begun = np.maximum(self._at[ids] - scene.last[ids], 0.0)
        ended = begun + scene.now - self._at[ids]
        for k in range(scene.table.classes):
            work[ids, k] += scene.table.hold_between(ids, np.full(count, k), begun, ended)
        self._at[ids] = scene.now

    def _state(self, scene: Scene) -> Matrix:
        if self._work is None:
            self._work = np.zeros((len(scene.classes), scene.table.classes))
            self._at = np.zeros(len(scene.classes))
        return self._work


def bound(table: CostTable, number: int) -> float:
    """Return the proven ratio for object *number*: 2 * (2K - 1) * psi. See the module for what it holds for."""
    ids = np.array([number])
    moves = (table.move(ids, np.array([False])) + _prepaid(table, ids)[:, None, :])[0]
    psi = 1.0
    for length in range(3, table.classes + 1):
        for cycle in itertools.permutations(range(table.classes), length):
            steps = list(zip(cycle, (*cycle[1:], cycle[0]), strict=True))
            forth = sum(float(moves[a, b]) for a, b in steps)
            reverse = sum(float(moves[b, a]) for a, b in steps)
            psi = max(psi, forth / reverse)
    return 2.0 * (2 * table.classes - 1) * psi


def constant_usd(table: CostTable, number: int) -> float:
    """Return the dollars that stand beside the bound whatever the sequence: entering the dearest class, twice."""
    ids = np.array([number])
    moves = table.move(ids, np.array([False])) + _prepaid(table, ids)[:, None, :]
    return 2.0 * float(moves.max() + table.first()[number].max())


def _prepaid(table: CostTable, ids: Ints) -> Matrix:
    return np.asarray(table.hold[ids] * table.min_days)


def _hold_now(table: CostTable, ids: Ints, idle: Floats) -> Matrix:
    """Return [id, class] dollars of the coming day."""
    day = [
        table.hold_between(ids, np.full(len(ids), k), idle, idle + 1.0) if offer.ladder else table.hold[ids, k]
        for k, offer in enumerate(table.offers)
    ]
    return np.stack(day, axis=1)
