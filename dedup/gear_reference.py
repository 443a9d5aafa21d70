"""The gear chunker spelled out in plain Python: the definition that dedup.kernels.gear is tested against.

Used by tests, and by nobody in production: it is 200 times slower than the kernel.

The hash at position p is the sum over the 64 bytes before p of table[data[p - 1 - k]] << k, modulo 2**64. A chunk that
begins at c ends at the first p with c + min <= p whose hash is below the threshold of its region (strict before c +
avg, loose from there on), at c + max, or where the data ends. Bytes before c + min - 64 are never hashed.
"""

from dedup.gear_table import WINDOW, gear_words

MASK = (1 << 64) - 1


def hash_at(data: bytes | memoryview, position: int) -> int:
    """Return the gear hash of the WINDOW bytes before *position* (which is at least WINDOW)."""
    table, value = gear_words(), 0
    for byte in data[position - WINDOW : position]:
        value = (value << 1) + table[byte]
    return value & MASK


def reference_cuts(
    data: bytes | memoryview, sizes: tuple[int, int, int], thresholds: tuple[int, int], *, final: bool
) -> list[int]:
    """Return the ends of the chunks of *data*; *sizes* are (min, avg, max), *thresholds* (strict, loose).

    If not *final*, the last chunk is left out unless what decides its end has been seen.
    """
    cuts: list[int] = []
    start = 0
    while (end := _end_of_chunk(data, start, sizes, thresholds)) is not None:
        cuts.append(end)
        start = end
    if final and start < len(data):
        cuts.append(len(data))
    return cuts


def _end_of_chunk(
    data: bytes | memoryview, start: int, sizes: tuple[int, int, int], thresholds: tuple[int, int]
) -> int | None:
    shortest, average, longest = sizes
    for position in range(start + shortest, min(start + longest, len(data)) + 1):
        threshold = thresholds[0] if position < start + average else thresholds[1]
        if position == start + longest or hash_at(data, position) < threshold:
            return position
    return None
