"""How a stored file is kept: which codec its parts got, what that means, and what it made of them.

Used by explain. Answers from the catalog alone; nothing is read from a store.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

from dedup.codecs.words import in_words
from dedup.values import Digest
from tiering.catalog import packs, recipes
from tiering.catalog.values import Location
from tiering.jobs.context import Context


@dataclass(frozen=True, slots=True)
class Coding:
    """The parts of one file that share a codec."""

    codec: str
    """Stored name."""
    why: str
    chunks: int
    """Distinct ones."""
    raw_bytes: int
    stored_bytes: int
    """Their share of the blocks they stand in."""
    leans_on: int
    """Chunks of other files that must be read as well to have these."""


def coding_of(ctx: Context, recipe_no: int) -> list[Coding]:
    """Return how the chunks of a stored version are coded, the codec with most bytes first. Each chunk counts once,
    those that others are coded against only where the file contains them too.
    """
    with ctx.catalog.read() as tx:
        known = packs.locate(tx, recipe_no)
        contained = set(recipes.contained_chunks(tx, [recipe_no]).values())
    raw, stored, chunks = Counter[str](), Counter[str](), Counter[str]()
    bases: dict[str, set[Digest]] = defaultdict(set)
    for digest in contained & known.keys():
        location = known[digest]
        codec = location.block.codec
        raw[codec] += location.length
        stored[codec] += location.stored_len
        chunks[codec] += 1
        bases[codec] |= _behind(location, known) - contained
    return [
        Coding(codec, in_words(codec), chunks[codec], size, stored[codec], len(bases[codec]))
        for codec, size in raw.most_common()
    ]


def _behind(location: Location, known: dict[Digest, Location]) -> set[Digest]:
    found: set[Digest] = set()
    base = location.block.base
    while base is not None and base not in found:
        found.add(base)
        base = known[base].block.base if base in known else None
    return found
