"""The constants of the line hash, by which the "records-2" chunker groups lines.

Used by the kernel and by the reference. They are part of the stored format (others would cut the same bytes elsewhere
and find no duplicates), so a golden test holds them.

The line hash at a position: the sum over the 8 eight-byte words before it (little-endian), each times its word, the
first for the one furthest back, modulo 2**64; then folded, x ^ x >> 32, and multiplied by the last word, so that its
upper bits depend on every bit. A tenth of the work of a gear hash there, and as good.
"""

from functools import cache

from blake3 import blake3

SEED = b"frostline records-2"
WINDOW = 64
"""Bytes that the hash depends on."""


@cache
def line_words() -> tuple[int, ...]:
    """Return the 9 words: word i is the first 8 bytes, little-endian, of BLAKE3(SEED + byte i), made odd."""
    return tuple(int.from_bytes(blake3(SEED + bytes([i])).digest()[:8], "little") | 1 for i in range(9))
