"""From a byte source to parts: chunk, fingerprint, look up, confirm, encode, hand over. One pass, bounded memory.

Used by migrate for every file, and by estimates with a sink that keeps nothing. Memory is one buffer of BUFFER_BYTES
plus what is being encoded. A hit counts as a duplicate only if the BLAKE3 digest agrees (P2): the same fingerprint
with another digest is stored as a chunk of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from dedup.buffers import thread_buffer
from dedup.chunkers import Chunker
from dedup.codecs import Coded, encode
from dedup.errors import ShortRead
from dedup.fingerprint import (
    DEFAULT_FINGERPRINT,
    FileDigest,
    FingerprintFunction,
    digest,
    resolve_fingerprint,
)
from dedup.values import ChunkPart, Digest, Extent, Fingerprint, HolePart, Part, Span

# 4 MiB: long enough that Python's share vanishes, short enough that the source is looked at every few milliseconds.
BUFFER_BYTES = 4 << 20
# 1 MiB: a slow disk (100 MB/s) is left waiting 10 ms between two looks at the source's lease.
READ_BYTES = 1 << 20
# A stretch of zeros is hashed at 6 GB/s: 64 MiB take about 10 ms.
HOLE_STEP_BYTES = 64 << 20


class ByteSource(Protocol):
    """What is read: a file, held open by the caller."""

    @property
    def size(self) -> int:
        """Apparent size in bytes."""

    def extents(self) -> Iterable[Extent]:
        """Yield the layout: ascending, touching, not empty, adding up to size."""

    def readinto(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* from *offset* on; return the bytes read, fewer only at the end of the file. Raises what it
        likes.
        """


class ChunkIndex(Protocol):
    """What is stored already. Thread-safe."""

    def lookup(self, fingerprints: Sequence[Fingerprint]) -> Mapping[Fingerprint, Sequence[Digest]]:
        """Return the digests known for each fingerprint; absent = none. Includes what the sink was given before."""


class ChunkSink(Protocol):
    """Where new chunks go. Thread-safe."""

    def add(self, fingerprint: Fingerprint, digest: Digest, raw_len: int, coded: Coded) -> None:
        """Store one chunk; a (fingerprint, digest) it was given before is ignored. May block; may raise what it
        likes.
        """


EncodeMany = Callable[[Sequence[memoryview]], Iterable[Coded]]
"""Encodes several chunks, in order; the hook by which a caller spreads the work over threads.

The views are valid until the last result has been taken."""


@dataclass(frozen=True, slots=True)
class IngestStats:
    """What became of one source's bytes."""

    chunks: int = 0
    new_chunks: int = 0
    new_raw_bytes: int = 0
    """Of chunks that were handed to the sink."""
    new_stored_bytes: int = 0
    reused_bytes: int = 0
    hole_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Ingested:
    """The outcome for one source."""

    parts: tuple[Part, ...]
    digest: Digest
    """Of the whole file, holes read as zeros."""
    stats: IngestStats


def ingest(
    source: ByteSource,
    *,
    chunker: Chunker,
    effort: str,
    index: ChunkIndex,
    sink: ChunkSink,
    fingerprint: str = DEFAULT_FINGERPRINT,
    before_read: Callable[[], None],
    encode_many: EncodeMany | None = None,
) -> Ingested:
    """Return the parts and digest of *source*, having handed every new chunk to *sink*.

    *before_read* is called before each read, each encoding and each step over a hole; what it raises ends the ingest.
    Raises ShortRead if the source ends early, CorruptChunk if a codec fails its own check; chunks handed over by then
    are whole and true, only unreferenced.
    """
    spread = encode_many or _one_after_the_other(effort)
    run = _Run(source, chunker, index, sink, resolve_fingerprint(fingerprint), before_read, spread)
    return run.everything()


def _one_after_the_other(effort: str) -> EncodeMany:
    return lambda pieces: (encode(piece, effort=effort) for piece in pieces)


@dataclass(slots=True)
class _Run:
    """One source on its way through."""

    source: ByteSource
    chunker: Chunker
    index: ChunkIndex
    sink: ChunkSink
    fingerprint: FingerprintFunction
    before_read: Callable[[], None]
    encode_many: EncodeMany
    parts: list[Part] = field(default_factory=list)
    whole: FileDigest = field(default_factory=FileDigest)
    single: Digest | None = None
    """The digest of the only chunk of a source that is one chunk: it is the whole digest too."""
    new_chunks: int = 0
    new_raw_bytes: int = 0
    new_stored_bytes: int = 0

    def everything(self) -> Ingested:
        extents = tuple(self.source.extents())
        if sum(extent.span.length for extent in extents) != self.source.size:
            raise ShortRead("the source's extents do not add up to its size")
        longest = max((extent.span.length for extent in extents if not extent.is_hole), default=0)
        buffer = thread_buffer(min(longest, max(BUFFER_BYTES, 2 * self.chunker.max_len)))
        for extent in extents:
            if extent.is_hole:
                self._add_hole(extent.span.length)
            else:
                self._add_extent(extent.span, buffer)
        return self._outcome()

    def _add_hole(self, length: int) -> None:
        if self.parts and isinstance(self.parts[-1], HolePart):
            self.parts[-1] = HolePart(self.parts[-1].length + length)
        else:
            self.parts.append(HolePart(length))
        for start in range(0, length, HOLE_STEP_BYTES):
            self.before_read()
            self.whole.update_zeros(min(HOLE_STEP_BYTES, length - start))

    def _add_extent(self, span: Span, buffer: memoryview) -> None:
        """Read and cut one stretch of data; what a buffer leaves uncut moves to its front."""
        offset, held = span.start, 0
        while offset < span.end:
            wanted = min(len(buffer) - held, span.end - offset)
            self._fill(buffer[held : held + wanted], offset)
            offset, held = offset + wanted, held + wanted
            ends = self.chunker.cuts(buffer[:held], final=offset == span.end)
            self._add_chunks(buffer, ends)
            done = ends[-1] if ends else 0
            buffer[: held - done] = buffer[done:held]
            held -= done

    def _fill(self, piece: memoryview, offset: int) -> None:
        filled = 0
        while filled < len(piece):
            self.before_read()
            got = self.source.readinto(piece[filled : filled + READ_BYTES], offset + filled)
            if got <= 0:
                raise ShortRead(f"the source ends at {offset + filled}, {self.source.size} bytes were announced")
            filled += got

    def _add_chunks(self, data: memoryview, ends: list[int]) -> None:
        """Record the chunks of *data* that end at *ends*; encode and hand over those that are not known."""
        if not ends:
            return
        pieces = [data[start:end] for start, end in pairwise([0, *ends])]
        chunks = [ChunkPart(self.fingerprint(piece), digest(piece), len(piece)) for piece in pieces]
        if len(ends) == 1 and ends[0] == self.source.size:
            self.single = chunks[0].digest
        else:
            self.whole.update(data[: ends[-1]])
        self.parts += chunks
        known = self.index.lookup(list({chunk.fingerprint for chunk in chunks}))
        new = {
            chunk: piece
            for chunk, piece in zip(chunks, pieces, strict=True)
            if chunk.digest not in known.get(chunk.fingerprint, ())
        }
        self.before_read()
        for chunk, coded in zip(new, self.encode_many(list(new.values())), strict=True):
            self.sink.add(chunk.fingerprint, chunk.digest, chunk.length, coded)
            self.new_chunks += 1
            self.new_raw_bytes += chunk.length
            self.new_stored_bytes += len(coded.payload)
            self.before_read()

    def _outcome(self) -> Ingested:
        holes = sum(part.length for part in self.parts if isinstance(part, HolePart))
        stats = IngestStats(
            chunks=sum(isinstance(part, ChunkPart) for part in self.parts),
            new_chunks=self.new_chunks,
            new_raw_bytes=self.new_raw_bytes,
            new_stored_bytes=self.new_stored_bytes,
            reused_bytes=self.source.size - holes - self.new_raw_bytes,
            hole_bytes=holes,
        )
        return Ingested(tuple(self.parts), self.single or self.whole.digest(), stats)
