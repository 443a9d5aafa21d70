"""The record chunker spelled out in plain Python, after the docstring of dedup.formats.records."""

from dedup.formats.records import AVERAGE, LONGEST, RECORD
from dedup.gear_reference import hash_at
from dedup.line_words import WINDOW, line_words

MASK = (1 << 64) - 1
STRICT = MASK // AVERAGE


def line_hash(data: bytes, position: int) -> int:
    """Return the line hash of the WINDOW bytes before *position*."""
    *multipliers, last = line_words()
    value = 0
    for at, by in zip(range(position - WINDOW, position, 8), multipliers, strict=True):
        value += int.from_bytes(data[at : at + 8], "little") * by
    value &= MASK
    return (value ^ value >> 32) * last & MASK


def first_end(data: bytes) -> int:
    """Return where the first chunk of *data* ends."""
    start = 0
    for line in _records(data[:LONGEST]):
        end = start + len(line)
        if len(line) >= RECORD and (line.endswith(b"\n") or start):
            return end if start == 0 else start
        if line.endswith(b"\n") and end >= RECORD and line_hash(data, end) < STRICT * len(line):
            return end
        if line.endswith(b"\n"):
            start = end
    if len(data) < LONGEST:
        return len(data)
    if start:
        return start
    inside = (end for end in range(AVERAGE, LONGEST + 1) if hash_at(data, end) < STRICT)
    return next(inside, LONGEST)


def reference_cuts(data: bytes) -> list[int]:
    """Return the ends of all chunks of *data*."""
    ends, start = [], 0
    while start < len(data):
        start += first_end(data[start:])
        ends.append(start)
    return ends


def _records(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
