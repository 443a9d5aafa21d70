"""From a byte source to parts: cut by region, fingerprint, digest, hand over. One pass, bounded memory.

Used by migrate. What is new, and how it is kept, is the business of whoever takes the pieces (dedup.blocks). A file
that is in memory whole goes through ingest_whole(), a longer one through ingest(), in windows of WINDOW_BYTES.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, islice, pairwise, repeat
from typing import NamedTuple, Protocol, Self

from dedup.buffers import thread_buffer
from dedup.chunkers import Chunker
from dedup.errors import ShortRead
from dedup.familiar import LEAST_BYTES, Familiar, Stretch
from dedup.fingerprint import Buffer, FileDigest, FingerprintFunction, digest, digests, fingerprints
from dedup.values import ChunkPart, Digest, Extent, HolePart, Part, Region, Span, WrappedPart
from dedup.wrappers import unwrap

# 1 MiB: what was read is still near the core when it is cut and named (8 MiB take an eighth longer), and a copy that
# was edited is known up to a megabyte before the edit. Half of it gains nothing: Python's share grows.
WINDOW_BYTES = 1 << 20
# A longer page is kept as it is.
LONGEST_PAGE_BYTES = 8 << 20
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


class Piece(NamedTuple):
    """One chunk with its bytes, on its way to whoever stores what is new."""

    chunk: ChunkPart
    data: Buffer
    """Valid only while it is being taken."""
    region: Region
    """Where it was cut from."""
    start: int
    """Its first byte, counted from the region's (of a page: in its plain form)."""
    origin: object
    """The source, in the caller's own terms; stands in the message should coding fail."""


@dataclass(slots=True)
class Pieces:
    """The pieces of a stretch, in order, as a column for each field of a Piece.

    Most are known and need no more than the name they have: what is new is picked from the columns by its number.
    """

    chunks: list[ChunkPart] = field(default_factory=list)
    data: list[Buffer] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    origins: list[object] = field(default_factory=list)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.chunks)

    def __iter__(self) -> Iterator[Piece]:
        """Yield each."""
        return map(Piece, self.chunks, self.data, self.regions, self.starts, self.origins)

    def __iadd__(self, other: "Pieces") -> Self:
        """Add what follows."""
        self.chunks += other.chunks
        self.data += other.data
        self.regions += other.regions
        self.starts += other.starts
        self.origins += other.origins
        return self


_Cut = tuple[list[ChunkPart], list[Buffer]]
"""Chunks and their bytes."""

Take = Callable[[Pieces], None]
"""Is offered every piece of a stretch, in order, known or not. May block; may raise what it likes."""

# ChunkPart(*columns), without a Python call for each.
_as_chunk: Callable[[tuple[object, ...]], ChunkPart] = partial(tuple.__new__, ChunkPart)


class Ingested(NamedTuple):
    """The outcome for one source."""

    parts: tuple[Part, ...]
    digest: Digest
    """Of the whole file, holes read as zeros."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """How a source is cut and named."""

    chunker: Callable[[Region], Chunker]
    """Of each region; dedup.chunkers.chunker_of with the file's size."""
    fingerprint: FingerprintFunction
    origin: object = None
    regions: Sequence[Region] = ()
    """They cover the source; none: all of it is generic. Left aside where there are holes."""
    proves: bool = True
    """False makes no digests: those of chunks and file are empty. For who only counts, and stores nothing."""
    familiar: Familiar | None = None
    """What was cut before, and named by the same function. Not asked without digests."""


def generic(span: Span) -> Region:
    """Return a region of which nothing is known."""
    return Region(span, "generic")


def named(pieces: Sequence[Buffer], fingerprint: FingerprintFunction, *, proves: bool = True) -> list[ChunkPart]:
    """Return *pieces* as chunks; without digests where nothing is to be proven."""
    confirmed: Iterable[Digest] = digests(pieces) if proves else repeat(Digest(b""))
    columns = zip(fingerprints(pieces, fingerprint), confirmed, map(len, pieces), strict=False)
    return list(map(_as_chunk, columns))


def split(view: memoryview, ends: Iterable[int]) -> list[Buffer]:
    """Return the pieces of *view* that end at *ends*, ascending."""
    return [view[start:end] for start, end in pairwise((0, *ends))]


def ingest_whole(data: memoryview, cutting: Cutting) -> tuple[Ingested, Pieces]:
    """Return parts and digest of a file that is *data*, and its pieces for the caller to hand over, in order.

    The pieces are views of *data*, or of what pages unwrap to.
    """
    held, window = _Held(), _Memory(data)
    run = _Cutter(cutting, window, held)
    for region in cutting.regions or ([generic(Span(0, len(data)))] if data else []):
        run.add_region(region)
    parts = run.parts
    if len(parts) == 1 and isinstance(parts[0], ChunkPart):
        whole = parts[0].digest
    else:
        whole = window.prefix() if cutting.proves else Digest(b"")
    return Ingested(tuple(parts), whole), held.pieces


def ingest(source: ByteSource, cutting: Cutting, *, take: Take, before_read: Callable[[], None]) -> Ingested:
    """Return the parts and digest of *source*, having offered every piece to *take*.

    *before_read* is called before each read and each step over a hole; what it raises ends the ingest. Raises ShortRead
    if the source ends early; pieces taken by then are whole and true, only unreferenced.
    """
    extents = tuple(source.extents())
    if sum(extent.span.length for extent in extents) != source.size:
        raise ShortRead("the source's extents do not add up to its size")
    has_holes = any(extent.is_hole for extent in extents)
    whole = FileDigest() if cutting.proves else _NoDigest()
    regions = () if has_holes else cutting.regions
    kinds = {(region.kind, region.element): region for region in regions or [generic(Span(0, source.size))]}
    longest = max(cutting.chunker(region).max_len for region in kinds.values())
    pages = [region.span.length for region in regions if region.wrap and region.span.length <= LONGEST_PAGE_BYTES]
    # Twice: a chunk that is still open at the end of one window is found whole in the next.
    buffer = thread_buffer(min(source.size, max(WINDOW_BYTES, 2 * longest, *pages)))
    held = _Held()
    window = _Stream(source, before_read, whole, buffer, partial(held.give, take))
    run = _Cutter(cutting, window, held)
    for extent in extents:
        if extent.is_hole:
            held.give(take)
            _add_hole(run.parts, extent.span.length, whole, before_read)
            continue
        window.end = extent.span.end
        for region in regions or [generic(extent.span)]:
            run.add_region(region)
    held.give(take)
    return Ingested(tuple(run.parts), whole.digest())


@dataclass(slots=True)
class _Held:
    """Pieces that are cut and not handed over. Both the window and who cuts in it know it, neither the other way round:
    a cycle would keep all that a file was read with until the next search for garbage.
    """

    pieces: Pieces = field(default_factory=Pieces)

    def give(self, take: Take) -> None:
        """Hand them over."""
        if self.pieces:
            take(self.pieces)
            self.pieces = Pieces()


class _Window(Protocol):
    """The bytes of a source, read forwards."""

    @property
    def capacity(self) -> int:
        """The longest stretch that need() gives."""

    def need(self, offset: int, length: int) -> memoryview:
        """Return *length* bytes from *offset* on. Views given before may become worthless; offsets ascend."""

    def prefix(self) -> Digest:
        """Return the digest of the source up to the last byte that is held."""


@dataclass(slots=True)
class _Memory:
    """A window over all of a small file."""

    data: memoryview
    _whole: Digest | None = None

    @property
    def capacity(self) -> int:
        return len(self.data)

    def need(self, offset: int, length: int) -> memoryview:
        return self.data[offset : offset + length]

    def prefix(self) -> Digest:
        if self._whole is None:
            self._whole = digest(self.data)
        return self._whole


@dataclass(slots=True)
class _Stream:
    """A window that slides over a source; digests what it reads."""

    source: ByteSource
    before_read: Callable[[], None]
    whole: "FileDigest | _NoDigest"
    buffer: memoryview
    settle: Callable[[], None]
    """Called before views given out become worthless."""
    end: int = 0
    """Nothing is read beyond: the end of the extent in hand."""
    base: int = 0
    held: int = 0
    _prefix: Digest | None = None

    @property
    def capacity(self) -> int:
        return len(self.buffer)

    def prefix(self) -> Digest:
        if self._prefix is None:
            self._prefix = self.whole.digest()
        return self._prefix

    def need(self, offset: int, length: int) -> memoryview:
        start = offset - self.base
        if start + length > self.held:
            self.settle()
            kept = max(self.held - start, 0)
            self.buffer[:kept] = self.buffer[start : start + kept]
            self.base, self.held, start = offset, kept, 0
            self._fill(min(len(self.buffer), self.end - offset))
        return self.buffer[start : start + length]

    def _fill(self, wanted: int) -> None:
        self._prefix = None
        while self.held < wanted:
            self.before_read()
            piece = self.buffer[self.held : min(self.held + READ_BYTES, wanted)]
            got = self.source.readinto(piece, self.base + self.held)
            if got <= 0:
                at = self.base + self.held
                raise ShortRead(f"the source ends at {at}, {self.source.size} bytes were announced")
            self.whole.update(piece[:got])
            self.held += got


@dataclass(slots=True)
class _Cutter:
    """Cuts one source region by region."""

    cutting: Cutting
    window: _Window
    held: _Held
    parts: list[Part] = field(default_factory=list)

    def add_region(self, region: Region) -> None:
        """Cut *region*, the next one; a page that does not come back exactly is kept as it is."""
        span = region.span
        if region.wrap and 0 < span.length <= self.window.capacity:
            plain = unwrap(region.wrap, bytes(self.window.need(span.start, span.length)))
            if plain:
                view = memoryview(plain)
                data = split(view, self.cutting.chunker(region).cuts(view, final=True))
                inner = self._named(data)
                self._hold(inner, data, region, 0)
                self.parts.append(WrappedPart(region.wrap, span.length, tuple(inner)))
                return
        if region.wrap:
            region = Region(span, "media")
        self._add_span(region, self.cutting.chunker(region))

    def _add_span(self, region: Region, chunker: Chunker) -> None:
        at, end = region.span.start, region.span.end
        while at < end:
            wanted = min(self.window.capacity, end - at)
            view = self.window.need(at, wanted)
            chunks, data = self._cut(view, chunker, at, is_final=at + wanted == end)
            self._hold(chunks, data, region, at - region.span.start)
            self.parts += chunks
            at += sum(map(len, data))

    def _cut(self, view: memoryview, chunker: Chunker, at: int, *, is_final: bool) -> _Cut:
        """Cut *view*, which begins at *at*, unless it is the copy of one that was."""
        familiar = self.cutting.familiar
        if familiar is None or len(view) < LEAST_BYTES or not self.cutting.proves:
            return self._cut_anew(view, chunker, is_final=is_final)
        stretch = Stretch(self.window.prefix(), at, len(view), chunker.name, is_final)
        known = familiar.chunks(stretch)
        if known is not None:
            return known, split(view, accumulate([chunk[2] for chunk in known]))
        chunks, data = self._cut_anew(view, chunker, is_final=is_final)
        familiar.add(stretch, chunks)
        return chunks, data

    def _cut_anew(self, view: memoryview, chunker: Chunker, *, is_final: bool) -> _Cut:
        # What is left of a file, or a small one, has nothing to look for.
        is_short = len(view) <= chunker.min_len
        data = split(view, [len(view)] if is_short else chunker.cuts(view, final=is_final))
        return self._named(data), data

    def _named(self, data: Sequence[Buffer]) -> list[ChunkPart]:
        return named(data, self.cutting.fingerprint, proves=self.cutting.proves)

    def _hold(self, chunks: list[ChunkPart], data: list[Buffer], region: Region, offset: int) -> None:
        pieces, count = self.held.pieces, len(chunks)
        pieces.chunks += chunks
        pieces.data += data
        pieces.regions += [region] * count
        pieces.starts += islice(accumulate(map(len, data), initial=offset), count)
        pieces.origins += [self.cutting.origin] * count


class _NoDigest:
    """Stands for the digest of a file that is only counted."""

    def update(self, data: Buffer) -> None:
        """Pass over *data*."""

    def update_zeros(self, count: int) -> None:
        """Pass over a hole."""

    def digest(self) -> Digest:
        """Return none."""
        return Digest(b"")


def _add_hole(parts: list[Part], length: int, whole: FileDigest | _NoDigest, before_read: Callable[[], None]) -> None:
    if parts and isinstance(parts[-1], HolePart):
        parts[-1] = HolePart(parts[-1].length + length)
    else:
        parts.append(HolePart(length))
    for start in range(0, length, HOLE_STEP_BYTES):
        before_read()
        whole.update_zeros(min(HOLE_STEP_BYTES, length - start))
