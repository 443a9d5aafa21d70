"""Recovery: a pack without its end gives back its chunks and recipes, those coded against a base when that is known."""

import io
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.codecs import encode
from dedup.fingerprint import digest
from dedup.layout import FOOTER_LEN, PackKind
from dedup.pack import PackSummary, PackWriter
from dedup.recovery import recover
from dedup.values import Block, Digest
from tests.dedup.samples import part, sample_recipe_pack
from tests.dedup.test_pack import reader, scanned


def packed(*blocks: tuple[list[bytes], bytes | None]) -> tuple[bytes, PackSummary]:
    """Return a data pack of (chunks, base) without trailer and footer, and what it was."""
    out = io.BytesIO()
    writer = PackWriter(out, kind="data")
    for chunks, base in blocks:
        raw = b"".join(chunks)
        coded = encode(raw, effort="fast")
        name = None if base is None else digest(base)
        writer.add_block(coded.codec, coded.payload, len(raw), [part(chunk) for chunk in chunks], name)
    summary = writer.finish()
    return out.getvalue()[: summary.blocks[-1].offset + summary.blocks[-1].stored_len], summary


def blocks_of(data: bytes, kind: PackKind = "data") -> tuple[Block, ...]:
    return recover(reader(data), len(data), kind=kind).blocks


@given(chunks=st.lists(st.lists(st.binary(min_size=1, max_size=99), min_size=1, max_size=4), min_size=1, max_size=5))
def test_chunks_are_named_anew_by_what_they_hold(chunks: list[list[bytes]]) -> None:
    data, summary = packed(*((some, None) for some in chunks))

    assert blocks_of(data) == summary.blocks


def test_recipes_are_found_by_their_ids() -> None:
    data, summary = sample_recipe_pack()

    assert blocks_of(data[:-FOOTER_LEN], "recipes") == summary.blocks


def test_a_base_may_stand_anywhere_in_the_pack() -> None:
    one, two, three = b"one" * 30, b"two" * 30, b"three" * 30
    data, summary = packed(([three], two), ([two], one), ([b"x", one, b"y"], None))

    found = recover(reader(data), len(data), kind="data")

    assert found.blocks == summary.blocks
    assert found.waiting == ()


def test_a_block_waits_for_a_base_of_another_pack() -> None:
    base, top, other = b"elsewhere", b"top" * 9, b"topmost" * 9
    data, summary = packed(([top], base), ([b"plain"], None), ([other], top))

    without = recover(reader(data), len(data), kind="data")
    known = {digest(base): base}
    found = recover(reader(data), len(data), kind="data", base_of=known.get)

    assert without.blocks == (summary.blocks[1],)
    assert without.waiting == (scanned(summary.blocks[0]), scanned(summary.blocks[2]))
    assert found.blocks == summary.blocks
    assert found.waiting == ()


def test_a_block_that_does_not_decode_is_left_out() -> None:
    data, summary = packed(([b"a" * 500], None), ([b"b" * 500], None), ([os.urandom(90)], None))
    broken = bytearray(data)
    broken[summary.blocks[1].offset] ^= 255  # the magic of its zstd frame

    assert blocks_of(bytes(broken)) == (summary.blocks[0], summary.blocks[2])


def test_a_recipe_keeps_its_number_in_the_pack_where_others_are_lost() -> None:
    data, summary = sample_recipe_pack()
    broken = bytearray(data)
    broken[summary.blocks[0].offset - 1] ^= 1  # the header of the first block

    (found,) = blocks_of(bytes(broken), "recipes")

    assert found == summary.blocks[1]
    assert found.first == summary.blocks[1].first == len(summary.blocks[0].chunks)


@settings(max_examples=200)
@given(flips=st.lists(st.integers(0, 8 * 700), max_size=4), cut=st.integers(0, 300), is_data=st.booleans())
def test_damage_never_raises(flips: list[int], cut: int, is_data: bool) -> None:
    data, _ = packed(([b"a" * 50, b"b"], None), ([b"c" * 90], b"b")) if is_data else sample_recipe_pack()
    damaged = bytearray(data[: max(0, len(data) - cut)])
    for flip in flips:
        if damaged:
            damaged[flip // 8 % len(damaged)] ^= 1 << flip % 8

    found = recover(reader(bytes(damaged)), len(damaged), kind="data" if is_data else "recipes")

    assert all(block.offset + block.stored_len <= len(damaged) for block in found.blocks)


def test_what_a_base_lookup_raises_is_the_callers() -> None:
    data, _ = packed(([b"top"], b"base"))

    def unreachable(name: Digest) -> bytes | None:
        raise ConnectionError(name.hex())

    with pytest.raises(ConnectionError):
        recover(reader(data), len(data), kind="data", base_of=unreachable)
