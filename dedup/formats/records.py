"""Where text is cut: at the ends of records (lines), so that a shuffled or edited file finds its records again.

Used by ingest for every region of kind "text". One chunk per record of RECORD bytes and more; shorter ones are grouped
by content. A chunk that begins at c, at a record's start, ends:

- behind its first record, if that is RECORD bytes or longer;
- before the next record of RECORD bytes or longer, whatever stands before it;
- behind a record of length n that ends at c + RECORD or later, if the line hash at its end (dedup.line_words) is below
  n * ((2**64 - 1) // AVERAGE): groups of AVERAGE bytes, in the mean, that find themselves again behind any edit;
- if none of that comes before c + LONGEST: behind the last whole record; in a first record that is longer still, at the
  first position from c + AVERAGE on whose gear hash (dedup.gear_reference) is below (2**64 - 1) // AVERAGE, else at
  c + LONGEST.

A newline belongs to the record that it ends; what follows a forced cut counts as a record of its own.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np

# 2 KiB: a shorter record compresses to less than the 90 bytes that a chunk of its own costs, five times over; measured
# on shuffled jsonl, one chunk per record of this length halves what 16 KiB content-defined chunks leave.
RECORD = 2 << 10
AVERAGE = 16 << 10
LONGEST = 64 << 10

_Cuts = Callable[..., list[int]]


@dataclass(frozen=True, slots=True)
class RecordChunker:
    """A dedup.chunkers.Chunker that cuts at the ends of records."""

    name: str = "records-2:2k-16k-64k"
    """Stored name: record that stands alone, average, longest."""
    min_len: int = 1
    """A short group between two long records is a chunk of its own."""
    max_len: int = LONGEST

    def cuts(self, data: memoryview, *, final: bool) -> list[int]:
        """Return the ends (exclusive, ascending) of the chunks of *data*, which begins where a chunk begins.

        With *final* the last end is len(data); without, a tail of less than max_len bytes stays uncut: offer it again
        at the front of the next buffer. The same bytes give the same cuts, whatever the buffers they arrive in.
        """
        size = len(data)
        if size <= RECORD:
            return [size] if final and size else []
        view = np.frombuffer(data, dtype=np.uint8)
        return _record_cuts()(view, np.array((RECORD, AVERAGE, LONGEST), dtype=np.int64), final=final)


RECORDS = RecordChunker()


@cache
def _record_cuts() -> _Cuts:
    return cast(_Cuts, importlib.import_module("dedup.kernels.records").record_cuts)
