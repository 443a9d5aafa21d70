"""Recipes: every version of a file comes back as it was written, compactly, or not at all."""

from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import DedupError, FormatError
from dedup.fingerprint import digest, fingerprint
from dedup.recipe import decode_recipe, encode_recipe, key_of_encoded
from dedup.recipe_batch import encode_recipes
from dedup.recipe_id import new_recipe_id, recipe_ids, recipe_key, recipe_keys
from dedup.values import (
    ChunkPart,
    Digest,
    FileMeta,
    Fingerprint,
    HolePart,
    Part,
    Recipe,
    RecipeId,
    WrappedPart,
    chunks_of,
)
from tests.dedup.samples import EMPTY_RECIPE, PLAIN_RECIPE, RECIPES, SMALL_RECIPE, part

CHUNKS = [part(bytes([i]) * (i + 1)) for i in range(8)]
INNER = st.lists(st.sampled_from(CHUNKS), min_size=1, max_size=4).map(tuple)
WRAPPED = st.builds(WrappedPart, st.sampled_from(["snappy-page:1", "other:2"]), st.integers(1, 1 << 30), INNER)
HOLES = st.builds(HolePart, st.integers(1, 1 << 50))
PARTS = st.lists(st.one_of(st.sampled_from(CHUNKS), HOLES, WRAPPED), max_size=30)
TIMES = st.integers(-(1 << 63), (1 << 63) - 1)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
METAS = st.builds(
    FileMeta,
    mode=st.integers(0, (1 << 32) - 1),
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    mtime_ns=TIMES,
    atime_ns=TIMES,
    xattrs=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200)), max_size=3).map(tuple),
    user=NAMES,
    group=NAMES,
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    parts: list[Part] = draw(PARTS)
    return Recipe(
        recipe_id=new_recipe_id(draw(st.binary(min_size=16, max_size=16))),
        root=draw(NAMES),
        path=draw(st.binary(max_size=100)),
        links=tuple(draw(st.lists(st.binary(max_size=30), max_size=3))),
        size=sum(p.length for p in parts),
        digest=Digest(draw(st.binary(min_size=32, max_size=32))),
        chunker=draw(NAMES),
        meta=draw(METAS),
        parts=tuple(parts),
        stored_ns=draw(TIMES),
    )


@settings(max_examples=100)
@given(recipe=recipes())
def test_a_recipe_comes_back(recipe: Recipe) -> None:
    encoded = encode_recipe(recipe)

    assert decode_recipe(encoded) == recipe
    assert encode_recipe(decode_recipe(encoded)) == encoded
    assert key_of_encoded(encoded) == recipe_key(recipe.recipe_id)


def test_the_chunks_of_a_file_include_those_inside_of_its_pages() -> None:
    page = WrappedPart("snappy-page:1", 9, (CHUNKS[1], CHUNKS[2]))

    assert list(chunks_of((CHUNKS[0], HolePart(1), page, CHUNKS[0]))) == [*CHUNKS[:3], CHUNKS[0]]


@settings(max_examples=200)
@given(
    recipe=st.sampled_from(RECIPES),
    cut=st.integers(0, 400),
    flips=st.lists(st.integers(0, 8 * 600), max_size=4),
    junk=st.binary(max_size=10),
)
def test_damaged_recipes_raise_dedup_errors_only(recipe: Recipe, cut: int, flips: list[int], junk: bytes) -> None:
    encoded = encode_recipe(recipe)
    damaged = bytearray(encoded[: len(encoded) - cut] + junk)
    for flip in flips:
        if damaged:
            damaged[flip // 8 % len(damaged)] ^= 1 << flip % 8
    try:
        found = decode_recipe(bytes(damaged))
        assert sum(p.length for p in found.parts) == found.size
    except DedupError:
        pass


@given(data=st.binary(max_size=300))
def test_random_bytes_are_not_a_recipe(data: bytes) -> None:
    with pytest.raises(DedupError):
        decode_recipe(data)


@settings(max_examples=200)
@given(recipe=st.sampled_from(RECIPES), at=st.integers(0, 400), number=st.binary(min_size=1, max_size=10))
def test_forged_numbers_allocate_nothing(recipe: Recipe, at: int, number: bytes) -> None:
    """Any count or length may be anything: a reader believes none that the bytes at hand do not bear out."""
    encoded = encode_recipe(recipe)
    forged = encoded[:at] + number + encoded[at + len(number) :]
    try:
        found = decode_recipe(forged)
        assert len(list(chunks_of(found.parts))) <= len(forged)
    except DedupError:
        pass


@given(random16=st.binary(min_size=16, max_size=16))
def test_ids_are_26_letters_that_give_back_their_bytes(random16: bytes) -> None:
    recipe_id = new_recipe_id(random16)

    assert len(recipe_id) == 26
    assert set(recipe_id) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    assert recipe_key(recipe_id) == random16


def test_ids_of_a_batch_share_their_beginning() -> None:
    ids = recipe_ids(bytes(range(12)))

    batch = list(islice(ids, 3000))
    keys = recipe_keys(batch)

    assert keys == [bytes(range(12)) + number.to_bytes(4, "big") for number in range(3000)]
    assert keys == [recipe_key(recipe_id) for recipe_id in batch]
    assert recipe_keys([*batch[:9], new_recipe_id(bytes(16))]) == [*keys[:9], bytes(16)]
    with pytest.raises(ValueError, match="12 random bytes"):
        next(recipe_ids(bytes(16)))


@pytest.mark.parametrize("text", ["", "0" * 25, "0" * 27, "z" * 26, "I" * 26, "u" * 26, "0" * 25 + "O"])
def test_what_is_not_an_id_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        recipe_key(RecipeId(text))
    with pytest.raises(FormatError):
        recipe_keys([*islice(recipe_ids(bytes(12)), 999), RecipeId(text)])


def test_a_long_recipe_is_compact() -> None:
    parts = tuple(
        ChunkPart(Fingerprint(fingerprint(i.to_bytes(4, "big"))), digest(i.to_bytes(4, "big")), 65536)
        for i in range(20_000)
    )
    recipe = PLAIN_RECIPE._replace(parts=parts, size=20_000 * 65536)

    encoded = encode_recipe(recipe)

    assert len(encoded) < 43 * 20_000 + 500
    assert decode_recipe(encoded) == recipe


def test_a_chunk_that_repeats_is_listed_once() -> None:
    parts = (part(bytes(4096)),) * 10_000
    recipe = PLAIN_RECIPE._replace(parts=parts, size=10_000 * 4096)

    assert len(encode_recipe(recipe)) < 10_000 + 500


def test_the_digest_of_a_file_of_one_chunk_is_stored_once() -> None:
    encoded = encode_recipe(SMALL_RECIPE)

    assert encoded.count(SMALL_RECIPE.digest) == 1
    assert len(encoded) < 130


@pytest.mark.parametrize(
    "wrong",
    [
        PLAIN_RECIPE._replace(size=1),
        PLAIN_RECIPE._replace(stored_ns=1 << 63),
        PLAIN_RECIPE._replace(meta=PLAIN_RECIPE.meta._replace(uid=1 << 32)),
        PLAIN_RECIPE._replace(digest=Digest(b"short")),
        PLAIN_RECIPE._replace(path=b"x" * 70_000),
        EMPTY_RECIPE._replace(parts=(HolePart(0),)),
        EMPTY_RECIPE._replace(parts=(ChunkPart(Fingerprint(b""), Digest(b""), 0),)),
    ],
)
def test_what_the_format_cannot_hold_is_refused(wrong: Recipe) -> None:
    with pytest.raises(FormatError):
        encode_recipe(wrong)


PLAIN_PARTS = st.lists(st.sampled_from(CHUNKS), max_size=4).map(tuple)


@settings(max_examples=60)
@given(
    found=st.lists(recipes(), max_size=3),
    plain=st.lists(st.tuples(recipes(), PLAIN_PARTS, st.booleans()), max_size=20),
    wrong=st.sampled_from(
        [{}, {"size": 1 << 62}, {"digest": Digest(b"short")}, {"stored_ns": 1 << 63}, {"path": b"x" * 70_000}]
    ),
)
def test_recipes_of_a_batch_have_the_bytes_that_each_has_alone(
    found: list[Recipe], plain: list[tuple[Recipe, tuple[ChunkPart, ...], bool]], wrong: dict[str, Any]
) -> None:
    batch = [*found]
    for recipe, parts, is_single in plain:
        meta = recipe.meta._replace(xattrs=())
        digest = parts[0].digest if parts and is_single else recipe.digest
        size = sum(part.length for part in parts)
        batch.append(recipe._replace(links=(), meta=meta, parts=parts, size=size, digest=digest))
    batch += [recipe._replace(**wrong) for recipe in batch[-1:]]

    for recipe, encoded in zip(batch, encode_recipes(batch), strict=True):
        if isinstance(encoded, FormatError):
            with pytest.raises(FormatError):
                encode_recipe(recipe)
        else:
            assert encoded == encode_recipe(recipe)
