"""Where the chunks of many files are, each looked up once, however many of the files have it.

Used by restore. What SQLite finds comes as one row of columns, written without the interpreter's lock: the driver would
give the lock away for every value of every row, while other threads decode and write.
"""

import json
from collections.abc import Collection, Mapping

from dedup.fingerprint import DIGEST_LEN, fingerprints_from_numbers
from dedup.values import Digest, made_of
from tiering.catalog import packs
from tiering.catalog.transaction import Tx, fetch_raw
from tiering.catalog.values import Location

_NUMBERS = ("block_no", "inner_offset", "raw_len", "stored_len", "fingerprint")
_CHUNKS = (
    f"SELECT {', '.join(f'json_group_array({name})' for name in _NUMBERS)}, group_concat(hex(digest), '') "  # noqa: S608
    "FROM chunks WHERE chunk_no IN "
    "(SELECT chunk_no FROM refs WHERE recipe_no IN (SELECT value FROM json_each(?)))"
)


def locate_together(tx: Tx, recipe_nos: Collection[int]) -> Mapping[int, Mapping[Digest, Location]]:
    """Return what packs.locate_all() returns; files may share a mapping, with the places of all that they need in it.

    They do where no digest stands twice: else each reads the copies that it refers to. A few thousand files at a time.
    """
    if not (recipe_nos and tx.is_sqlite):
        return packs.locate_all(tx, recipe_nos)
    *columns, text = fetch_raw(tx, _CHUNKS, [json.dumps(list(recipe_nos))])[0]
    block_nos, offsets, lengths, shares, names = map(json.loads, columns)
    together = bytes.fromhex(text or "")
    digests = [together[start : start + DIGEST_LEN] for start in range(0, len(together), DIGEST_LEN)]
    if len(set(digests)) < len(digests):
        return packs.locate_all(tx, recipe_nos)
    places = packs.block_places(tx, set(block_nos))
    blocks = map(places.__getitem__, block_nos)
    located = made_of(Location, (blocks, offsets, lengths, shares, fingerprints_from_numbers(names), digests))
    shared: dict[Digest, Location] = dict(zip(digests, located, strict=True))  # type: ignore[arg-type]  # they are
    return {recipe_no: shared for recipe_no in recipe_nos}  # noqa: C420  # it is to be shared
