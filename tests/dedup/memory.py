"""Sources, index and sink in memory, for tests of ingest and for building small stores by hand."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dedup.assemble import rewrapped
from dedup.blocks import Gatherer, RawBlock
from dedup.chunkers import Chunker
from dedup.familiar import Familiar
from dedup.fingerprint import DEFAULT_FINGERPRINT, digest, resolve_fingerprint
from dedup.ingest import Cutting, Ingested, ingest
from dedup.values import ChunkPart, Digest, Extent, Fingerprint, HolePart, Part, Region, Span, WrappedPart


@dataclass
class BytesSource:
    """A source over bytes; *holes* are ranges (start, end) to report as such."""

    data: bytes
    holes: Sequence[tuple[int, int]] = ()
    piece: int = 1 << 30
    """Most bytes that one read returns."""

    @property
    def size(self) -> int:
        return len(self.data)

    def extents(self) -> Iterable[Extent]:
        at = 0
        for start, end in [*self.holes, (len(self.data), len(self.data))]:
            if start > at:
                yield Extent(Span(at, start - at), is_hole=False)
            if end > start:
                yield Extent(Span(start, end - start), is_hole=True)
            at = end

    def readinto(self, buffer: memoryview, offset: int) -> int:
        got = self.data[offset : offset + min(len(buffer), self.piece)]
        buffer[: len(got)] = got
        return len(got)


@dataclass
class Shelf:
    """Takes in sources and remembers every new chunk, in the blocks that a Gatherer made."""

    blocks: list[RawBlock] = field(default_factory=list)
    chunks: dict[Digest, bytes] = field(default_factory=dict)
    fingerprints: set[Fingerprint] = field(default_factory=set)

    def claim(self, chunks: Sequence[ChunkPart]) -> list[int]:
        new = []
        for number, chunk in enumerate(chunks):
            if chunk.digest not in self.chunks:
                new.append(number)
            self.chunks.setdefault(chunk.digest, b"")
            self.fingerprints.add(chunk.fingerprint)
        return new

    def full(self, block: RawBlock) -> None:
        self.blocks.append(block)
        at = 0
        for chunk in block.chunks:
            self.chunks[chunk.digest] = block.raw[at : at + chunk.length]
            assert digest(self.chunks[chunk.digest]) == chunk.digest
            at += chunk.length
        assert at == len(block.raw)

    def take_in(
        self,
        source: BytesSource,
        chunker: Chunker,
        *,
        fingerprint: str = DEFAULT_FINGERPRINT,
        regions: Sequence[Region] = (),
        before_read: Callable[[], None] = lambda: None,
        familiar: Familiar | None = None,
    ) -> Ingested:
        """Ingest one source in windows, its blocks closed at its end."""
        gatherer = Gatherer(self, self.full)
        cutting = Cutting(
            lambda region: chunker, resolve_fingerprint(fingerprint), "a source", regions, familiar=familiar
        )
        result = ingest(source, cutting, take=gatherer.take, before_read=before_read)
        gatherer.flush()
        return result

    def assembled(self, parts: Sequence[Part]) -> bytes:
        """Return the bytes that *parts* describe."""
        pieces = []
        for part in parts:
            if isinstance(part, HolePart):
                pieces.append(bytes(part.length))
            elif isinstance(part, WrappedPart):
                pieces.append(rewrapped(part, b"".join(self.chunks[chunk.digest] for chunk in part.inner)))
            else:
                pieces.append(self.chunks[part.digest])
        return b"".join(pieces)
