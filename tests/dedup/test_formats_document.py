"""docs/formats.md keeps up with the code: every magic, size, limit and name that the formats have stands in it."""

import pytest

from dedup import layout, pack_index, recipe, recipe_id, segment
from dedup.chunkers import HUGE, LARGE, MEDIA, PAGE, SMALL, chunker_of
from dedup.formats.records import RECORDS
from dedup.gear_table import SEED
from dedup.line_words import SEED as LINE_SEED
from dedup.values import MAX_BASE_DEPTH, Region, Span
from tests.structure.sources import PROJECT

TEXT = (PROJECT / "docs" / "formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "magic",
    [
        layout.PACK_MAGIC,
        layout.BLOCK_MAGIC,
        pack_index.TRAILER_MAGIC,
        layout.FOOTER_MAGIC,
        recipe.MAGIC,
        segment.MAGIC,
    ],
)
def test_every_structure_has_a_byte_table(magic: bytes) -> None:
    assert f"`{magic.decode()}` |" in TEXT


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Header", layout.HEADER_LEN),
        ("Footer", layout.FOOTER_LEN),
        ("Fixed part", recipe.FIXED.size),
    ],
)
def test_the_sizes_are_the_codes(name: str, size: int) -> None:
    assert f"{name} ({size})" in TEXT


def test_the_variable_headers_are_as_long_as_their_tables() -> None:
    assert f"| {layout.BLOCK_FIXED_LEN} | n | codec name, printable ASCII |" in TEXT
    assert f"| {pack_index._TRAILER.size} | | codec names: each a length byte and the name |" in TEXT
    assert f"| {segment._HEADER.size} | n | codec name |" in TEXT


def test_names_and_limits_are_the_codes() -> None:
    for name in (
        SMALL,
        LARGE,
        HUGE,
        MEDIA,
        PAGE,
        RECORDS.name,
        SEED.decode(),
        LINE_SEED.decode(),
        f"1 to {layout.MAX_CODEC_LEN}",
        f"{recipe.MAX_TEXT:,}",
    ):
        assert name in TEXT
    assert f"1 to {layout.MAX_BLOCK_CHUNKS:,}" in TEXT
    assert f"at most {MAX_BASE_DEPTH} of them" in TEXT
    assert recipe_id._ALPHABET in TEXT
    assert layout.MAX_STORED_LEN == 2**30


@pytest.mark.parametrize("element", ["u8", "bf16", "f32", "i64", ""])
def test_the_pieces_of_tensors_are_the_codes(element: str) -> None:
    assert f"`{chunker_of(Region(Span(0, 1), 'tensor', element), 1).name}`" in TEXT
