"""The record chunker spelled out in plain Python, after the docstring of dedup.formats.records."""

from dedup.formats.records import AVERAGE, LONGEST, RECORD
from dedup.gear_table import gear_words

MASK = (1 << 64) - 1
STRICT = MASK // AVERAGE


def gear(data: bytes) -> int:
    """Return the gear hash at the end of *data*."""
    table, value = gear_words(), 0
    for byte in data[-64:]:
        value = (value << 1) + table[byte]
    return value & MASK


def first_end(data: bytes) -> int:
    """Return where the first chunk of *data* ends."""
    start = 0
    for line in _records(data[:LONGEST]):
        end = start + len(line)
        if len(line) >= RECORD and (line.endswith(b"\n") or start):
            return end if start == 0 else start
        if line.endswith(b"\n") and end >= RECORD and gear(data[:end]) < STRICT * len(line):
            return end
        if line.endswith(b"\n"):
            start = end
    if len(data) < LONGEST:
        return len(data)
    if start:
        return start
    inside = (end for end in range(AVERAGE, LONGEST + 1) if gear(data[:end]) < STRICT)
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
