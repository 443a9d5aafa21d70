"""How much of the bytes read is distinct, and how small it gets: exact while it fits, by sampling beyond.

Used by estimate alone; fingerprints decide here (P2 allows it where nothing is stored). Memory is bounded: above
MAX_DISTINCT chunks only those whose fingerprint ends in so many zero bits are remembered, a fair sample of all chunks
whatever files they come from. Compression is measured on all new chunks at first, on a share of them later.
"""

from dataclasses import dataclass

from dedup.codecs import encode
from dedup.fingerprint import fingerprint

MAX_DISTINCT = 1 << 20  # about 150 MB of Python integers; 64-100 GiB of data are still exact
CODED_WHOLE_BYTES = 512 << 20  # at 330 MB/s and core some seconds
CODED_SHARE_BITS = 4  # then 1 chunk in 16
# Chunk header (66), index entry (66) and line in the recipe (52), see dedup.layout and dedup.recipe.
BYTES_PER_CHUNK = 132
_COUNT_BITS = 32
_COUNT_MASK = (1 << _COUNT_BITS) - 1


@dataclass(frozen=True, slots=True)
class Reduction:
    """What was measured. Bytes of data, holes left out."""

    data_bytes: int
    unique_bytes: int
    """Of distinct chunks; an estimate when the sample is not whole."""
    stored_bytes: int
    """Of distinct chunks, coded, with what a pack adds to each."""
    sampled_share: float
    """Share of chunks that were told apart: 1.0 is all."""


class ReductionMeter:
    """Takes chunks, in any order. One thread."""

    def __init__(self, *, effort: str, max_distinct: int = MAX_DISTINCT, coded_whole: int = CODED_WHOLE_BYTES) -> None:
        """Compress at *effort* (a key of dedup.codecs.EFFORTS); remember at most *max_distinct* chunks."""
        self._effort = effort
        self._max_distinct = max_distinct
        self._coded_whole = coded_whole
        self._data_bytes = 0
        self._seen: dict[int, int] = {}
        """8 bytes of fingerprint -> length << 32 | count (of 2**32 - 1 at most)."""
        self._zero_bits = 0
        self._coded_raw = 0.0
        self._coded_stored = 0.0
        self._coded_bytes = 0

    def add(self, chunk: memoryview) -> None:
        """Count one chunk, of 1 byte or more."""
        self._data_bytes += len(chunk)
        name = int.from_bytes(fingerprint(chunk)[:8], "big")
        if name & ((1 << self._zero_bits) - 1):
            return
        known = self._seen.get(name)
        if known is not None:
            self._seen[name] = known + (known & _COUNT_MASK < _COUNT_MASK)
            return
        self._seen[name] = len(chunk) << _COUNT_BITS | 1
        self._code(chunk, name)
        if len(self._seen) > self._max_distinct:
            self._halve()

    def result(self) -> Reduction:
        """Return what holds for all chunks added so far."""
        all_bytes = unique_bytes = 0
        for value in self._seen.values():
            length = value >> _COUNT_BITS
            unique_bytes += length
            all_bytes += length * (value & _COUNT_MASK)
        unique = round(self._data_bytes * unique_bytes / all_bytes) if all_bytes else 0
        chunks = len(self._seen) * unique // unique_bytes if unique_bytes else 0
        coded = unique * self._coded_stored / self._coded_raw if self._coded_raw else unique
        return Reduction(
            data_bytes=self._data_bytes,
            unique_bytes=unique,
            stored_bytes=round(coded) + chunks * BYTES_PER_CHUNK,
            sampled_share=2.0**-self._zero_bits,
        )

    def _code(self, chunk: memoryview, name: int) -> None:
        weight = 1 << self._zero_bits
        if self._coded_bytes >= self._coded_whole:
            if (name >> (64 - CODED_SHARE_BITS)) != 0:
                return
            weight <<= CODED_SHARE_BITS
        self._coded_bytes += len(chunk)
        self._coded_raw += weight * len(chunk)
        self._coded_stored += weight * len(encode(chunk, effort=self._effort).payload)

    def _halve(self) -> None:
        self._zero_bits += 1
        mask = (1 << self._zero_bits) - 1
        self._seen = {name: value for name, value in self._seen.items() if not name & mask}
