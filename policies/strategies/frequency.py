"""Decayed read rate against prices: the baseline known to be hard to beat.

An exponential average of reads (half-life 60 days) is taken for the rate of the next 180 days; the class with the least
holding plus reading plus moving over them wins, if it saves 3 %. What it starts a newborn with is a constant.
"""

import numpy as np

from policies.strategies.protocol import DECAY, Review, Scene
from policies.trace import Floats, Ints

HORIZON_DAYS = 180.0
GAIN = 0.03
START_READS = 1.0
"""Decayed reads that a newborn is credited with."""


class Ewma:
    """Stateless: everything it needs is in the scene."""

    def __init__(self, name: str = "ewma", *, start_reads: float = START_READS) -> None:
        self.name = name
        self._start = start_reads

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Return the cheapest class at the starting rate."""
        return np.asarray((self._ahead(scene, ids) + scene.table.first()[ids]).argmin(axis=1))

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Learn nothing beyond the heat the scene keeps."""

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Return the class with the least cost over the horizon; ask again after an eighth of the idle age."""
        here = scene.classes[ids]
        rows = np.arange(len(ids))
        early = scene.table.early(ids, here, scene.now - scene.since[ids])
        costs = self._ahead(scene, ids) + scene.table.move(ids, scene.has_read[ids])[rows, here]
        costs += np.where(np.arange(scene.table.classes) == here[:, None], 0.0, early[:, None])
        best = costs.argmin(axis=1)
        better = costs[rows, best] < (1.0 - GAIN) * costs[rows, here]
        return Review(np.where(better, best, here), np.maximum(1.0, scene.idle(ids) / 8))

    def _ahead(self, scene: Scene, ids: Ints) -> Floats:
        """Return [id, class] dollars of holding and reading over the horizon, if the rate stays."""
        born = self._start * np.exp(-DECAY * (scene.now - scene.births[ids])) * DECAY
        reads = (scene.rate(ids) + born) * HORIZON_DAYS
        count = len(ids)
        held = [
            scene.table.hold_between(ids, np.full(count, k), scene.idle(ids), scene.idle(ids) + HORIZON_DAYS)
            for k in range(scene.table.classes)
        ]
        return np.asarray(np.stack(held, axis=1) + reads[:, None] * scene.table.fetch(ids))
