"""Gathers new chunks into blocks, each of one class, and codes them.

Used by migrate, one Gatherer per reading thread, so that neighbours in a folder are neighbours in a block. Chunks of
different kinds are never mixed: a block has one codec. Which chunks are new is asked once for all pieces of a stretch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dedup.codecs import Coded, encode, encode_against
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer
from dedup.ingest import Pieces
from dedup.references import SMALLEST_BYTES, Candidate, FileReferences
from dedup.values import ChunkPart, Region

# 1 MiB: what zstd gains by a longer context is nearly gained by then, and reading one small file decodes no more.
BLOCK_BYTES = 1 << 20
# Text and unwrapped pages gain another 3-8 % (smalljson at zstd 9: .264 at 1 MiB, .252 at 4 MiB), and are read less
# often one small file at a time.
_LONGER = {"text": 4 << 20, "page": 4 << 20}
# From half a block on a chunk gains nothing from neighbours, and is read alone without them.
SOLO_BYTES = 512 << 10


_Sort = tuple[str, str, bool]
"""Kind, element, and whether its tensors may once be coded against others: what is gathered together."""


class Newcomers(Protocol):
    """Knows what is stored, or being stored. Thread-safe."""

    def claim(self, chunks: Sequence[ChunkPart]) -> Sequence[int]:
        """Return the numbers, ascending, of the chunks that the caller is to store: each is known nowhere and nobody
        was told to store it before.

        A chunk counts as known only if its digest is, whatever its fingerprint says (P2).
        """

    def claim_again(self, chunk: ChunkPart) -> bool:
        """Return whether the caller is to store a chunk that is known, in another form: nobody else does so now."""


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A full block, not coded yet."""

    raw: bytes
    chunks: tuple[ChunkPart, ...]
    kind: str
    element: str
    origin: object
    """Of its first piece."""
    base: Candidate | None = None
    """What its one chunk may be coded against."""
    is_stored: bool = False
    """Its one chunk is stored alone already: only coding it against its base is worth anything."""


@dataclass(frozen=True, slots=True)
class CodedBlock:
    """What becomes of a block."""

    coded: Coded
    base: Candidate | None
    """What it is coded against, where that paid."""


@dataclass(slots=True)
class _Open:
    """A block that is being filled."""

    origin: object
    chunks: list[ChunkPart] = field(default_factory=list)
    data: list[Buffer] = field(default_factory=list)
    owned: int = 0
    """How many of *data*, the first, are copies: they stay when a stretch has been taken."""
    length: int = 0

    def own(self) -> None:
        """Copy what was taken since the last time: each byte once, however many stretches fill the block."""
        if len(self.data) > self.owned:
            self.data[self.owned :] = [b"".join(self.data[self.owned :])]
            self.owned += 1


class Gatherer:
    """Fills blocks; one thread at a time. Ends with flush()."""

    def __init__(self, newcomers: Newcomers, full: Callable[[RawBlock], None]) -> None:
        """Ask *newcomers* what to keep; hand full blocks to *full*, which may code them at once and may raise."""
        self._newcomers = newcomers
        self._full = full
        self._open: dict[_Sort, _Open] = {}

    def take(self, pieces: Pieces, references: FileReferences | None = None, *, again: bool = False) -> None:
        """Keep those of *pieces* that are new; on return nothing refers to their data any more.

        *references*, those of the file that all pieces come from, says what each may be coded against. With *again* the
        file is stored already, and what stands alone in the store is coded against its reference now.
        """
        new = self._newcomers.claim(pieces.chunks)
        if references is not None:
            self._take_referring(pieces, frozenset(new), references, again=again)
        else:
            chunks, data, regions, origins = pieces.chunks, pieces.data, pieces.regions, pieces.origins
            for number in new:
                self._add(chunks[number], data[number], regions[number], origins[number])
        for block in self._open.values():
            block.own()

    def _take_referring(self, pieces: Pieces, new: frozenset[int], references: FileReferences, *, again: bool) -> None:
        for number, piece in enumerate(pieces):
            wanted, base = number in new, None
            if wanted:
                base = references.of(piece)
            elif again:
                base = references.again(piece)
            is_again = base is not None and not wanted and self._newcomers.claim_again(piece.chunk)
            references.seen(piece, is_new=wanted or is_again, base=base)
            if is_again:
                kind = (piece.region.kind, piece.region.element)
                self._full(RawBlock(bytes(piece.data), (piece.chunk,), *kind, piece.origin, base, is_stored=True))
            if wanted:
                self._add(piece.chunk, piece.data, piece.region, piece.origin, base)

    def flush(self) -> None:
        """Hand over what waits."""
        for sort in list(self._open):
            self._close(sort)

    def _add(
        self, chunk: ChunkPart, data: Buffer, region: Region, origin: object, base: Candidate | None = None
    ) -> None:
        length = chunk.length
        if length >= SOLO_BYTES or base is not None:
            self._full(RawBlock(bytes(data), (chunk,), region.kind, region.element, origin, base))
            return
        # A tensor that may once be coded against another leaves its block for good: it must not share one with those
        # that are too small for it, which would keep the block.
        sort = (region.kind, region.element, bool(region.name) and length >= SMALLEST_BYTES)
        block = self._open.get(sort)
        if block is None:
            block = self._open[sort] = _Open(origin)
        block.chunks.append(chunk)
        block.data.append(data)
        block.length += length
        if block.length >= _LONGER.get(sort[0], BLOCK_BYTES):
            self._close(sort)

    def _close(self, sort: _Sort) -> None:
        block = self._open.pop(sort)
        kind, element, _ = sort
        self._full(RawBlock(b"".join(block.data), tuple(block.chunks), kind, element, block.origin))


def code(block: RawBlock, *, effort: str) -> CodedBlock | None:
    """Return *block* coded, against its base where that pays, proven by decoding; None where only that was wanted.

    Raises CorruptChunk naming its first source.
    """
    try:
        base = block.base
        reference = base.read() if base is not None else None
        if base is not None and reference is not None:
            delta = encode_against(
                block.raw, reference, element=block.element, base_element=base.element, effort=effort
            )
            if delta is not None:
                return CodedBlock(delta, base)
        if block.is_stored:
            return None
        return CodedBlock(encode(block.raw, kind=block.kind, element=block.element, effort=effort), None)
    except CorruptChunk as error:
        raise CorruptChunk(f"a block that begins with bytes of {block.origin}: {error}") from error
