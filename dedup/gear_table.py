"""The gear table: 256 random 64-bit words that every implementation of the "gear-1" chunkers shares.

Used by the numba kernel and by the reference. The table is part of the stored format (another table would cut the
same bytes elsewhere and find no duplicates), so a golden test holds it.
"""

from functools import cache

from blake3 import blake3

SEED = b"frostline gear-1"
WINDOW = 64
"""Bytes that a hash depends on: a 64-bit word is shifted by one bit per byte."""


@cache
def gear_words() -> tuple[int, ...]:
    """Return the table: word i is the first 8 bytes, little-endian, of BLAKE3(SEED + byte i)."""
    return tuple(int.from_bytes(blake3(SEED + bytes([i])).digest()[:8], "little") for i in range(256))
