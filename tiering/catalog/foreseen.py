"""What stands in the packs that some stored versions need, and who else needs it. Used by plan, which only asks what
would be if these versions belonged to other tiers; tiering.catalog.temperature tells what is.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from tiering.catalog.transaction import Tx, batches, fetch_among, fetch_raw

PACKS = 16
"""Asked about at once: some ten thousand references each in the worst case."""

_PACKS_OF = (
    "SELECT DISTINCT b.pack_no FROM refs r JOIN chunks c ON c.chunk_no = r.chunk_no "
    "JOIN blocks b ON b.block_no = c.block_no JOIN packs p ON p.pack_no = b.pack_no "
    "WHERE p.kind = 'data' AND p.state = 'live' AND r.recipe_no"
)
_NEEDS = (
    "SELECT b.pack_no, b.block_no, c.chunk_no, c.stored_len, r.recipe_no FROM blocks b "
    "JOIN chunks c ON c.chunk_no >= b.first_no AND c.chunk_no < b.first_no + b.chunk_count "
    "JOIN refs r ON r.chunk_no = c.chunk_no WHERE b.pack_no IN ({}) ORDER BY b.pack_no, b.block_no, c.chunk_no"
)
_LEANERS = (
    "SELECT DISTINCT b.pack_no, b.block_no, a.pack_no, p.tier FROM blocks b "
    "JOIN chunks c ON c.chunk_no >= b.first_no AND c.chunk_no < b.first_no + b.chunk_count "
    "JOIN blocks a ON a.base_no = c.chunk_no JOIN packs p ON p.pack_no = a.pack_no "
    "WHERE a.pack_no <> b.pack_no AND p.state = 'live' AND b.pack_no IN ({})"
)
_PATHS_OF = "SELECT recipe_no FROM files WHERE leader_id IS NULL AND state <> 'missing' AND recipe_no"


class Needed(NamedTuple):
    """One block that something refers to."""

    pack_no: int
    block_no: int
    stored_bytes: int
    """Shares of those of its chunks that something refers to."""
    recipes: dict[int, int]
    """Recipe -> coded bytes of the chunks that it needs."""


class Leaner(NamedTuple):
    """A pack in which something is coded against a block of another."""

    pack_no: int
    block_no: int
    leaner_no: int
    tier: str


def packs_of(tx: Tx, recipe_nos: Iterable[int]) -> list[int]:
    """Return the numbers, ascending, of the live data packs that hold chunks of these versions."""
    return sorted({int(row[0]) for row in fetch_among(tx, _PACKS_OF, recipe_nos)})


def needed(tx: Tx, pack_nos: Sequence[int]) -> Iterator[Needed]:
    """Yield the blocks of *pack_nos* that something refers to, pack by pack. Reads all references to them."""
    for batch in batches(pack_nos, PACKS):
        rows = fetch_raw(tx, _NEEDS.format(", ".join("?" * len(batch))), batch)
        for (pack_no, block_no), found in groupby(rows, key=itemgetter(0, 1)):
            recipes: dict[int, int] = {}
            size, last = 0, None
            for _, _, chunk_no, stored_len, recipe_no in found:
                if chunk_no != last:
                    size, last = size + stored_len, chunk_no
                recipes[recipe_no] = recipes.get(recipe_no, 0) + stored_len
            yield Needed(pack_no, block_no, size, recipes)


def leaners(tx: Tx, pack_nos: Sequence[int]) -> Iterator[Leaner]:
    """Yield the live packs in which something is coded against a block of *pack_nos*."""
    for batch in batches(pack_nos, PACKS):
        for row in fetch_raw(tx, _LEANERS.format(", ".join("?" * len(batch))), batch):
            yield Leaner(*row)


def tiers_of(tx: Tx, recipe_nos: Collection[int]) -> dict[int, str]:
    """Return recipe -> tier it belongs to."""
    return dict(fetch_among(tx, "SELECT recipe_no, tier FROM recipes WHERE recipe_no", recipe_nos))


def paths_of(tx: Tx, recipe_nos: Iterable[int]) -> Counter[int]:
    """Return recipe -> how many files (hard links counted once) are that version now."""
    return Counter(row[0] for row in fetch_among(tx, _PATHS_OF, recipe_nos))
