"""What an object says of itself survives its recipe; a key that is taken for a path leads below its folder."""

import os.path
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dedup.recipe import decode_recipe, encode_recipe
from dedup.recipe_id import new_recipe_id
from dedup.values import Digest, Recipe
from tiering.jobs.object_identity import identity_of, key_fault
from tiering.jobs.object_words import meta_of, original_of
from tiering.stores.s3_bucket import Look

TEXT = st.text(max_size=20)
WORDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"Metadata": st.dictionaries(TEXT, TEXT, max_size=4)},
    optional={
        "CacheControl": TEXT,
        "ContentType": TEXT,
        "ContentEncoding": TEXT,
        "Expires": st.integers(0, 4_000_000_000).map(lambda at_s: datetime.fromtimestamp(at_s, UTC)),
        "ServerSideEncryption": st.sampled_from(["AES256", "aws:kms"]),
        "BucketKeyEnabled": st.just(True),
    },
)


@given(words=WORDS, tags=st.lists(st.tuples(TEXT, TEXT), max_size=10), modified_s=st.integers(0, 4_000_000_000))
def test_words_and_tags_come_out_of_a_recipe_as_they_went_in(
    words: dict[str, Any], tags: list[tuple[str, str]], modified_s: int
) -> None:
    look = Look("k", 0, "STANDARD_IA", '"abc-3"', modified_s, words, len(tags), "v1")
    recipe = Recipe(
        new_recipe_id(bytes(16)), "bucket:lake", b"k", (), 0, Digest(bytes(32)), "gear", meta_of(look, tags)
    )
    found = original_of(decode_recipe(encode_recipe(recipe)))
    assert (found.etag, found.version_id, found.storage_class) == (look.etag, "v1", "STANDARD_IA")
    assert (found.modified_s, found.dress.words, list(found.dress.tags)) == (modified_s, words, tags)


@given(st.text(alphabet="ab./\0ü", max_size=12))
def test_a_key_that_is_taken_for_a_path_leads_below_its_folder(key: str) -> None:
    if not key_fault(key.encode()):
        assert os.path.normpath(os.path.join("/out", key)) == f"/out/{key}"


@given(st.tuples(TEXT, st.integers(0, 9), st.integers(0, 9)), st.tuples(TEXT, st.integers(0, 9), st.integers(0, 9)))
def test_two_states_of_an_object_are_told_apart(one: tuple[str, int, int], other: tuple[str, int, int]) -> None:
    plain = [(etag.strip('"'), size, at_s) for etag, size, at_s in (one, other)]
    assert (identity_of(*one) == identity_of(*other)) == (plain[0] == plain[1])
