"""Blocks: full ones, of one kind each, every new chunk in exactly one of them."""

import os
from collections.abc import Sequence

import pytest

from dedup.blocks import BLOCK_BYTES, SOLO_BYTES, Gatherer, RawBlock, code
from dedup.codecs import decode
from dedup.fingerprint import digest, fingerprint
from dedup.ingest import Piece, Pieces
from dedup.values import ChunkPart, Region, Span

GENERIC = Region(Span(0, 0), "generic")
TEXT = Region(Span(0, 0), "text")
FLOATS = Region(Span(0, 0), "tensor", "f32")


class All:
    """Everything is new, but for what is named."""

    def __init__(self, *known: bytes) -> None:
        self.known = {digest(data) for data in known}

    def claim(self, chunks: Sequence[ChunkPart]) -> list[int]:
        return [number for number, chunk in enumerate(chunks) if chunk.digest not in self.known]


def piece(data: bytes, region: Region = GENERIC) -> Piece:
    return Piece(ChunkPart(fingerprint(data), digest(data), len(data)), memoryview(data), region, 0, "a file")


def pieces(*some: Piece) -> Pieces:
    found = Pieces()
    for one in some:
        found += Pieces([one.chunk], [one.data], [one.region], [one.start], [one.origin])
    return found


def contents(block: RawBlock) -> list[bytes]:
    found, at = [], 0
    for chunk in block.chunks:
        found.append(block.raw[at : at + chunk.length])
        at += chunk.length
    assert at == len(block.raw)
    return found


def test_small_chunks_share_blocks_in_the_order_they_come() -> None:
    full: list[RawBlock] = []
    gatherer = Gatherer(All(), full.append)
    data = [os.urandom(50_000) for _ in range(50)]

    for start in range(0, 50, 7):
        gatherer.take(pieces(*(piece(one) for one in data[start : start + 7])))
    gatherer.flush()

    assert [one for block in full for one in contents(block)] == data
    assert [len(block.raw) >= BLOCK_BYTES for block in full] == [True, True, False]
    assert all(len(block.raw) < BLOCK_BYTES + 50_000 for block in full)


def test_kinds_and_elements_are_not_mixed() -> None:
    full: list[RawBlock] = []
    gatherer = Gatherer(All(), full.append)

    gatherer.take(pieces(*(piece(os.urandom(100), region) for region in (GENERIC, TEXT, FLOATS, TEXT, GENERIC))))
    gatherer.flush()

    assert sorted((block.kind, block.element, len(block.chunks)) for block in full) == [
        ("generic", "", 2),
        ("tensor", "f32", 1),
        ("text", "", 2),
    ]


def test_a_long_chunk_is_a_block_of_its_own() -> None:
    full: list[RawBlock] = []
    gatherer = Gatherer(All(), full.append)

    gatherer.take(pieces(piece(b"small"), piece(bytes(SOLO_BYTES)), piece(b"little")))
    gatherer.flush()

    assert [contents(block) for block in full] == [[bytes(SOLO_BYTES)], [b"small", b"little"]]


def test_what_is_known_is_left_out() -> None:
    full: list[RawBlock] = []
    gatherer = Gatherer(All(b"old"), full.append)

    gatherer.take(pieces(piece(b"new"), piece(b"old"), piece(b"newer")))
    gatherer.take(pieces(piece(b"old")))
    gatherer.flush()

    assert [contents(block) for block in full] == [[b"new", b"newer"]]


def test_the_pieces_memory_may_change_once_they_are_taken() -> None:
    full: list[RawBlock] = []
    gatherer = Gatherer(All(), full.append)
    buffer = bytearray(b"first")
    chunk = ChunkPart(fingerprint(b"first"), digest(b"first"), 5)

    gatherer.take(pieces(Piece(chunk, memoryview(buffer), GENERIC, 0, "a file")))
    buffer[:] = b"other"
    gatherer.flush()

    assert full[0].raw == b"first"
    assert full[0].origin == "a file"


@pytest.mark.parametrize("region", [GENERIC, TEXT, FLOATS])
def test_a_coded_block_comes_back(region: Region) -> None:
    full: list[RawBlock] = []
    gatherer = Gatherer(All(), full.append)
    gatherer.take(pieces(piece(b"the same words " * 4000, region)))
    gatherer.flush()

    coded = code(full[0], effort="fast").coded

    assert decode(coded.codec, coded.payload, len(full[0].raw)) == full[0].raw
    assert len(coded.payload) < len(full[0].raw)
