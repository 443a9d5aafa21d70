"""What was learned survives a restart as plain JSON, and nothing that is not ours is believed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from policies.learned import Learned, LearnedError, learned_from
from policies.offers import Terms
from policies.simulator import simulate
from policies.strategies.expected import ExpectedCost
from policies.strategies.protocol import Review, Scene
from policies.synthetic import synthetic
from policies.trace import Ints
from tests.policies.histories import table_for

TRACE = synthetic("mixed", objects=60, days=240, seed=6)
NAMES = TRACE.kind_names


class Restarted:
    """Expected cost whose process ends every *every* days; a new one begins with what the old one wrote."""

    name = "restarted"

    def __init__(self, every: float, *, remembers: bool) -> None:
        self._every, self._remembers = every, remembers
        self._until = every
        self.inner = ExpectedCost(Terms(), kind_names=NAMES)
        self.restarts = 0

    def _now(self, scene: Scene) -> ExpectedCost:
        if scene.now >= self._until:
            self._until = scene.now + self._every
            text = json.dumps(self.inner.learned(scene).to_json())
            memory = learned_from(json.loads(text)) if self._remembers else None
            self.inner = ExpectedCost(Terms(), memory=memory, kind_names=NAMES)
            self.restarts += 1
        return self.inner

    def first(self, scene: Scene, ids: Ints) -> Ints:
        return self.inner.first(scene, ids)

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        self.inner.observe(scene, ids, counts, read_bytes)

    def review(self, scene: Scene, ids: Ints) -> Review:
        return self._now(scene).review(scene, ids)


def test_restarts_cost_next_to_nothing_where_memory_is_kept() -> None:
    table = table_for(TRACE)
    whole = simulate(TRACE, table, ExpectedCost(Terms())).usd_total
    kept, lost = Restarted(30, remembers=True), Restarted(30, remembers=False)
    with_memory, without = simulate(TRACE, table, kept).usd_total, simulate(TRACE, table, lost).usd_total

    assert kept.restarts == lost.restarts >= 5
    assert with_memory == pytest.approx(whole, rel=0.01)
    assert abs(without - whole) > 2 * abs(with_memory - whole)


def test_the_document_says_everything(learned: Learned) -> None:
    back = learned_from(json.loads(json.dumps(learned.to_json())))

    assert (back.layout, back.day, back.begun_day, back.kinds) == (learned.layout, back.day, 0.0, NAMES)
    for name in ("reads", "days", "events", "counts", "shares"):
        assert np.allclose(getattr(back, name), getattr(learned, name), rtol=1e-8)
    assert back.days.sum() > 300
    assert back.reads.sum() > 10


def test_kinds_go_by_name_and_strangers_begin_at_zero(learned: Learned) -> None:
    names = ("new", NAMES[2], NAMES[0])
    trace = replace(TRACE.between(0, 3), kinds=np.zeros(TRACE.between(0, 3).objects, np.int64), kind_names=names)
    caught = Catching(ExpectedCost(Terms(), memory=replace(learned, day=0.0), kind_names=names))
    simulate(trace, table_for(trace), caught)
    again = caught.inner.learned(caught.scene)

    assert np.allclose(again.reads[1], learned.reads[2] * 0.5 ** (again.day / 180))
    assert np.allclose(again.reads[2], learned.reads[0] * 0.5 ** (again.day / 180))


@pytest.mark.parametrize("change", [{"layout": "other"}, {"day": 10_000.0}])
def test_memory_of_another_layout_or_of_the_future_is_left_unused(learned: Learned, change: dict[str, object]) -> None:
    table = table_for(TRACE)
    fresh = simulate(TRACE, table, ExpectedCost(Terms())).usd_total
    odd = replace(learned, **change)  # type: ignore[arg-type]

    assert simulate(TRACE, table, ExpectedCost(Terms(), memory=odd, kind_names=NAMES)).usd_total == fresh


def test_names_are_needed_for_every_kind() -> None:
    caught = Catching(ExpectedCost(Terms()))
    simulate(TRACE, table_for(TRACE), caught)

    with pytest.raises(ValueError, match="as many names"):
        caught.inner.learned(caught.scene)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"),
        ({"reads": None}, "subscriptable"),
        ({"reads": {"shape": [9, 9, 9, 9], "at": [], "values": []}}, "shape"),
        ({"days": {"shape": [6, 10**6, 10**6], "at": [], "values": []}}, "shape"),
        ({"events": {"shape": [6, 6, 22], "at": [-1], "values": [1.0]}}, "place"),
        ({"events": {"shape": [6, 6, 22], "at": [1], "values": [-1.0]}}, "negative"),
        ({"events": {"shape": [6, 6, 22], "at": [1], "values": [1.0, 2.0, 3.0]}}, "3 values"),
        ({"day": "yesterday"}, "yesterday"),
    ],
)
def test_a_damaged_document_is_refused(learned: Learned, change: dict[str, object], said: str) -> None:
    with pytest.raises(LearnedError, match=said):
        learned_from({**learned.to_json(), **change})


def test_a_missing_key_is_named(learned: Learned) -> None:
    document = learned.to_json()
    del document["shares"]

    with pytest.raises(LearnedError, match="shares: missing"):
        learned_from(document)


class Catching:
    """Keeps the scene that a strategy saw last."""

    name = "catching"

    def __init__(self, inner: ExpectedCost) -> None:
        self.inner = inner
        self.scene: Scene

    def first(self, scene: Scene, ids: Ints) -> Ints:
        self.scene = scene
        return self.inner.first(scene, ids)

    def observe(self, scene: Scene, ids: Ints, counts: Ints, read_bytes: Ints) -> None:
        self.inner.observe(scene, ids, counts, read_bytes)

    def review(self, scene: Scene, ids: Ints) -> Review:
        return self.inner.review(scene, ids)


@pytest.fixture(scope="module")
def learned() -> Learned:
    """What eight months of six kinds teach."""
    caught = Catching(ExpectedCost(Terms(), kind_names=NAMES))
    simulate(TRACE, table_for(TRACE), caught)
    return caught.inner.learned(caught.scene)
