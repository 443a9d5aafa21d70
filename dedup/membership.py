"""A set of fingerprints in fixed memory that never says "absent" of one that was added: a split-block Bloom filter.

Used in front of look-ups that cost a query each (tiering.catalog.presence). A key touches one block of 32 bytes, one
cache line: eight words, one bit in each, as in Apache Parquet's filters. At 13 bits a key about one absent key in two
hundred is said to be there. The kernel does the work; the plain functions here say what it computes.
"""

import importlib
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dedup.errors import DedupError

BITS_PER_KEY = 13
WORDS = 8
"""Of 32 bits, in a block."""
BLOCK_BYTES = 4 * WORDS
SMALLEST_BLOCKS = 1 << 15  # 1 MiB
LARGEST_BLOCKS = 1 << 23
"""256 MiB: 165 million keys at 13 bits; beyond, more absent keys pass."""

# Odd multipliers of Parquet's split-block filter (its format document): each picks another five bits of the key.
SALTS = np.array(
    [0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31], dtype=np.uint32
)

Keys = NDArray[np.uint64]
Table = NDArray[np.uint32]


class KeyFilter:
    """Keys are 64-bit and uniformly spread, as fingerprints are. Reading is thread-safe; add from one thread."""

    def __init__(self, table: Table) -> None:
        """Take a *table* of zeros, or that of an earlier filter: a whole number of blocks, which is changed in place.

        Raises ValueError for any other length.
        """
        if len(table) % WORDS or not SMALLEST_BLOCKS <= len(table) // WORDS <= LARGEST_BLOCKS:
            raise ValueError(f"{len(table)} words are no filter")
        self.table = table

    @property
    def capacity(self) -> int:
        """How many keys it holds at BITS_PER_KEY."""
        return len(self.table) * 32 // BITS_PER_KEY

    def add(self, keys: Keys) -> None:
        """Add *keys*; those that are there already change nothing."""
        _kernel().add(self.table, keys)

    def may_hold(self, keys: Keys) -> NDArray[np.bool_]:
        """Return for each of *keys* whether it may have been added: False is certain."""
        return cast("NDArray[np.bool_]", _kernel().may_hold(self.table, keys))


def filter_for(capacity: int) -> KeyFilter:
    """Return an empty filter for that many keys, within the bounds of size."""
    blocks = -(-capacity * BITS_PER_KEY // (8 * BLOCK_BYTES))
    return KeyFilter(np.zeros(min(max(blocks, SMALLEST_BLOCKS), LARGEST_BLOCKS) * WORDS, dtype=np.uint32))


def keys_of(fingerprints: bytes) -> Keys:
    """Return fingerprints, joined, as keys. Raises DedupError unless they are whole ones."""
    if len(fingerprints) % 8:
        raise DedupError(f"{len(fingerprints)} bytes are not fingerprints")
    return np.frombuffer(fingerprints, dtype=">u8").astype(np.uint64)


def bits_of(keys: Keys, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return of each key its block and its bits, one word per column, for a filter of that many blocks."""
    block = ((keys >> np.uint64(32)) * np.uint64(blocks)) >> np.uint64(32)
    low = (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return block.astype(np.int64), np.uint32(1) << ((low[:, None] * SALTS[None, :]) >> np.uint32(27))


def add_plainly(table: Table, keys: Keys) -> None:
    """Add *keys*: what the kernel computes."""
    block, bits = bits_of(keys, len(table) // WORDS)
    np.bitwise_or.at(table.reshape(-1, WORDS), block, bits)


def may_hold_plainly(table: Table, keys: Keys) -> NDArray[np.bool_]:
    """Return whether each of *keys* may be there: what the kernel computes."""
    block, bits = bits_of(keys, len(table) // WORDS)
    found: NDArray[np.bool_] = ((table.reshape(-1, WORDS)[block] & bits) == bits).all(axis=1)
    return found


@cache
def _kernel() -> Any:
    return importlib.import_module("dedup.kernels.bloom")
