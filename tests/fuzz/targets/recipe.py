"""Recipes: any bytes are one recipe, which survives writing and reading again, or a FormatError."""

from dedup.errors import FormatError
from dedup.recipe import decode_recipe, encode_recipe, key_of_encoded
from dedup.recipe_id import recipe_key
from dedup.values import chunks_of


def fuzz(data: bytes) -> None:
    """Read *data* as a recipe."""
    try:
        recipe = decode_recipe(data)
    except FormatError:
        return
    assert key_of_encoded(data) == recipe_key(recipe.recipe_id)
    assert sum(part.length for part in recipe.parts) == recipe.size
    assert sum(1 for _ in chunks_of(recipe.parts)) <= len(data)
    assert decode_recipe(encode_recipe(recipe)) == recipe
