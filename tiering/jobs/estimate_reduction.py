"""How much of the bytes read is distinct, and how small it gets: exact while it fits, by sampling beyond.

Used by estimate alone; fingerprints decide here (P2 allows it where nothing is stored). Memory is bounded: above
MAX_DISTINCT chunks only those whose fingerprint ends in so many zero bits are remembered, a fair sample of all chunks
whatever files they come from. What is new goes through the gatherer and the codecs that migrate uses, class by class:
all of it at first, then stretches further and further apart, each of which speaks for those around it: what comes first
says nothing about what comes later, in another folder.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dedup.blocks import Gatherer, RawBlock
from dedup.codecs import encode
from dedup.ingest import Piece, Pieces
from dedup.values import ChunkPart

MAX_DISTINCT = 1 << 20  # about 150 MB of Python integers; 64-100 GiB of data are still exact
CODED_WHOLE_BYTES = 16 << 20  # of each class; at 100-300 MB/s and core a tenth of a second
STRETCH_BYTES = 1 << 20  # neighbours stay together, as in a block
A_DOUBLING = 4  # so many stretches are coded of as many bytes again, and of twice as many, and so on,
LAST_EVERY = 64  # until it is one stretch in so many: zstd takes 0.05-0.15 s of a core per GB
# Length in the block header (3), fingerprint, digest and length in the trailer (8 + 32 + 3): see docs/formats.md.
BYTES_PER_CHUNK = 46
_COUNT_BITS = 32
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_CLASS_BITS = 64  # above length << 32 | count


@dataclass(frozen=True, slots=True)
class ClassReduction:
    """What was measured of the chunks of one kind."""

    kind: str
    """As in dedup.values.Region."""
    element: str
    data_bytes: int
    unique_bytes: int
    stored_bytes: int
    """Coded, with what a pack adds to each chunk."""
    codecs: tuple[str, ...]
    """Stored names of the codecs that won, the one with most bytes first."""


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
    coded_share: float
    """Share of the distinct bytes told apart that were coded, and speak for the others."""
    classes: tuple[ClassReduction, ...]
    """The largest first."""


@dataclass(slots=True)
class _Part:
    """New chunks of one kind that came one after the other, of which equally many were coded."""

    new_bytes: int = 0
    coded_raw: int = 0
    coded_stored: int = 0


@dataclass(slots=True)
class _Class:
    """What is known of the chunks of one kind."""

    number: int
    data_bytes: int = 0
    new_bytes: int = 0
    parts: dict[int, _Part] = field(default_factory=dict)
    """By the stretches of which one was coded, ascending: 1 is all of it."""
    codecs: Counter[str] = field(default_factory=Counter)

    def part(self, every: int) -> _Part:
        return self.parts.setdefault(every, _Part())

    @property
    def coded_raw(self) -> int:
        return sum(part.coded_raw for part in self.parts.values())

    def stored_share(self) -> float:
        """Return coded over raw bytes: each part by its own, one of which nothing was coded by that of all."""
        if not self.coded_raw:
            return 1.0
        of_all = sum(part.coded_stored for part in self.parts.values()) / self.coded_raw
        stored = sum(
            part.new_bytes * (part.coded_stored / part.coded_raw if part.coded_raw else of_all)
            for part in self.parts.values()
        )
        return stored / self.new_bytes


class ReductionMeter:
    """Takes chunks, in any order. One thread."""

    def __init__(
        self, *, effort: str, max_distinct: int = MAX_DISTINCT, coded_whole_bytes: int = CODED_WHOLE_BYTES
    ) -> None:
        """Compress at *effort* (a key of dedup.codecs.EFFORTS); remember at most *max_distinct* chunks."""
        self._effort = effort
        self._max_distinct = max_distinct
        self._coded_whole_bytes = coded_whole_bytes
        self._classes: dict[tuple[str, str], _Class] = {}
        self._seen: dict[int, int] = {}
        """Fingerprint as a number -> class << 64 | length << 32 | count (of 2**32 - 1 at most)."""
        self._zero_bits = 0
        self._coded: list[int] = []
        """Numbers of the pieces in hand."""
        self._page_file_bytes = self._page_plain_bytes = 0
        self._gatherer = Gatherer(self, self._code)

    def take(self, pieces: Pieces) -> None:
        """Count *pieces*; nothing refers to their data afterwards."""
        self._coded = [number for number, piece in enumerate(pieces) if self._count(piece)]
        self._gatherer.take(pieces)
        if len(self._seen) > self._max_distinct:
            self._halve()

    def add_pages(self, file_bytes: int, plain_bytes: int) -> None:
        """Note that pages of *file_bytes* in a file went in as *plain_bytes*: what is unique is told in file bytes."""
        self._page_file_bytes += file_bytes
        self._page_plain_bytes += plain_bytes

    def claim(self, chunks: Sequence[ChunkPart]) -> Sequence[int]:
        """Tell the gatherer which of the pieces in hand are to be coded."""
        return self._coded

    def claim_again(self, chunk: ChunkPart) -> bool:
        """Never: an estimate codes nothing twice."""
        return False

    def result(self) -> Reduction:
        """Return what holds for all chunks taken so far."""
        self._gatherer.flush()
        seen: dict[int, list[int]] = {found.number: [0, 0, 0] for found in self._classes.values()}
        for value in self._seen.values():
            sums = seen[value >> _CLASS_BITS]
            length = (value & (1 << _CLASS_BITS) - 1) >> _COUNT_BITS
            sums[0] += length * (value & _COUNT_MASK)
            sums[1] += length
            sums[2] += 1
        new_bytes = sum(found.new_bytes for found in self._classes.values())
        classes = [_reduced(name, found, *seen[found.number]) for name, found in self._classes.items()]
        if self._page_plain_bytes:
            share = self._page_file_bytes / self._page_plain_bytes
            classes = [_as_in_files(found, share) if found.kind == "page" else found for found in classes]
        return Reduction(
            data_bytes=sum(found.data_bytes for found in classes),
            unique_bytes=sum(found.unique_bytes for found in classes),
            stored_bytes=sum(found.stored_bytes for found in classes),
            sampled_share=2.0**-self._zero_bits,
            coded_share=sum(found.coded_raw for found in self._classes.values()) / max(new_bytes, 1),
            classes=tuple(sorted(classes, key=lambda found: -found.data_bytes)),
        )

    def _count(self, piece: Piece) -> bool:
        """Count one piece; return whether it is to be coded."""
        name, length = (piece.region.kind, piece.region.element), piece.chunk.length
        found = self._classes.get(name)
        if found is None:
            found = self._classes[name] = _Class(len(self._classes))
        found.data_bytes += length
        number = int.from_bytes(piece.chunk.fingerprint, "big")
        if number & ((1 << self._zero_bits) - 1):
            return False
        known = self._seen.get(number)
        if known is not None:
            self._seen[number] = known + (known & _COUNT_MASK < _COUNT_MASK)
            return False
        self._seen[number] = found.number << _CLASS_BITS | length << _COUNT_BITS | 1
        at = found.new_bytes
        every = _every(at, self._coded_whole_bytes)
        found.new_bytes += length
        found.part(every).new_bytes += length
        return at // STRETCH_BYTES % every == 0

    def _code(self, block: RawBlock) -> None:
        found = self._classes[block.kind, block.element]
        coded = encode(block.raw, kind=block.kind, element=block.element, effort=self._effort)
        part = found.part(next(reversed(found.parts)))
        part.coded_raw += len(block.raw)
        part.coded_stored += len(coded.payload)
        found.codecs[coded.codec] += len(block.raw)

    def _halve(self) -> None:
        self._zero_bits += 1
        mask = (1 << self._zero_bits) - 1
        self._seen = {name: value for name, value in self._seen.items() if not name & mask}


def _every(at: int, whole_bytes: int) -> int:
    """Return of how many stretches one is coded, *at* bytes into what is new of a class; its first *whole_bytes* all
    are.
    """
    if at < whole_bytes:
        return 1
    doublings = (at // max(whole_bytes, STRETCH_BYTES)).bit_length() - 1
    return max(1, min((whole_bytes // STRETCH_BYTES << max(doublings, 0)) // A_DOUBLING, LAST_EVERY))


def _reduced(name: tuple[str, str], found: _Class, sampled: int, distinct: int, chunks: int) -> ClassReduction:
    """Return one class; *sampled* and *distinct* bytes are those of its remembered *chunks*, repeats counted or not."""
    unique = round(found.data_bytes * distinct / sampled) if sampled else 0
    count = chunks * unique // distinct if distinct else 0
    coded = unique * found.stored_share()
    return ClassReduction(
        kind=name[0],
        element=name[1],
        data_bytes=found.data_bytes,
        unique_bytes=unique,
        stored_bytes=round(coded) + count * BYTES_PER_CHUNK,
        codecs=tuple(codec for codec, _ in found.codecs.most_common()),
    )


def _as_in_files(pages: ClassReduction, share: float) -> ClassReduction:
    data, unique = round(pages.data_bytes * share), round(pages.unique_bytes * share)
    return replace(pages, data_bytes=data, unique_bytes=unique)
