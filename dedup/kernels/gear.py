"""The gear chunker as machine code: four stripes of the data advance in one loop.

Used by dedup.chunkers for anything longer than one chunk. A 64-byte-windowed gear hash depends on the last 64 bytes
only, so four positions far apart can be hashed at once, which hides the latency of the shift-and-add chain; the
earliest hit of a block is the cut. Bytes that cannot hold a cut (the minimum size) are skipped, never hashed.
Releases the GIL. dedup.gear_reference says in plain Python what is computed; a property test holds the two equal.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.gear_table import WINDOW, gear_words
from dedup.kernels.machine import I64, array_in, compiled, inner, numbers_in, numbers_out

# 2 KiB a stripe: the 63 bytes of warm-up cost 3 %, and beyond a hit 3 KiB are hashed in vain on average. Of 4 KiB a
# stripe cuts take 8 % longer.
STRIPE = 2048

_U64 = np.uint64
_ONE = np.uint64(1)
_LEAD = WINDOW - 1

TABLE = np.array(gear_words(), dtype=np.uint64)


@inner
def _warm(data: Any, table: Any, position: Any) -> Any:
    """Hash the 63 bytes that precede the last byte before *position*."""
    value = _U64(0)
    first = _U64(position - WINDOW)
    for i in range(_LEAD):
        value = (value << _ONE) + table[data[first + _U64(i)]]
    return value


@inner
def _scan_one(data: Any, table: Any, start: Any, stop: Any, threshold: Any) -> Any:
    """Return the first position in [start, stop) whose hash is below *threshold*, or -1."""
    value = _warm(data, table, start)
    for position in range(start, stop):
        value = (value << _ONE) + table[data[position - 1]]
        if value < threshold:
            return position
    return -1


@inner
def _scan_four(data: Any, table: Any, start: Any, stripe: Any, threshold: Any) -> Any:
    """Return the first hit in [start, start + 4 * stripe), or -1; the four quarters advance together."""
    a, b, c, d = start, start + stripe, start + 2 * stripe, start + 3 * stripe
    ha, hb = _warm(data, table, a), _warm(data, table, b)
    hc, hd = _warm(data, table, c), _warm(data, table, d)
    # Slices of their own let the compiler see that the index runs from 0 and never wraps.
    da, db = data[a - 1 : b - 1], data[b - 1 : c - 1]
    dc, dd = data[c - 1 : d - 1], data[d - 1 : d - 1 + stripe]
    hit_b = hit_c = hit_d = -1
    for i in range(stripe):
        ha = (ha << _ONE) + table[da[i]]
        hb = (hb << _ONE) + table[db[i]]
        hc = (hc << _ONE) + table[dc[i]]
        hd = (hd << _ONE) + table[dd[i]]
        if ha < threshold or hb < threshold or hc < threshold or hd < threshold:
            if ha < threshold:
                return a + i
            if hb < threshold and hit_b < 0:
                hit_b = b + i
            if hc < threshold and hit_c < 0:
                hit_c = c + i
            if hd < threshold and hit_d < 0:
                hit_d = d + i
    if hit_b >= 0:
        return hit_b
    return hit_c if hit_c >= 0 else hit_d


@inner
def first_hit(data: Any, table: Any, start: Any, stop: Any, threshold: Any) -> Any:
    """Return the first position in [start, stop) whose hash is below *threshold*, or -1; *start* is WINDOW at least."""
    position = start
    while stop - position >= 4 * STRIPE:
        hit = _scan_four(data, table, position, STRIPE, threshold)
        if hit >= 0:
            return hit
        position += 4 * STRIPE
    quarter = (stop - position) // 4
    if quarter >= 4 * WINDOW:
        hit = _scan_four(data, table, position, quarter, threshold)
        if hit >= 0:
            return hit
        position += 4 * quarter
    return _scan_one(data, table, position, stop, threshold) if position < stop else -1


@inner
def cuts(data: Any, table: Any, sizes: Any, thresholds: Any, out: Any) -> Any:
    """Write the decided ends of chunks to *out*, as many as it takes; return how many. *sizes* = min, avg, max;
    *thresholds* = strict, loose.
    """
    shortest, average, longest = sizes[0], sizes[1], sizes[2]
    size = data.shape[0]
    start, count = 0, 0
    while start + shortest <= size and count < out.shape[0]:
        stop = min(start + longest, size) + 1
        middle = min(start + average, stop)
        end = first_hit(data, table, start + shortest, middle, thresholds[0])
        if end < 0:
            end = first_hit(data, table, middle, stop, thresholds[1])
        if end < 0:
            if start + longest > size:
                break
            end = start + longest
        out[count] = end
        count += 1
        start = end
    return count


_KERNEL = compiled(cuts, I64, array_in(1), array_in(8), numbers_in(), array_in(8), numbers_out())


def gear_cuts(
    data: NDArray[np.uint8], sizes: NDArray[np.int64], thresholds: NDArray[np.uint64], limit: int | None = None
) -> list[int]:
    """Return the decided ends of chunks in *data* (contiguous), *limit* at most; the tail whose end is still open has
    none.
    """
    out = np.empty(limit or len(data) // int(sizes[0]) + 1, dtype=np.int64)
    count = _KERNEL(data, TABLE, sizes, thresholds, out)
    found: list[int] = out[:count].tolist()
    return found
