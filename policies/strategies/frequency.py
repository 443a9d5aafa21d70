"""Decayed read rate against prices: the baseline known to be hard to beat.

An exponential average of reads (half-life 60 days unless told) is taken for the rate of the next 180 days; the class
with the least holding plus reading plus moving over them wins, if it saves 3 %. What it starts a newborn with is a
constant.
"""

import numpy as np

from policies.strategies.protocol import DECAY, HALF_LIFE_DAYS, Review, Scene
from policies.trace import Floats, Ints

HORIZON_DAYS = 180.0
GAIN = 0.03
START_READS = 1.0
"""Decayed reads that a newborn is credited with."""


class Ewma:
    """Stateless at the scene's half-life; else keeps one number per object."""

    def __init__(
        self, name: str = "ewma", *, half_life_days: float = HALF_LIFE_DAYS, gain: float = GAIN,
        start_reads: float = START_READS,
    ) -> None:  # fmt: skip
        self.name = name
        self._decay = float(np.log(2)) / half_life_days
        self._gain = gain
        self._start = start_reads
        self._heat = np.zeros(0)

    def first(self, scene: Scene, ids: Ints) -> Ints:
        """Return the cheapest class at the starting rate."""
        return np.asarray((self._ahead(scene, ids) + scene.table.first()[ids]).argmin(axis=1))

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        """Count one read each, where the scene does not do so itself at this very half-life."""
        del counts, read_bytes
        if self._decay != DECAY:
            heat = self._heat_of(scene)
            heat[ids] = heat[ids] * np.exp(-self._decay * (scene.now - scene.last[ids])) + 1.0

    def review(self, scene: Scene, ids: Ints) -> Review:
        """Return the class with the least cost over the horizon; ask again after an eighth of the idle age."""
        here = scene.classes[ids]
        rows = np.arange(len(ids))
        early = scene.table.early(ids, here, scene.now - scene.since[ids])
        costs = self._ahead(scene, ids) + scene.table.move(ids, scene.has_read[ids])[rows, here]
        costs += np.where(np.arange(scene.table.classes) == here[:, None], 0.0, early[:, None])
        best = costs.argmin(axis=1)
        better = costs[rows, best] < (1.0 - self._gain) * costs[rows, here]
        return Review(np.where(better, best, here), np.maximum(1.0, scene.idle(ids) / 8))

    def _ahead(self, scene: Scene, ids: Ints) -> Floats:
        """Return [id, class] dollars of holding and reading over the horizon, if the rate stays."""
        born = self._start * np.exp(-self._decay * (scene.now - scene.births[ids]))
        heat = self._heat_of(scene)[ids] * np.exp(-self._decay * (scene.now - scene.last[ids]))
        reads = (heat + born) * self._decay * HORIZON_DAYS
        count = len(ids)
        held = [
            scene.table.hold_between(ids, np.full(count, k), scene.idle(ids), scene.idle(ids) + HORIZON_DAYS)
            for k in range(scene.table.classes)
        ]
        return np.asarray(np.stack(held, axis=1) + reads[:, None] * scene.table.fetch(ids))

    def _heat_of(self, scene: Scene) -> Floats:
        """Return decayed reads of every object, as of its last.

        Another half-life than the scene's is begun with what a steady rate would have made of it: heat in proportion,
        but at least one read and no more than there were.
        """
        if self._decay == DECAY:
            return scene.heat
        if len(self._heat) != len(scene.heat):
            self._heat = np.clip(scene.heat * (DECAY / self._decay), np.minimum(scene.events, 1), scene.events)
        return self._heat
