"""Sources, index and sink in memory, for tests of ingest and for building small stores by hand."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dedup.codecs import Coded
from dedup.values import ChunkPart, Digest, Extent, Fingerprint, HolePart, Part, Span


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
    """Index and sink at once: remembers every chunk that it was given."""

    chunks: dict[tuple[Fingerprint, Digest], tuple[int, Coded]] = field(default_factory=dict)
    known: dict[Fingerprint, list[Digest]] = field(default_factory=lambda: defaultdict(list))

    def lookup(self, fingerprints: Sequence[Fingerprint]) -> Mapping[Fingerprint, Sequence[Digest]]:
        return {name: self.known[name] for name in fingerprints if name in self.known}

    def add(self, fingerprint: Fingerprint, digest: Digest, raw_len: int, coded: Coded) -> None:
        if (fingerprint, digest) not in self.chunks:
            self.chunks[fingerprint, digest] = (raw_len, coded)
            self.known[fingerprint].append(digest)

    def assembled(self, parts: Sequence[Part], open_chunk: Callable[[str, bytes, int, Digest], bytes]) -> bytes:
        """Return the bytes that *parts* describe."""
        pieces = []
        for part in parts:
            if isinstance(part, HolePart):
                pieces.append(bytes(part.length))
            else:
                assert isinstance(part, ChunkPart)
                raw_len, coded = self.chunks[part.fingerprint, part.digest]
                pieces.append(open_chunk(coded.codec, coded.payload, raw_len, part.digest))
        return b"".join(pieces)


def nothing() -> None:
    """Stand for a check that finds the source unchanged."""
