"""The record chunker as machine code; dedup.formats.records says what is computed and holds the numbers.

Used by dedup.formats.records for all text. One pass over the bytes; releases the GIL. A reference in plain Python
(tests) is held equal by a property test.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.gear_table import gear_words
from dedup.kernels.machine import I64, array_in, compiled, inlined, numbers_in, numbers_out

_U64 = np.uint64
_ONE = np.uint64(1)
_NEWLINE = 10

TABLE = np.array(gear_words(), dtype=np.uint64)


@inlined
def _end_of_chunk(data: Any, table: Any, start: Any, sizes: Any, final: Any) -> Any:
    """Return where the chunk that begins at *start* ends, or -1 when that is not decided. *sizes* = record, average,
    longest; see dedup.formats.records.
    """
    alone, average, longest = sizes[0], sizes[1], sizes[2]
    stop = min(start + longest, data.shape[0])
    strict = ~_U64(0) // _U64(average)
    value = _U64(0)
    record, inside = start, -1
    for position in range(start, stop):
        byte = data[position]
        value = (value << _ONE) + table[byte]
        end = position + 1
        if byte == _NEWLINE:
            if end - record >= alone:
                return end if record == start else record
            if end - start >= alone and value < strict * _U64(end - record):
                return end
            record = end
        elif end - record >= alone:
            if record > start:
                return record
            if inside < 0 and end - start >= average and value < strict:
                inside = end
    if stop < start + longest:
        return stop if final else -1
    if record > start:
        return record
    return inside if inside >= 0 else stop


@inlined
def cuts(data: Any, table: Any, sizes: Any, final: Any, out: Any) -> Any:
    """Write the decided ends of chunks to *out*; return how many."""
    start, count = 0, 0
    while start < data.shape[0]:
        end = _end_of_chunk(data, table, start, sizes, final)
        if end < 0:
            break
        out[count] = end
        count += 1
        start = end
    return count


_KERNEL = compiled(cuts, I64, array_in(1), array_in(8), numbers_in(), I64, numbers_out())


def record_cuts(data: NDArray[np.uint8], sizes: NDArray[np.int64], *, final: bool) -> list[int]:
    """Return the decided ends of chunks in *data* (contiguous); the tail whose end is still open has none."""
    # Of two chunks in a row one at least is as long as a record that stands alone; only a forced cut makes the other.
    out = np.empty(2 * (len(data) // int(sizes[0])) + 2, dtype=np.int64)
    count = _KERNEL(data, TABLE, sizes, final, out)
    found: list[int] = out[:count].tolist()
    return found
