"""Recipes decoded many at a time are those that are decoded one by one, whatever the block holds."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import DedupError
from dedup.fingerprint import digest
from dedup.layout import MAX_STORED_LEN
from dedup.recipe import FIXED, MAGIC, SINGLE, STRAIGHT, VERSION, decode_recipe, encode_recipe, shared_names
from dedup.recipe import shared_numbers as shared
from dedup.recipe_block import decode_recipes
from dedup.values import ChunkPart, FileMeta, Recipe
from dedup.varint import encode_varints, zigzag
from tests.dedup.samples import EMPTY_RECIPE, PLAIN_RECIPE, RECIPES, SMALL_RECIPE, part
from tests.dedup.test_recipe import recipes

NS = 10**9
FILLING = [PLAIN_RECIPE, SMALL_RECIPE] * 4
"""As many plain ones as it takes that they are decoded together."""


def _one(data: bytes) -> Recipe | str:
    try:
        return decode_recipe(data)
    except DedupError as error:
        return str(error)


def _same(block: bytes, spans: Sequence[tuple[int, int]]) -> list[Recipe | str]:
    """Hold decode_recipes() to decode_recipe(), and return what they find."""
    found = [item if isinstance(item, Recipe) else str(item) for item in decode_recipes(block, spans)]
    assert found == [_one(block[start:end]) for start, end in spans]
    return found


def _together(encoded: Sequence[bytes]) -> list[Recipe | str]:
    return _same(b"".join(encoded), list(pairwise([0, *accumulate(map(len, encoded))])))


@st.composite
def plain_recipes(draw: st.DrawFn) -> Recipe:
    """Files as most are: distinct chunks, no further names."""
    recipe = draw(recipes())
    chunks = [part(bytes([number]) * (number + 1)) for number in range(draw(st.integers(0, 40)))]
    size = sum(chunk.length for chunk in chunks)
    whole = chunks[0].digest if len(chunks) == 1 else recipe.digest
    seconds = st.integers(-(1 << 31), 1 << 32)
    mtime_ns = draw(seconds) * NS + draw(st.integers(0, NS - 1))
    meta = recipe.meta._replace(mtime_ns=mtime_ns, atime_ns=draw(seconds) * NS, xattrs=())
    return recipe._replace(size=size, digest=whole, links=(), meta=meta, parts=tuple(chunks))


@settings(max_examples=60)
@given(files=st.lists(st.one_of(plain_recipes(), recipes(), st.sampled_from(RECIPES)), max_size=30))
def test_the_recipes_of_a_block_come_back(files: list[Recipe]) -> None:
    assert _together(list(map(encode_recipe, files))) == files


def test_files_of_one_folder_come_back() -> None:
    folder = [PLAIN_RECIPE._replace(path=b"d/%d" % number) for number in range(300)]
    long = [PLAIN_RECIPE._replace(path=b"p" * length) for length in (0, 1, 127, 128, 1000, 1 << 16)]
    empty = [EMPTY_RECIPE] * 10
    assert _together(list(map(encode_recipe, [*folder, *long, *empty]))) == [*folder, *long, *empty]


@settings(max_examples=300)
@given(
    files=st.lists(st.one_of(plain_recipes(), st.sampled_from(RECIPES)), min_size=1, max_size=6),
    flips=st.lists(st.integers(0, 1 << 20), max_size=6),
    shift=st.sampled_from([0, 0, 0, -1, 1, 50]),
    cut=st.sampled_from([0, 0, 1, 40]),
)
def test_damaged_blocks_are_decoded_as_their_recipes_alone(
    files: list[Recipe], flips: list[int], shift: int, cut: int
) -> None:
    encoded = list(map(encode_recipe, [*files, *FILLING]))
    block = bytearray(b"".join(encoded))
    for flip in flips:
        block[flip // 8 % len(block)] ^= 1 << flip % 8
    spans = list(pairwise([0, *accumulate(map(len, encoded))]))
    first, last = spans[0], spans[-1]
    spans += [(max(0, first[0] + shift), first[1] + shift), (last[0], last[1] + shift), (5, 5), (9, 3)]
    _same(bytes(block[: len(block) - cut]), spans)


@settings(max_examples=200)
@given(at=st.integers(0, 400), number=st.binary(min_size=1, max_size=12), recipe=st.sampled_from(RECIPES))
def test_forged_numbers_are_believed_by_neither(at: int, number: bytes, recipe: Recipe) -> None:
    encoded = encode_recipe(recipe)
    forged = encoded[:at] + number + encoded[at + len(number) :]
    _together([forged, *map(encode_recipe, FILLING)])


def _forged(flags: int, stamps: Sequence[int], rest: bytes) -> bytes:
    fixed = FIXED.pack(MAGIC, VERSION, flags, bytes(16), 0)
    head = shared(0o100644, 0, 0, 0, 0) + shared_names("data", "", "", "")
    return b"".join([fixed, head, b"\x01a", encode_varints(stamps), rest])


CHUNK = part(b"x")
ZERO = ChunkPart(CHUNK.fingerprint, CHUNK.digest, 0)


def _columns(chunks: Sequence[ChunkPart]) -> bytes:
    lengths = encode_varints([len(chunks), *(chunk.length for chunk in chunks)])
    return lengths + b"".join(chunk.fingerprint for chunk in chunks) + b"".join(chunk.digest for chunk in chunks)


@pytest.mark.parametrize(
    "forged",
    [
        _forged(STRAIGHT, (0, 0, 0, 0, 2), CHUNK.digest + _columns([CHUNK])),
        _forged(STRAIGHT, (0, 0, 0, 0, 1), CHUNK.digest + _columns([CHUNK, ZERO])),
        _forged(STRAIGHT, (0, 0, 0, 0, MAX_STORED_LEN + 1), CHUNK.digest + _columns([CHUNK._replace(length=1 << 31)])),
        _forged(STRAIGHT, (0, 0, 0, 0, (1 << 64) - 1), CHUNK.digest + _columns([CHUNK])),
        _forged(STRAIGHT, (0, NS, 0, 0, 1), CHUNK.digest + _columns([CHUNK])),
        _forged(STRAIGHT, (0, 0, 0, NS, 1), CHUNK.digest + _columns([CHUNK])),
        _forged(STRAIGHT, (zigzag(1 << 40), 0, 0, 0, 1), CHUNK.digest + _columns([CHUNK])),
        _forged(STRAIGHT, (0, 0, zigzag(-(1 << 40)), 0, 1), CHUNK.digest + _columns([CHUNK])),
        _forged(STRAIGHT, (0, 0, 0, 0, 0), CHUNK.digest + encode_varints([1 << 40])),
        _forged(STRAIGHT, (0, 0, 0, 0, 0), CHUNK.digest + encode_varints([(1 << 64) - 1])),
        _forged(SINGLE, (0, 0, 0, 0, 0), CHUNK.digest + CHUNK.fingerprint),
        _forged(SINGLE, (0, 0, 0, 0, MAX_STORED_LEN + 1), CHUNK.digest + CHUNK.fingerprint),
        _forged(SINGLE | STRAIGHT, (0, 0, 0, 0, 1), CHUNK.digest + CHUNK.fingerprint),
    ],
)
def test_what_cannot_be_is_refused_by_both(forged: bytes) -> None:
    found = _together([forged, *map(encode_recipe, FILLING), forged])
    assert found[0] == found[-1]
    assert isinstance(found[0], str)


def test_far_times_come_back() -> None:
    far = [FileMeta(0, 0, 0, mtime_ns, atime_ns) for mtime_ns in (-(1 << 63), (1 << 63) - 1) for atime_ns in (-1, 1)]
    files = [SMALL_RECIPE._replace(meta=meta) for meta in far] * 3
    assert _together(list(map(encode_recipe, files))) == files


def test_nothing_is_found_in_nothing() -> None:
    assert decode_recipes(b"", []) == []
    assert all(isinstance(found, DedupError) for found in decode_recipes(b"", [(0, 0), (0, 40)] * 8))
    assert all(isinstance(found, DedupError) for found in decode_recipes(b"\xff" * 4000, [(0, 400)] * 9))
    assert digest(b"") == EMPTY_RECIPE.digest
