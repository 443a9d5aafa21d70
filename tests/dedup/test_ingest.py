"""Ingest: one pass from a source to parts that give back exactly its bytes."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.assemble import open_chunk
from dedup.chunkers import resolve_chunker
from dedup.errors import ShortRead
from dedup.fingerprint import digest, fingerprint, register_fingerprint
from dedup.ingest import Ingested, ingest
from dedup.values import ChunkPart, Fingerprint, HolePart
from tests.dedup.memory import BytesSource, Shelf, nothing

TINY = resolve_chunker("gear-1:64-256-1k")


def weak_fingerprint(data: bytes | bytearray | memoryview) -> Fingerprint:
    """Return 8 bits of the real one: collisions among a few dozen chunks are certain."""
    return Fingerprint(bytes(15) + fingerprint(data)[-1:])


register_fingerprint("xxh3-8", weak_fingerprint)


def taken_in(source: BytesSource, shelf: Shelf, name: str = "xxh3-128") -> Ingested:
    return ingest(source, chunker=TINY, effort="fast", index=shelf, sink=shelf, fingerprint=name, before_read=nothing)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.integers(0, 30_000),
    holes=st.lists(st.integers(0, 30_000), max_size=6),
    piece=st.integers(1, 5000),
)
def test_the_parts_give_back_the_file(seed: int, size: int, holes: list[int], piece: int) -> None:
    data = bytearray(random.Random(seed).randbytes(size))
    edges = sorted(min(edge, size) for edge in holes[: len(holes) // 2 * 2])
    ranges = list(zip(edges[::2], edges[1::2], strict=True))
    for start, end in ranges:
        data[start:end] = bytes(end - start)
    shelf = Shelf()

    result = taken_in(BytesSource(bytes(data), ranges, piece), shelf)

    assert shelf.assembled(result.parts, open_chunk) == bytes(data)
    assert result.digest == digest(data)
    stats = result.stats
    assert stats.hole_bytes == sum(end - start for start, end in ranges)
    assert stats.new_raw_bytes + stats.reused_bytes + stats.hole_bytes == size


def test_the_second_copy_stores_nothing() -> None:
    shelf, data = Shelf(), os.urandom(20_000)
    first = taken_in(BytesSource(data), shelf)

    second = taken_in(BytesSource(data), shelf)

    assert second.parts == first.parts
    assert (second.stats.new_chunks, second.stats.new_raw_bytes) == (0, 0)
    assert second.stats.reused_bytes == len(data)


def test_repeats_within_one_file_are_stored_once() -> None:
    shelf = Shelf()

    result = taken_in(BytesSource(bytes(100_000)), shelf)

    assert len(shelf.chunks) == 2  # the repeated longest chunk, and the shorter last one
    assert result.stats.new_chunks == 2
    assert result.stats.chunks == 98


def test_p2_a_collision_of_fingerprints_is_not_a_duplicate() -> None:
    shelf = Shelf()
    files = [os.urandom(20_000), os.urandom(20_000)]

    results = [taken_in(BytesSource(data), shelf, "xxh3-8") for data in files]

    prints = [part.fingerprint for result in results for part in result.parts if isinstance(part, ChunkPart)]
    assert len(set(prints)) < len(prints)  # there were collisions
    for data, result in zip(files, results, strict=True):
        assert result.stats.new_raw_bytes == len(data)
        assert shelf.assembled(result.parts, open_chunk) == data


def test_a_file_that_is_all_hole_stores_nothing() -> None:
    shelf = Shelf()
    source = BytesSource(bytes(5000), [(0, 2000), (2000, 5000)])

    result = taken_in(source, shelf)

    assert result.parts == (HolePart(5000),)
    assert shelf.chunks == {}
    assert result.digest == digest(bytes(5000))


def test_an_empty_file_has_no_parts() -> None:
    result = taken_in(BytesSource(b""), Shelf())

    assert result.parts == ()
    assert result.digest == digest(b"")


def test_a_source_that_ends_early_is_an_error() -> None:
    class Shrinking(BytesSource):
        def readinto(self, buffer: memoryview, offset: int) -> int:
            return super().readinto(buffer, offset) if offset < 3000 else 0

    with pytest.raises(ShortRead):
        taken_in(Shrinking(bytes(10_000), piece=1000), Shelf())


def test_the_source_is_looked_at_before_every_read() -> None:
    seen: list[str] = []

    class Watched(BytesSource):
        def readinto(self, buffer: memoryview, offset: int) -> int:
            assert seen.pop() == "looked"
            return super().readinto(buffer, offset)

    source = Watched(os.urandom(9000), piece=700)
    ingest(source, chunker=TINY, effort="fast", index=Shelf(), sink=Shelf(), before_read=lambda: seen.append("looked"))


def test_files_longer_than_the_buffer_are_cut_alike() -> None:
    data = random.Random(4).randbytes(9 << 20)
    chunker = resolve_chunker("gear-1:16k-64k-256k")
    shelf = Shelf()

    result = ingest(BytesSource(data), chunker=chunker, effort="fast", index=shelf, sink=shelf, before_read=nothing)

    ends = chunker.cuts(memoryview(data), final=True)
    assert [part.length for part in result.parts] == [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert shelf.assembled(result.parts, open_chunk) == data
