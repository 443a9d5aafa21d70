"""Copies take over the chunks of what was cut before: the very chunks that cutting them would give."""

import os
import random
from collections.abc import Sequence
from functools import partial
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import familiar as familiar_module
from dedup.chunkers import chunker_of, resolve_chunker
from dedup.familiar import LEAST_BYTES, Familiar, Stretch
from dedup.fingerprint import digest, fingerprint
from dedup.ingest import Cutting, Pieces, ingest, ingest_whole
from dedup.many import LONGEST_BYTES, Members, ingest_many
from dedup.values import ChunkPart, Fingerprint, Region, Span
from tests.dedup.memory import BytesSource, Shelf

SMALL = resolve_chunker("gear-1:16k-64k-256k")
MIB = 1 << 20


class Counting:
    """A fingerprint function that counts what it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, data: bytes | bytearray | memoryview) -> Fingerprint:
        self.count += 1
        return fingerprint(data)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def lines(seed: int, size: int) -> bytes:
    rng = random.Random(seed)
    return b"".join(b"%d %s\n" % (rng.randrange(9), b"word " * rng.randrange(60)) for _ in range(size // 120))[:size]


def together(files: Sequence[bytes], familiar: Familiar | None) -> tuple[object, list[tuple[object, ...]]]:
    buffer = memoryview(b"".join(files))
    lengths = [len(data) for data in files]
    members = Members([0, *accumulate(lengths)][:-1], lengths, [b"f"] * len(files), list(range(len(files))))
    parts, digests, pieces = ingest_many(buffer, members, fingerprint, familiar)
    return (parts, digests), in_full(pieces)


def in_full(pieces: Pieces) -> list[tuple[object, ...]]:
    return [(piece.chunk, bytes(piece.data), piece.region, piece.start, piece.origin) for piece in pieces]


CONTENTS = st.builds(
    lambda make, seed, size: make(seed, size),
    st.sampled_from([noise, lines]),
    st.integers(0, 3),
    st.sampled_from([0, 100, 20_000, LEAST_BYTES - 1, LEAST_BYTES, 150_000, 400_000]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CONTENTS, max_size=6), max_size=4))
def test_small_files_are_what_they_are_without(groups: list[list[bytes]]) -> None:
    familiar = Familiar()
    for files in groups:
        assert together(files, familiar) == together(files, None)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 3),
    size=st.sampled_from([70_000, 300_000, 900_000]),
    edges=st.lists(st.integers(0, 900_000), max_size=3),
    kinds=st.lists(st.sampled_from(["generic", "text", "media"]), min_size=4, max_size=4),
)
def test_the_same_bytes_in_other_regions_are_cut_as_those_ask(
    seed: int, size: int, edges: list[int], kinds: list[str]
) -> None:
    data, familiar = lines(seed, size), Familiar()
    places = sorted({0, size, *(edge for edge in edges if edge < size)})
    regions = [
        Region(Span(start, end - start), kind) for start, end, kind in zip(places, places[1:], kinds, strict=False)
    ]
    for wanted in ((), regions, regions[:1] if len(regions) == 1 else ()):
        cuttings = [
            Cutting(partial(chunker_of, size_bytes=LONGEST_BYTES), fingerprint, None, wanted, familiar=known)
            for known in (None, familiar, familiar)
        ]
        plain, first, again = (ingest_whole(memoryview(data), cutting) for cutting in cuttings)
        streamed = Shelf().take_in(BytesSource(data), SMALL, regions=wanted, familiar=familiar)
        assert first[0] == again[0] == plain[0]
        assert in_full(first[1]) == in_full(again[1]) == in_full(plain[1])
        assert streamed == Shelf().take_in(BytesSource(data), SMALL, regions=wanted)


def test_a_copy_is_neither_cut_nor_named_and_offers_the_same_pieces() -> None:
    data, familiar, count = noise(1, 20 * MIB), Familiar(), Counting()
    cutting = Cutting(lambda region: SMALL, count, None, familiar=familiar)
    first, pieces = ingest_whole(memoryview(data), cutting)
    named = count.count

    again, same = ingest_whole(memoryview(data), cutting)

    assert named == count.count == len(first.parts)
    assert again == first
    assert in_full(same) == in_full(pieces)


def test_a_long_copy_in_windows_stores_nothing_and_one_whose_chunks_are_gone_is_stored_again() -> None:
    data, familiar = noise(2, 19 * MIB), Familiar()
    holes = [(3 * MIB, 4 * MIB)]
    data = data[: holes[0][0]] + bytes(MIB) + data[holes[0][1] :]
    for layout in ([], holes):
        shelf = Shelf()
        first = shelf.take_in(BytesSource(data, layout), SMALL, familiar=familiar)
        stored = len(shelf.blocks)
        assert shelf.take_in(BytesSource(data, layout), SMALL, familiar=familiar) == first
        assert len(shelf.blocks) == stored
        assert first == Shelf().take_in(BytesSource(data, layout), SMALL)

        empty = Shelf()  # knows none of the chunks
        assert empty.take_in(BytesSource(data, layout), SMALL, familiar=familiar) == first
        assert empty.assembled(first.parts) == data


def test_a_long_copy_is_named_as_far_as_it_is_none() -> None:
    data, familiar, count = noise(8, 18 * MIB), Familiar(), Counting()
    cutting = Cutting(lambda region: SMALL, count, None, familiar=familiar)
    named: list[int] = []
    cut: list[int] = []
    for source in (data, data, data + b"a line more"):
        begun = count.count
        result = ingest(BytesSource(source), cutting, take=lambda pieces: None, before_read=lambda: None)
        named.append(count.count - begun)
        cut.append(len(result.parts))
    assert named[:2] == [cut[0], 0]
    assert 0 < named[2] < 4 * MIB // SMALL.min_len  # the last window


def test_files_that_begin_or_end_alike_are_cut_as_if_they_were_alone() -> None:
    base, familiar = noise(3, 18 * MIB), Familiar()
    variants = [
        base,
        base + b"more",
        base[: 9 * MIB],
        base[:-1] + bytes([base[-1] ^ 1]),
        base[: 10 * MIB] + b"x" + base[10 * MIB :],
        base[1:],
    ]
    for data in variants:
        expected = Shelf().take_in(BytesSource(data), SMALL)
        assert Shelf().take_in(BytesSource(data), SMALL, familiar=familiar) == expected


def test_p2_stretches_are_known_by_their_digest_whatever_fingerprints_say() -> None:
    def blind(data: bytes | bytearray | memoryview) -> Fingerprint:
        return Fingerprint(bytes(8))

    familiar = Familiar()
    for data in (noise(4, 200_000), noise(5, 200_000), noise(4, 200_000)):
        cutting = Cutting(lambda region: SMALL, blind, None, familiar=familiar)
        result, pieces = ingest_whole(memoryview(data), cutting)
        assert result.digest == digest(data)
        assert [piece.chunk.digest for piece in pieces] == [digest(piece.data) for piece in pieces]


def test_what_only_counts_is_not_noted() -> None:
    familiar = Familiar()
    for data in (noise(6, 300_000), noise(7, 300_000)):
        cutting = Cutting(lambda region: SMALL, fingerprint, None, proves=False, familiar=familiar)
        result, _ = ingest_whole(memoryview(data), cutting)
        assert result == ingest_whole(memoryview(data), Cutting(lambda region: SMALL, fingerprint, proves=False))[0]


def stretch(number: int) -> Stretch:
    return Stretch(digest(b"%d" % number), 0, LEAST_BYTES, SMALL.name, True)


def test_what_nobody_asks_for_is_forgotten_and_what_is_asked_for_stays() -> None:
    familiar = Familiar()
    chunks = [ChunkPart(Fingerprint(os.urandom(8)), digest(os.urandom(9)), 1 << number) for number in range(25)]
    count = 3 * familiar_module.GENERATION_BYTES // (25 * 44)
    for number in range(count):
        familiar.add(stretch(number), chunks)
        assert familiar.chunks(stretch(0)) == chunks
    assert familiar.chunks(stretch(1)) is None
    assert familiar.chunks(stretch(count - 1)) == chunks
