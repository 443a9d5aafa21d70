"""The record chunker as machine code; dedup.formats.records says what is computed and holds the numbers.

Used by dedup.formats.records for all text. Looks for the ends of lines eight bytes at a time, and hashes at those
alone; releases the GIL. A reference in plain Python (tests) is held equal by a property test.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.gear import TABLE, first_hit
from dedup.kernels.machine import I64, array_in, compiled, inlined, numbers_in, numbers_out
from dedup.line_words import WINDOW, line_words

_U64 = np.uint64
_NEWLINE = 10
_WORD = 8
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_LOW_BITS = np.uint64(0x7F7F7F7F7F7F7F7F)
# Times a single bit at the bottom of byte n this has n as its upper byte.
_NUMBERS = np.uint64(0x0001020304050607)
_TO_BOTTOM, _TO_UPPER = np.uint64(7), np.uint64(56)
_W0, _W1, _W2, _W3, _W4, _W5, _W6, _W7, _LAST = (np.uint64(word) for word in line_words())
_FOLD = np.uint64(32)


@inlined
def _word_at(data: Any, at: Any) -> Any:
    """Return the 8 bytes from *at* on, an unsigned number, as one word. Compilers make one load of it."""
    return (
        _U64(data[at]) | _U64(data[at + _U64(1)]) << _U64(8)
        | _U64(data[at + _U64(2)]) << _U64(16) | _U64(data[at + _U64(3)]) << _U64(24)
        | _U64(data[at + _U64(4)]) << _U64(32) | _U64(data[at + _U64(5)]) << _U64(40)
        | _U64(data[at + _U64(6)]) << _U64(48) | _U64(data[at + _U64(7)]) << _U64(56)
    )  # fmt: skip


@inlined
def _line_hash(data: Any, position: Any) -> Any:
    """Return the line hash of the WINDOW bytes before *position*."""
    at = _U64(position) - _U64(WINDOW)
    value = _word_at(data, at) * _W0 + _word_at(data, at + _U64(8)) * _W1
    value += _word_at(data, at + _U64(16)) * _W2 + _word_at(data, at + _U64(24)) * _W3
    value += _word_at(data, at + _U64(32)) * _W4 + _word_at(data, at + _U64(40)) * _W5
    value += _word_at(data, at + _U64(48)) * _W6 + _word_at(data, at + _U64(56)) * _W7
    return (value ^ (value >> _FOLD)) * _LAST


@inlined
def _line_ends(word: Any) -> Any:
    """Return *word* with the upper bit of each byte that is a newline, and no other."""
    others = word ^ _NEWLINES
    return ~(((others & _LOW_BITS) + _LOW_BITS) | others | _LOW_BITS)


@inlined
def _lowest(bits: Any) -> Any:
    """Return the number of the lowest byte with a bit in *bits*, upper bits of bytes only."""
    return np.int64((((bits & (~bits + _U64(1))) >> _TO_BOTTOM) * _NUMBERS) >> _TO_UPPER)


@inlined
def _bits_at(data: Any, at: Any, stop: Any) -> Any:
    """Return which of the 8 bytes from *at* on are newlines before *stop*, as _line_ends does."""
    if at + _WORD <= stop:
        return _line_ends(_word_at(data, _U64(at)))
    bits = _U64(0)
    for position in range(at, stop):
        if data[position] == _NEWLINE:
            bits |= _U64(128) << _U64((position - at) << 3)
    return bits


@inlined
def _end_of_chunk(data: Any, table: Any, start: Any, sizes: Any, final: Any) -> Any:
    """Return where the chunk that begins at *start* ends, or -1 when that is not decided. *sizes* = record, average,
    longest; see dedup.formats.records.
    """
    alone, average, longest = sizes[0], sizes[1], sizes[2]
    stop = min(start + longest, data.shape[0])
    strict = ~_U64(0) // _U64(average)
    record = start
    for at in range(start, stop, _WORD):
        bits = _bits_at(data, at, stop)
        while bits:
            end = at + _lowest(bits) + 1
            bits &= bits - _U64(1)
            if end - record >= alone:
                return end if record == start else record
            if end - start >= alone and _line_hash(data, end) < strict * _U64(end - record):
                return end
            record = end
    if record > start and stop - record >= alone:
        return record
    if stop < start + longest:
        return stop if final else -1
    if record > start:
        return record
    inside = first_hit(data, table, start + average, stop + 1, strict)
    return inside if inside >= 0 else stop


@inlined
def cuts(data: Any, table: Any, sizes: Any, final: Any, out: Any) -> Any:
    """Write the decided ends of chunks to *out*; return how many. *table* is gear's."""
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
