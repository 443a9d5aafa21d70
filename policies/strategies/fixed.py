"""Baselines that everybody knows: stay in one class, lifecycle by age, demotion by last access, decayed frequency."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from policies.strategies.protocol import DECAY, NEVER, Review, Scene
from policies.trace import Ints


class Stay:
    """Everything in one class for ever: all-hot, all-STANDARD, all-INTELLIGENT_TIERING."""

    def __init__(self, name: str, target: int) -> None:
        self.name = name
        self._target = target

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Write it there."""
        del scene
        return np.full(len(ids), self._target)

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Learn nothing."""

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Leave it there."""
        del scene
        return Review(np.full(len(ids), self._target), np.full(len(ids), NEVER))


class Steps:
    """Moves down by fixed ages: (days, class), warmest first, the first at 0 days.

    *by_age* counts from birth and never comes back up (a Lifecycle rule); else from the last read, and a read brings
    the object back to the first class (last-access policies).
    """

    def __init__(self, name: str, steps: Sequence[tuple[float, int]], *, by_age: bool) -> None:
        if not steps or steps[0][0] != 0 or any(b[0] <= a[0] for a, b in pairwise(steps)):
            raise ValueError("steps must begin at 0 days and rise")
        self.name = name
        self._days = np.array([day for day, _ in steps])
        self._targets = np.array([target for _, target in steps])
        self._by_age = by_age

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Write it to the first class."""
        del scene
        return np.full(len(ids), self._targets[0])

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Learn nothing."""

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Go by the calendar."""
        old = scene.now - (scene.births[ids] if self._by_age else scene.last[ids])
        step = np.searchsorted(self._days, old + 1e-9, side="right") - 1
        following = np.append(self._days, NEVER)[step + 1]
        return Review(self._targets[step], following - old)


class Frequency:
    """Goes by decayed reads per day alone: (reads per day at least, class), most read first, the last at 0."""

    def __init__(self, name: str, bands: Sequence[tuple[float, int]]) -> None:
        if not bands or bands[-1][0] != 0 or any(b[0] >= a[0] for a, b in pairwise(bands)):
            raise ValueError("bands must fall and end at 0 reads a day")
        self.name = name
        self._floors = np.array([floor for floor, _ in bands])
        self._targets = np.array([target for _, target in bands])

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Write it to the class of the most read."""
        del scene
        return np.full(len(ids), self._targets[0])

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Learn nothing beyond the heat the scene keeps."""

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Look the rate up; a newborn counts as read on its birthday."""
        born = np.exp(-DECAY * (scene.now - scene.births[ids])) * DECAY
        rate = scene.rate(ids) + born
        band = (rate[:, None] < self._floors).sum(axis=1)
        below = np.append(self._floors, 0.0)[band]
        with np.errstate(divide="ignore"):
            days = np.where(below > 0, np.log(rate / below) / DECAY + 1e-6, NEVER)
        return Review(self._targets[band], np.maximum(days, 0.0))


class IntelligentTiering:
    """Everything that the class would cool goes into it; what is too small to be monitored stays in the warmest."""

    def __init__(self, target: int, name: str = "intelligent-tiering") -> None:
        self.name = name
        self._target = target

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Write it there at once: every idle day counts from then."""
        return np.where(scene.table.ladder_gib[ids, self._target] > 0, self._target, 0)

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Learn nothing: the provider does."""

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Leave it there."""
        return Review(self.first(scene, ids), np.full(len(ids), NEVER))
