"""Golden files: the bytes of every stored format, as the first version wrote them.

Nothing here regenerates them. A change that alters one is a new format version: it gets a new golden file beside the
old.
"""

from pathlib import Path

import numpy as np
import pytest
import zstandard

from dedup.assemble import chunk_view, open_block, open_chunk
from dedup.chunkers import HUGE, LARGE, SMALL, resolve_chunker
from dedup.codecs import EFFORTS, encode
from dedup.fingerprint import digest
from dedup.formats.records import RECORDS
from dedup.gear_table import gear_words
from dedup.line_words import line_words
from dedup.pack import read_kind, read_trailer
from dedup.recipe import decode_recipe, encode_recipe
from dedup.recovery import recover
from dedup.segment import decode_segment
from tests.dedup import samples

GOLDEN = Path(__file__).with_name("golden")
WRITTEN_BY_ZSTD = (1, 5, 7)
FRAMES = {"text.zstd-1": "zstd:1", "text.zstd-3": "zstd:3", "text.zstd-9": "zstd:9"}


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def reader_of(data: bytes):  # type: ignore[no-untyped-def]
    return lambda span: data[span.start : span.start + span.length]


def test_the_gear_table_is_unchanged() -> None:
    assert np.array(gear_words(), dtype="<u8").tobytes() == golden("gear-1.table")


def test_the_words_of_the_line_hash_are_unchanged() -> None:
    assert np.array(line_words(), dtype="<u8").tobytes() == golden("records-2.words")


@pytest.mark.parametrize("name", [SMALL, LARGE, HUGE, "gear-1:64-256-1k", RECORDS.name])
def test_the_cuts_are_unchanged(name: str) -> None:
    words = np.arange(1 << 20, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15)
    data = (words ^ (words >> np.uint64(29))).tobytes()
    cuts = resolve_chunker(name).cuts(memoryview(data), final=True)

    line = f"{name} {len(cuts)} {digest(np.array(cuts, dtype='<u8').tobytes()).hex()}"

    assert line in golden("cuts.txt").decode().splitlines()


@pytest.mark.parametrize(("file", "codec"), FRAMES.items())
def test_stored_frames_stay_readable(file: str, codec: str) -> None:
    text = samples.TEXT
    assert open_chunk(codec, golden(file), len(text), digest(text)) == text


@pytest.mark.skipif(
    zstandard.ZSTD_VERSION != WRITTEN_BY_ZSTD, reason="another zstd may code the same bytes differently"
)
@pytest.mark.parametrize("effort", sorted(EFFORTS))
def test_frames_are_written_as_they_were(effort: str) -> None:
    coded = encode(samples.TEXT, effort=effort)

    assert coded.payload == golden(f"text.{coded.codec.replace(':', '-')}")


def test_the_pack_is_unchanged() -> None:
    data, summary = samples.sample_pack()

    assert data == golden("data.pack")
    assert read_kind(reader_of(data)) == "data"
    assert read_trailer(reader_of(data), len(data)) == list(summary.blocks)
    for block, (chunks, base) in zip(summary.blocks, samples.BLOCKS, strict=True):
        raw = open_block(block.codec, data[block.offset : block.offset + block.stored_len], block.raw_len)
        assert block.base == (base and digest(base))
        for placed, expected in zip(block.placed(), chunks, strict=True):
            assert chunk_view(raw, placed.inner_offset, placed.chunk.length, placed.chunk.digest) == expected


def test_the_recipe_pack_is_unchanged() -> None:
    data, summary = samples.sample_recipe_pack()

    assert data == golden("recipes.pack")
    assert read_kind(reader_of(data)) == "recipes"
    assert read_trailer(reader_of(data), len(data)) == list(summary.blocks)
    assert recover(reader_of(data), len(data), kind="recipes").blocks == summary.blocks


def test_the_recipes_are_unchanged() -> None:
    names = ("full.recipe", "plain.recipe", "small.recipe", "empty.recipe")
    for name, recipe in zip(names, samples.RECIPES, strict=True):
        assert encode_recipe(recipe) == golden(name)
        assert decode_recipe(golden(name)) == recipe


def test_the_segment_is_unchanged() -> None:
    assert samples.sample_segment() == golden("second.segment")
    segment = decode_segment(golden("second.segment"))
    assert (segment.number, segment.prev_hash, segment.records) == (2, "ab" * 32, samples.RECORDS)
