"""Recipe ids: 128 bits, written as 26 letters or 16 bytes.

Used wherever a recipe is named: recipes, recipe packs, placeholders, records. An id is unique, not secret.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import getitem, itemgetter
from typing import cast

from dedup.errors import FormatError
from dedup.values import RecipeId

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS = frozenset(_ALPHABET)
_TO_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")  # those of int(..., 32)
_ID_BYTES = 16
_ID_LETTERS = 26
_COUNTER_BYTES = 4
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
_PAIR_BITS = 10
_OF_PAIR = {pair: number for number, pair in enumerate(_PAIRS)}
_LEAD_LETTERS = _ID_LETTERS - 2
_lead_of = itemgetter(slice(0, _LEAD_LETTERS))
_last_pair_of = itemgetter(slice(_LEAD_LETTERS, None))
_PAIR_PLACES = range(_PAIR_BITS * (_ID_LETTERS // 2 - 2), -1, -_PAIR_BITS)
"""Where the two letters of each pair but the last stand in the number, in bits less those of the last."""


def new_recipe_id(random16: bytes) -> RecipeId:
    """Return the id made of 16 random bytes: their base32 (Crockford, lower case), 26 letters. ValueError for another
    length.
    """
    if len(random16) != _ID_BYTES:
        raise ValueError(f"a recipe id is made of {_ID_BYTES} random bytes, got {len(random16)}")
    number = int.from_bytes(random16, "big")
    return RecipeId(_all_but_the_last_pair(number >> _PAIR_BITS) + _PAIRS[number & 1023])


def recipe_key(recipe_id: RecipeId) -> bytes:
    """Return the 16 bytes of an id. Raises FormatError if *recipe_id* is not one in canonical form."""
    last = _OF_PAIR.get(_last_pair_of(recipe_id))
    above = _number_above(_lead_of(recipe_id))
    if last is None or above is None:
        raise FormatError(f"{recipe_id!r} is not a recipe id")
    return (above << _PAIR_BITS | last).to_bytes(_ID_BYTES, "big")


def recipe_keys(ids: Sequence[RecipeId]) -> list[bytes]:
    """Return recipe_key() of each, at a third of the time where hundreds share all but the last pair."""
    leads = list(map(_lead_of, ids))
    distinct = set(leads)
    if len(distinct) * len(_PAIRS) > 4 * len(ids):
        return list(map(recipe_key, ids))
    of_lead = {lead: _keys_under(lead) for lead in distinct}
    try:
        return list(map(getitem, map(of_lead.__getitem__, leads), map(_last_pair_of, ids)))
    except KeyError:
        return list(map(recipe_key, ids))  # says which one is wrong


# Ids of one batch, a thousand at a time, differ in the last pair alone.
@lru_cache(maxsize=256)
def _all_but_the_last_pair(number: int) -> str:
    return "".join([_PAIRS[number >> place & 1023] for place in _PAIR_PLACES])


# 100 KB each; what is asked for is the batch in hand, thrice.
@lru_cache(maxsize=8)
def _keys_under(lead: str) -> dict[str, bytes]:
    """Return last pair -> key of the ids that begin with *lead*; nothing for what no id begins with."""
    above = _number_above(lead)
    if above is None:
        return {}
    first = above << _PAIR_BITS
    return {pair: (first | number).to_bytes(_ID_BYTES, "big") for pair, number in _OF_PAIR.items()}


@lru_cache(maxsize=256)
def _number_above(letters: str) -> int | None:
    """Undo _all_but_the_last_pair(); None for what it would not return."""
    if len(letters) != _ID_LETTERS - 2 or not _LETTERS.issuperset(letters):
        return None
    number = int(letters.translate(_TO_DIGITS), 32)
    return None if number >> (8 * _ID_BYTES - _PAIR_BITS) else number


def recipe_ids(random12: bytes) -> Iterator[RecipeId]:
    """Yield ids that begin with 12 random bytes and end in a counter of 4: 0, 1, 2 ... ValueError for another length.

    The ids of one batch share their beginning, so that storing one costs about two bytes, not sixteen. Two batches
    meet with a probability of 2**-96. Ends after 2**32 ids.
    """
    if len(random12) != _ID_BYTES - _COUNTER_BYTES:
        raise ValueError(f"ids in a row begin with {_ID_BYTES - _COUNTER_BYTES} random bytes, got {len(random12)}")
    first = int.from_bytes(random12, "big") << 8 * _COUNTER_BYTES
    for number in range(first, first + (1 << 8 * _COUNTER_BYTES), len(_PAIRS)):
        lead = _all_but_the_last_pair(number >> _PAIR_BITS)
        yield from cast("Iterator[RecipeId]", map(lead.__add__, _PAIRS))
