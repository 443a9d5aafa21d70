"""Ingest: one pass from a source to parts that give back exactly its bytes."""

import gc
import os
import random
import weakref
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.chunkers import chunker_of, resolve_chunker
from dedup.errors import ShortRead
from dedup.fingerprint import FINGERPRINT_LEN, digest, fingerprint, register_fingerprint
from dedup.ingest import LONGEST_PAGE_BYTES, WINDOW_BYTES, Cutting, Ingested, ingest_whole
from dedup.values import ChunkPart, Fingerprint, HolePart, Region, Span, WrappedPart, chunks_of
from dedup.wrappers import register_wrapper
from tests.dedup.memory import BytesSource, Shelf

TINY = resolve_chunker("gear-1:64-256-1k")


def weak_fingerprint(data: bytes | bytearray | memoryview) -> Fingerprint:
    """Return 8 bits of the real one: collisions among a few dozen chunks are certain."""
    return Fingerprint(bytes(FINGERPRINT_LEN - 1) + fingerprint(data)[-1:])


register_fingerprint("xxh3-8", weak_fingerprint)


def whole(data: bytes, *regions: Region) -> Ingested:
    """Ingest *data* from memory, and hold the pieces against it."""
    cutting = Cutting(partial(chunker_of, size_bytes=len(data)), fingerprint, "a file", regions)
    result, pieces = ingest_whole(memoryview(data), cutting)
    assert [piece.chunk for piece in pieces] == list(chunks_of(result.parts))
    for piece in pieces:
        assert (piece.chunk.digest, piece.chunk.fingerprint) == (digest(piece.data), fingerprint(piece.data))
        assert piece.origin == "a file"
    return result


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

    result = shelf.take_in(BytesSource(bytes(data), ranges, piece), TINY)

    assert shelf.assembled(result.parts) == bytes(data)
    assert result.digest == digest(data)
    assert sum(part.length for part in result.parts if isinstance(part, HolePart)) == sum(b - a for a, b in ranges)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 60_000), max_size=5), size=st.integers(1, 60_000))
def test_chunks_never_span_regions_and_both_ways_cut_alike(seed: int, cuts: list[int], size: int) -> None:
    data = random.Random(seed).randbytes(size)
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    kinds = ["generic", "text", "tensor", "media"]
    regions = [
        Region(Span(start, end - start), kinds[number % 4], "bf16" if number % 4 == 2 else "")
        for number, (start, end) in enumerate(pairwise(edges))
    ]
    shelf = Shelf()

    streamed = shelf.take_in(BytesSource(data, piece=7000), TINY, regions=regions)
    cutting = Cutting(lambda region: TINY, fingerprint, None, regions)
    at_once, _ = ingest_whole(memoryview(data), cutting)

    assert streamed == at_once
    assert shelf.assembled(streamed.parts) == data
    ends = {sum(part.length for part in streamed.parts[: number + 1]) for number in range(len(streamed.parts))}
    assert {region.span.end for region in regions} <= ends
    of_block = {chunk.digest: block.kind for block in shelf.blocks for chunk in block.chunks}
    assert set(of_block) == {chunk.digest for chunk in chunks_of(streamed.parts)}


def test_the_second_copy_stores_nothing() -> None:
    shelf, data = Shelf(), os.urandom(20_000)
    first = shelf.take_in(BytesSource(data), TINY)
    stored = len(shelf.blocks)

    second = shelf.take_in(BytesSource(data), TINY)

    assert second.parts == first.parts
    assert len(shelf.blocks) == stored


def test_repeats_within_one_file_are_stored_once() -> None:
    shelf = Shelf()

    result = shelf.take_in(BytesSource(bytes(100_000)), TINY)

    assert len(shelf.chunks) == 2  # the repeated longest chunk, and the shorter last one
    assert len(result.parts) == 98


def test_p2_a_collision_of_fingerprints_is_not_a_duplicate() -> None:
    shelf = Shelf()
    files = [os.urandom(20_000), os.urandom(20_000)]

    results = [shelf.take_in(BytesSource(data), TINY, fingerprint="xxh3-8") for data in files]

    assert len(shelf.fingerprints) < len(shelf.chunks)  # there were collisions
    for data, result in zip(files, results, strict=True):
        assert shelf.assembled(result.parts) == data
    assert sum(len(block.raw) for block in shelf.blocks) == 40_000


def test_a_file_that_is_all_hole_stores_nothing() -> None:
    shelf = Shelf()
    source = BytesSource(bytes(5000), [(0, 2000), (2000, 5000)])

    result = shelf.take_in(source, TINY)

    assert result.parts == (HolePart(5000),)
    assert shelf.chunks == {}
    assert result.digest == digest(bytes(5000))


def test_an_empty_file_has_no_parts() -> None:
    for result in (Shelf().take_in(BytesSource(b""), TINY), whole(b"")):
        assert result.parts == ()
        assert result.digest == digest(b"")


def test_a_source_that_ends_early_is_an_error() -> None:
    class Shrinking(BytesSource):
        def readinto(self, buffer: memoryview, offset: int) -> int:
            return super().readinto(buffer, offset) if offset < 3000 else 0

    with pytest.raises(ShortRead):
        Shelf().take_in(Shrinking(bytes(10_000), piece=1000), TINY)


def test_the_source_is_looked_at_before_every_read() -> None:
    seen: list[str] = []

    class Watched(BytesSource):
        def readinto(self, buffer: memoryview, offset: int) -> int:
            assert seen.pop() == "looked"
            return super().readinto(buffer, offset)

    Shelf().take_in(Watched(os.urandom(9000), piece=700), TINY, before_read=lambda: seen.append("looked"))


def test_a_file_that_was_read_is_let_go_at_once_without_a_search_for_garbage() -> None:
    source = BytesSource(bytes(9000), piece=700)
    is_alive = weakref.ref(source)
    gc.disable()
    try:
        Shelf().take_in(source, TINY)
        del source
        assert is_alive() is None
    finally:
        gc.enable()


def test_files_longer_than_the_window_are_cut_alike() -> None:
    data = random.Random(4).randbytes(19 << 20)
    chunker = resolve_chunker("gear-1:16k-64k-256k")
    shelf = Shelf()

    result = shelf.take_in(BytesSource(data), chunker)

    ends = chunker.cuts(memoryview(data), final=True)
    assert [part.length for part in result.parts] == [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert shelf.assembled(result.parts) == data
    assert whole(data).parts == result.parts


def test_a_file_of_one_chunk_has_the_chunks_digest() -> None:
    data = os.urandom(9000)

    result = whole(data)

    assert result.parts == (ChunkPart(fingerprint(data), digest(data), 9000),)
    assert result.digest == digest(data)


@pytest.mark.parametrize(
    ("element", "length"), [("f32", 4 << 20), ("bf16", 2 << 20), ("u8", 1 << 20), ("i64", 4 << 20)]
)
def test_tensors_are_cut_into_pieces_from_their_start(element: str, length: int) -> None:
    data = os.urandom(9_000_000)

    result = whole(data, Region(Span(0, 1000), "generic"), Region(Span(1000, len(data) - 1000), "tensor", element, "w"))

    lengths = [part.length for part in result.parts]
    rest = (len(data) - 1000) % length
    assert lengths == [1000, *[length] * ((len(data) - 1000) // length), rest]


class Doubled:
    """Wraps by writing everything twice; the plain form is one half."""

    def unwrap(self, data: bytes | bytearray | memoryview) -> bytes | None:
        half = bytes(data[: len(data) // 2])
        return half if half + half == bytes(data) else None

    def rewrap(self, plain: bytes | bytearray | memoryview, length: int) -> bytes:
        return bytes(plain) * 2


register_wrapper("doubled:1", Doubled())


def test_a_page_is_stored_in_its_plain_form() -> None:
    plain, shelf = os.urandom(40_000), Shelf()
    data = b"head" + plain + plain + b"tail"
    regions = [
        Region(Span(0, 4), "generic"),
        Region(Span(4, 80_000), "page", wrap="doubled:1"),
        Region(Span(80_004, 4), "generic"),
    ]

    result = shelf.take_in(BytesSource(data, piece=30_000), TINY, regions=regions)

    wrapped = result.parts[1]
    assert isinstance(wrapped, WrappedPart)
    assert sum(chunk.length for chunk in wrapped.inner) == len(plain)
    assert sum(len(block.raw) for block in shelf.blocks) == len(plain) + 8
    assert shelf.assembled(result.parts) == data
    assert result.digest == digest(data)


def test_a_page_longer_than_a_window_is_stored_in_its_plain_form_too() -> None:
    plain, shelf = os.urandom(3 * WINDOW_BYTES), Shelf()
    region = Region(Span(5, 2 * len(plain)), "page", wrap="doubled:1")
    assert region.span.length <= LONGEST_PAGE_BYTES
    regions = [Region(Span(0, 5), "generic"), region]

    result = shelf.take_in(BytesSource(b"first" + plain + plain), TINY, regions=regions)

    assert isinstance(result.parts[1], WrappedPart)
    assert sum(len(block.raw) for block in shelf.blocks) == 5 + len(plain)


def test_a_page_that_does_not_come_back_exactly_is_kept_as_it_is() -> None:
    data = os.urandom(50_000)

    result = whole(data, Region(Span(0, len(data)), "page", wrap="doubled:1"))

    assert not any(isinstance(part, WrappedPart) for part in result.parts)
    assert sum(part.length for part in result.parts) == len(data)
