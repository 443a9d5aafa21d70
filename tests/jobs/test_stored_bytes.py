"""Any stretch of a stored file, at random or in order, is the file's own, and no block is fetched for it twice."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.values import HolePart
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tests.whole import models
from tests.whole.tree import noise, text
from tiering.jobs.block_cache import BlockCache
from tiering.jobs.migrate import migrate
from tiering.jobs.random_access import open_stored
from tiering.jobs.stored_bytes import STEP_BYTES, StoredBytes

HOLE = 9 << 20
CONTENT = {
    "model_00001.safetensors": models.checkpoint(1, 0),
    "model_00002.safetensors": models.checkpoint(1, 1),
    "table.parquet": models.table(3),
    "text": text(5, 3_000_000),
    "sparse": noise(1, 300_000) + bytes(HOLE) + noise(2, 300_000),
}


@pytest.fixture
def stored(lab: Lab) -> dict[str, StoredBytes]:
    """Files of every kind of part: deltas, pages, text, a hole."""
    for name, data in CONTENT.items():
        if name != "sparse":
            lab.write(name, data)
    place = lab.root / "sparse"
    with place.open("wb") as file:
        file.write(CONTENT["sparse"][:300_000])
        file.seek(HOLE, os.SEEK_CUR)
        file.write(CONTENT["sparse"][-300_000:])
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    return {name: open_stored(lab.context, str(lab.root / name), BlockCache()) for name in CONTENT}


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), name=st.sampled_from(sorted(CONTENT)))
def test_p7_any_stretch_at_random_or_in_order(stored: dict[str, StoredBytes], data: st.DataObject, name: str) -> None:
    content = CONTENT[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    ahead = data.draw(st.sampled_from([0, 1 << 20]))
    assert stored[name].read_at(start, min(end - start, 1 << 20), ahead=ahead) == content[start:end][: 1 << 20]
    assert b"".join(stored[name].in_order(start, end)) == content[start:end]


def test_no_byte_is_fetched_twice_by_reading_in_order(lab: Lab) -> None:
    content = noise(7, 30_000_000)  # some steps
    lab.write("long", content)
    learn(lab)
    migrate(lab.context, items(lab))
    found = open_stored(lab.context, str(lab.root / "long"), BlockCache())
    meter = lab.context.tiers["standard"].meter
    before = meter.snapshot().bytes_down

    assert b"".join(found.in_order(0, found.size)) == content

    assert len(content) <= meter.snapshot().bytes_down - before < len(content) * 1.01


def test_a_hole_of_terabytes_takes_no_memory_to_read_beside(lab: Lab) -> None:
    lab.write("small", b"beginend")
    learn(lab)
    migrate(lab.context, items(lab))
    small = open_stored(lab.context, str(lab.root / "small"), BlockCache())
    parts = (*small.recipe.parts, HolePart(3 << 40), *small.recipe.parts)
    recipe = small.recipe._replace(parts=parts, size=(3 << 40) + 16)
    found = StoredBytes(lab.context, recipe, small.known, BlockCache(), small.gate)

    assert found.read_at(0, 12) == b"beginend\0\0\0\0"
    assert found.read_at((3 << 40) + 6, 99) == b"\0\0beginend"
    assert found.read_at(1 << 40, 5) == bytes(5)
    assert max(len(piece) for piece, _ in zip(found.in_order(100, found.size), range(5), strict=False)) == STEP_BYTES
