"""What was cut already in this run: the next copy of it takes over its chunks, and is neither cut nor named again.

Used by dedup.ingest and dedup.many, one Familiar per run of migrate. A stretch is known by the BLAKE3 of everything in
its file from the first byte to the stretch's end, by where it begins, and by how it is cut. Files are digested anyway,
so asking costs nothing; and equal digests up to there are equal bytes, hence equal chunks, as certainly as if each had
been digested once more (P2). A copy's beginning is enough: a log that grew is familiar up to the window in which it
did.

Only what this process cut itself is in here, never a stored recipe: a forged or damaged one has no say. Whether the
chunks are stored is another question, asked for each of them as ever.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN
from dedup.values import ChunkPart, Digest, made_of

# Of a file or a window: below, asking and noting take as long as cutting (3 GB/s) and naming (5 GB/s).
LEAST_BYTES = 64 << 10
GENERATION_BYTES = 6 << 20  # about 6 GiB of files in chunks of 64 KiB
_STRETCH_BYTES = 300  # what a stretch takes besides its chunks
_CHUNK = struct.Struct(f"<{FINGERPRINT_LEN}s{DIGEST_LEN}sI")


class Stretch(NamedTuple):
    """Bytes that are given to a chunker in one piece, beginning where a chunk begins."""

    prefix: Digest
    """Of the file from its first byte to the last one of a window that holds the stretch."""
    start: int
    """Of the stretch, in the file."""
    length: int
    chunker: str
    """Stored name."""
    is_final: bool
    """Whether a chunk ends where the stretch ends."""


@dataclass(slots=True)
class Familiar:
    """Chunks by the stretch that they were cut from; all fingerprints by one function. Thread-safe.

    Bounded by two generations of GENERATION_BYTES: what nobody asks for during one is forgotten.
    """

    _young: dict[Stretch, bytes] = field(default_factory=dict)
    _old: dict[Stretch, bytes] = field(default_factory=dict)
    _bytes: int = 0

    def chunks(self, stretch: Stretch) -> list[ChunkPart] | None:
        """Return the chunks of *stretch*; None if nobody knows them."""
        packed = self._young.get(stretch)
        if packed is None:
            packed = self._old.get(stretch)
            if packed is None:
                return None
            self._keep(stretch, packed)
        return list(made_of(ChunkPart, zip(*_CHUNK.iter_unpack(packed), strict=True)))

    def add(self, stretch: Stretch, chunks: Sequence[ChunkPart]) -> None:
        """Note what *stretch* was cut into."""
        self._keep(stretch, b"".join([_CHUNK.pack(*chunk) for chunk in chunks]))

    def _keep(self, stretch: Stretch, packed: bytes) -> None:
        # Two threads at once may lose a generation early: nothing but work is lost with it.
        if self._bytes >= GENERATION_BYTES:
            self._young, self._old, self._bytes = {}, self._young, 0
        self._young[stretch] = packed
        self._bytes += len(packed) + _STRETCH_BYTES
