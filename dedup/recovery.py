"""Finds out what a pack holds when its trailer is damaged: scan for block headers, decode, digest again.

Used by rebuild and scrub. A block coded against a base waits until that base is known, from this pack or from another.
Memory is bounded by SCAN_WINDOW and a chain of blocks; nothing here raises for damage.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from dedup.assemble import StoredChunk, open_block, open_by_digest
from dedup.errors import DedupError, FormatError
from dedup.fingerprint import digest, fingerprint
from dedup.layout import PackKind
from dedup.pack import ReadSpan, scan_pack
from dedup.recipe import key_of_encoded
from dedup.values import Block, ChunkPart, Digest, Fingerprint, ScannedBlock, Span

BaseOf = Callable[[Digest], bytes | None]
"""Returns the raw bytes of a chunk of another pack, or None where it is not known (yet)."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a damaged pack was found to hold."""

    blocks: tuple[Block, ...]
    """Decoded, named by the digests of what came out, in pack order."""
    waiting: tuple[ScannedBlock, ...]
    """Those whose base is not known: recover again when more packs are."""


def recover(read: ReadSpan, size_bytes: int, *, kind: PackKind, base_of: BaseOf | None = None) -> Recovered:
    """Return what can be recovered of a pack of *kind*; blocks that do not decode are left out.

    Order: pack order. *read* and *base_of* may raise what they like.
    """
    run = _Run(read, kind, base_of or (lambda _: None))
    waiting = [block for block in scan_pack(read, size_bytes) if not run.settled(block)]
    before = len(waiting) + 1
    while len(waiting) < before:  # a base may stand behind its dependant
        before = len(waiting)
        waiting = [block for block in waiting if not run.settled(block)]
    return Recovered(tuple(sorted(run.blocks, key=lambda block: block.offset)), tuple(waiting))


@dataclass(slots=True)
class _Run:
    read: ReadSpan
    kind: PackKind
    base_of: BaseOf
    blocks: list[Block] = field(default_factory=list)
    places: dict[Digest, tuple[Block, int, int]] = field(default_factory=dict)
    """Digest of a chunk of this pack -> its block, inner offset, length."""

    def settled(self, scanned: ScannedBlock) -> bool:
        """Decode one block, or find that it does not; False while its base is not known."""
        try:
            base = None
            if scanned.base is not None:
                base = self._base(scanned.base)
                if base is None:
                    return False
            payload = self.read(Span(scanned.offset, scanned.stored_len))
            self._take(scanned, open_block(scanned.codec, payload, scanned.raw_len, base))
        except DedupError:
            pass  # not sound: left out, and whoever needs a chunk of it learns that it is nowhere
        return True

    def _base(self, name: Digest) -> bytes | None:
        if name in self.places:
            return open_by_digest(name, self._stored)
        return self.base_of(name)

    def _stored(self, name: Digest) -> StoredChunk:
        if name not in self.places:
            raw = self.base_of(name)
            if raw is None:
                raise FormatError(f"chunk {name.hex()[:16]}... is not known")
            return StoredChunk("raw", raw, len(raw), 0, len(raw), None)
        block, inner_offset, length = self.places[name]
        payload = self.read(Span(block.offset, block.stored_len))
        return StoredChunk(block.codec, payload, block.raw_len, inner_offset, length, block.base)

    def _take(self, scanned: ScannedBlock, raw: bytes) -> None:
        chunks, start = [], 0
        whole = digest(raw)
        for length in scanned.lengths:
            piece = memoryview(raw)[start : start + length]
            if self.kind == "recipes":
                chunks.append(ChunkPart(Fingerprint(key_of_encoded(piece)), whole, length))
            else:
                chunks.append(ChunkPart(fingerprint(piece), digest(piece), length))
            start += length
        block = Block(
            scanned.offset,
            scanned.stored_len,
            scanned.raw_len,
            scanned.codec,
            tuple(chunks),
            scanned.base,
            scanned.first,
        )
        self.blocks.append(block)
        if self.kind == "data":
            for placed in block.placed():
                self.places.setdefault(placed.chunk.digest, (block, placed.inner_offset, placed.chunk.length))
