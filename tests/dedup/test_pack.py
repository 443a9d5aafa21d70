"""Packs: what was added is found again, by trailer or by scanning, and nothing forged is believed."""

import io
import os
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import pack as pack_module
from dedup.assemble import chunk_view, open_block
from dedup.codecs import encode
from dedup.errors import DedupError, FormatError
from dedup.fingerprint import digest
from dedup.layout import BLOCK_MAGIC, FOOTER_LEN, MAX_BLOCK_CHUNKS, footer, parse_footer
from dedup.pack import PackSummary, PackWriter, ReadSpan, read_kind, read_trailer, scan_pack
from dedup.recipe_id import recipe_ids, recipe_key
from dedup.values import Block, ChunkPart, Digest, Fingerprint, ScannedBlock, Span
from tests.dedup.samples import add_recipes, part

Chunks = Sequence[bytes]
BLOCKS = st.lists(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5), max_size=6)
BASE = Digest(bytes(range(32)))


def packed(blocks: Sequence[Chunks], *, raw: bool = False) -> tuple[bytes, PackSummary]:
    """Return a pack; every third block of one chunk claims to have a base."""
    out = io.BytesIO()
    writer = PackWriter(out, kind="data")
    for number, chunks in enumerate(blocks):
        data = b"".join(chunks)
        coded = encode(data, effort="fast")
        codec, payload = ("raw", data) if raw else (coded.codec, coded.payload)
        base = BASE if len(chunks) == 1 and number % 3 == 2 else None
        writer.add_block(codec, payload, len(data), [part(chunk) for chunk in chunks], base)
    summary = writer.finish()
    return out.getvalue(), summary


def one_each(chunks: Chunks) -> list[list[bytes]]:
    return [[chunk] for chunk in chunks]


def reader(data: bytes, spans: list[Span] | None = None) -> ReadSpan:
    def read(span: Span) -> bytes:
        if spans is not None:
            spans.append(span)
        return data[span.start : span.end]

    return read


def opened(data: bytes, block: Block) -> list[bytes]:
    raw = open_block(block.codec, data[block.offset : block.offset + block.stored_len], block.raw_len)
    return [bytes(chunk_view(raw, p.inner_offset, p.chunk.length, p.chunk.digest)) for p in block.placed()]


def scanned(block: Block) -> ScannedBlock:
    lengths = tuple(chunk.length for chunk in block.chunks)
    return ScannedBlock(block.offset, block.stored_len, block.raw_len, block.codec, lengths, block.base, block.first)


def rebuilt_without_the_end(data: bytes) -> list[ScannedBlock]:
    return list(scan_pack(reader(data), len(data)))


@given(blocks=BLOCKS)
def test_what_is_packed_is_listed(blocks: list[list[bytes]]) -> None:
    data, summary = packed(blocks)

    found = read_trailer(reader(data), len(data))

    assert tuple(found) == summary.blocks
    assert [opened(data, block) for block in found] == blocks
    assert rebuilt_without_the_end(data) == [scanned(block) for block in found]
    assert summary.size_bytes == len(data)
    assert summary.framing_bytes == len(data) - sum(block.stored_len for block in found)
    end = parse_footer(data[-FOOTER_LEN:], len(data))
    assert summary.content_hash == digest(data[end.trailer_offset :]).hex()
    assert packed(blocks) == (data, summary)


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=9), stored_len=st.integers(0, 1000))
def test_the_shares_of_a_block_add_up(chunks: list[bytes], stored_len: int) -> None:
    block = Block(0, stored_len, len(b"".join(chunks)), "raw", tuple(map(part, chunks)))

    shares = [placed.stored_share for placed in block.placed()]

    assert sum(shares) == stored_len
    assert all(share >= 0 for share in shares)


def test_two_reads_are_enough_for_a_long_index() -> None:
    data, summary = packed([[i.to_bytes(4, "big") for i in range(start, start + 40)] for start in range(0, 4000, 40)])
    spans: list[Span] = []

    blocks = read_trailer(reader(data, spans), len(data))

    assert tuple(blocks) == summary.blocks
    assert len(spans) == 2
    assert sum(span.length for span in spans) < pack_module.FIRST_READ + 4000 * 42


def test_one_read_is_enough_for_a_short_index() -> None:
    data, _ = packed(one_each([os.urandom(1000) for _ in range(300)]))
    spans: list[Span] = []

    read_trailer(reader(data, spans), len(data))

    assert len(spans) == 1


@settings(max_examples=200)
@given(cut=st.integers(0, 1200), flips=st.lists(st.integers(0, 8 * 1200), max_size=3), junk=st.binary(max_size=80))
def test_damaged_packs_raise_dedup_errors_only(cut: int, flips: list[int], junk: bytes) -> None:
    whole, summary = packed([[b"alpha" * 20, b"beta"], [bytes(300)], [os.urandom(200)]])
    known = {chunk.digest for block in summary.blocks for chunk in block.chunks}
    damaged = bytearray(whole[: len(whole) - cut] + junk)
    for flip in flips:
        if damaged:
            damaged[flip // 8 % len(damaged)] ^= 1 << flip % 8
    data = bytes(damaged)
    for block in rebuilt_without_the_end(data):
        assert block.offset + block.stored_len <= len(data)
    try:
        read_kind(reader(data))
        for found in read_trailer(reader(data), len(data)):
            assert {digest(chunk) for chunk in opened(data, found)} <= known
    except DedupError:
        pass


@settings(max_examples=300)
@given(flips=st.lists(st.integers(0, 8 * 400), min_size=1, max_size=3), kind=st.sampled_from(["data", "recipes"]))
def test_a_forged_trailer_raises_dedup_errors_only(flips: list[int], kind: str) -> None:
    """The digest of the trailer keeps damage out; a forger can write it anew."""
    whole, summary = packed([[b"a" * 9, b"b"], [b"c" * 30], [b"d"]]) if kind == "data" else packed_recipes(5, 2)
    start = whole.index(b"FLTR")
    trailer = bytearray(whole[start:-FOOTER_LEN])
    for flip in flips:
        trailer[flip // 8 % len(trailer)] ^= 1 << flip % 8
    count = sum(len(block.chunks) for block in summary.blocks)
    end = footer(read_kind(reader(whole)), count, start, bytes(trailer))
    forged = whole[:start] + trailer + end
    try:
        for block in read_trailer(reader(forged), len(forged)):
            assert block.offset + block.stored_len <= start
            assert sum(chunk.length for chunk in block.chunks) == block.raw_len
    except DedupError:
        pass


@given(data=st.binary(max_size=400))
def test_random_bytes_are_not_a_pack(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_trailer(reader(data), len(data))
    assert rebuilt_without_the_end(data) == []


def test_a_damaged_block_header_costs_its_own_block_only() -> None:
    data, summary = packed(one_each([os.urandom(500) for _ in range(10)]))
    hit = summary.blocks[4]
    broken = bytearray(data)
    broken[hit.offset - 20] ^= 1

    found = rebuilt_without_the_end(bytes(broken))

    assert found == [scanned(block) for block in summary.blocks if block != hit]


@pytest.mark.parametrize("window", [5, 40, 200, 1000])
def test_scanning_does_not_depend_on_the_window(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is a constant of 4 MiB; smaller ones put every kind of edge under test."""
    monkeypatch.setattr(pack_module, "SCAN_WINDOW", window)
    rng = random.Random(window)
    data, summary = packed(one_each([rng.randbytes(rng.randrange(1, 400)) for _ in range(60)]), raw=True)
    broken = bytearray(data)
    for block in summary.blocks[::7]:
        broken[block.offset - 1] ^= 255

    found = rebuilt_without_the_end(bytes(broken))

    assert found == [scanned(block) for number, block in enumerate(summary.blocks) if number % 7]


def test_a_pack_inside_a_pack_is_not_scanned_as_blocks_of_the_outer_one() -> None:
    inner, _ = packed([[b"inner" * 30]])
    data, summary = packed([[b"outer"], [inner], [b"more"]], raw=True)
    broken = bytearray(data)
    broken[summary.blocks[1].offset - 1] ^= 1  # the header of the block that holds the inner pack

    found = rebuilt_without_the_end(bytes(broken))

    assert found == [scanned(summary.blocks[0]), scanned(summary.blocks[2])]


def test_the_magic_letters_in_a_payload_do_not_disturb() -> None:
    data, summary = packed([[BLOCK_MAGIC * 100], [b"x"], [BLOCK_MAGIC + os.urandom(100)]], raw=True)

    assert rebuilt_without_the_end(data) == [scanned(block) for block in summary.blocks]


def packed_recipes(count: int, per_block: int) -> tuple[bytes, PackSummary]:
    out = io.BytesIO()
    writer = PackWriter(out, kind="recipes")
    ids = recipe_ids(b"batch number")
    keys = [recipe_key(next(ids)) for _ in range(count)]
    for start in range(0, count, per_block):
        some = keys[start : start + per_block]
        add_recipes(writer, some, [key * 10 for key in some])
    summary = writer.finish()
    return out.getvalue(), summary


def test_recipes_are_listed_by_their_ids_and_share_the_digest_of_their_block() -> None:
    data, summary = packed_recipes(1000, 256)

    blocks = read_trailer(reader(data), len(data))

    assert tuple(blocks) == summary.blocks
    assert [(block.first, len(block.chunks)) for block in blocks] == [(0, 256), (256, 256), (512, 256), (768, 232)]
    for block in blocks:
        raw = data[block.offset : block.offset + block.stored_len]
        assert {chunk.digest for chunk in block.chunks} == {digest(raw)}
        assert [raw[p.inner_offset :][:16] for p in block.placed()] == [c.fingerprint for c in block.chunks]


def test_a_recipe_costs_a_pack_few_bytes() -> None:
    _, summary = packed_recipes(1000, 500)

    assert summary.framing_bytes < 1000 * 7 + 400


def test_what_a_pack_cannot_hold_is_refused() -> None:
    good, other = part(b"good"), part(b"other")
    key = Fingerprint(bytes(16))
    wrong: list[tuple[str, int, list[ChunkPart], Digest | None]] = [
        *((name, 4, [good], None) for name in ("", "x" * 65, "zstd 3", "zstd:é")),
        ("raw", 5, [good], None),
        ("raw", 0, [], None),
        ("raw", 9, [good, other], BASE),
        ("raw", 4, [good], Digest(b"short")),
        ("raw", 4, [ChunkPart(key, good.digest, 4)], None),
        ("raw", 0, [ChunkPart(good.fingerprint, good.digest, 0)], None),
        ("raw", 1 << 31, [ChunkPart(good.fingerprint, good.digest, 1 << 31)], None),
        ("raw", MAX_BLOCK_CHUNKS + 1, [part(b"x")] * (MAX_BLOCK_CHUNKS + 1), None),
    ]
    writer = PackWriter(io.BytesIO(), kind="data")
    for codec, raw_len, chunks, base in wrong:
        with pytest.raises(FormatError):
            writer.add_block(codec, b"good", raw_len, chunks, base)
    recipes = PackWriter(io.BytesIO(), kind="recipes")
    for chunks in ([good], [ChunkPart(key, good.digest, 2), ChunkPart(key, other.digest, 2)]):
        with pytest.raises(FormatError):
            recipes.add_block("raw", b"good", 4, chunks)
    assert writer.chunk_count == recipes.chunk_count == 0
