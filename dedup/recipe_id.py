"""Recipe ids: 128 bits, written as 26 letters or 16 bytes.

Used wherever a recipe is named: recipes, recipe packs, placeholders, records. An id is unique, not secret.
"""

from collections.abc import Iterator
from functools import lru_cache

from dedup.errors import FormatError
from dedup.values import RecipeId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS = frozenset(_ALPHABET)
_TO_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # those of int(..., 32)
_ID_BYTES = 16
_ID_LETTERS = 26
_COUNTER_BYTES = 4
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR_PLACES = range(10 * (_ID_LETTERS // 2 - 1), -1, -10)
"""Where the two letters of each pair stand in the number, in bits."""


def new_recipe_id(random16: bytes) -> RecipeId:
    """Return the id made of 16 random bytes: their base32 (Crockford, lower case), 26 letters. ValueError for another
    length.
    """
    if len(random16) != _ID_BYTES:
        raise ValueError(f"a recipe id is made of {_ID_BYTES} random bytes, got {len(random16)}")
    number = int.from_bytes(random16, "big")
    return RecipeId("".join([_PAIRS[number >> place & 1023] for place in _PAIR_PLACES]))


@lru_cache(maxsize=4096)  # asked for several times on a recipe's way into the store: a batch of migrate has 2000
def recipe_key(recipe_id: RecipeId) -> bytes:
    """Return the 16 bytes of an id. Raises FormatError if *recipe_id* is not one in canonical form."""
    if len(recipe_id) != _ID_LETTERS or not _LETTERS.issuperset(recipe_id):
        raise FormatError(f"{recipe_id!r} is not a recipe id")
    number = int(recipe_id.translate(_TO_DIGITS), 32)
    if number >> 8 * _ID_BYTES:
        raise FormatError(f"{recipe_id!r} is not a recipe id")
    return number.to_bytes(_ID_BYTES, "big")


def recipe_ids(random12: bytes) -> Iterator[RecipeId]:
    """Yield ids that begin with 12 random bytes and end in a counter of 4: 0, 1, 2 ... ValueError for another length.

    The ids of one batch share their beginning, so that storing one costs about two bytes, not sixteen. Two batches
    meet with a probability of 2**-96. Ends after 2**32 ids.
    """
    if len(random12) != _ID_BYTES - _COUNTER_BYTES:
        raise ValueError(f"ids in a row begin with {_ID_BYTES - _COUNTER_BYTES} random bytes, got {len(random12)}")
    for number in range(1 << 8 * _COUNTER_BYTES):
        yield new_recipe_id(random12 + number.to_bytes(_COUNTER_BYTES, "big"))
