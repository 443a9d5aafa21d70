"""Packs under construction on the spool, one for each tier, filled with blocks as they are and with blocks made anew of
what is needed of half-dead ones.

Used by tiering.jobs.rewriting. Sends nothing and writes no row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dedup.codecs import GIVEN, Coded, encode, level_given
from dedup.errors import UnknownName
from dedup.pack import PackSummary
from dedup.values import ChunkPart, Digest
from tiering.catalog.values import BlockPlace, Location
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.packing import OpenPack, Spool, spool_folder

RENEWED_GAIN = 0.95
"""Blocks that do not become smaller than this stay as they are: their chunks keep their numbers."""
RENEWED_BYTES = 1 << 20
"""Raw bytes of a new block, as dedup.blocks gathers them."""


@dataclass(frozen=True, slots=True)
class Item:
    """A block on its way."""

    block_no: int
    place: BlockPlace
    payload: bytes
    chunks: tuple[Location, ...]
    tier: str
    """Where it goes as a whole."""


@dataclass(frozen=True, slots=True)
class Needed:
    """A chunk that something refers to."""

    at: Location
    chunk_no: int
    raw: bytes


@dataclass(slots=True)
class Sealed:
    """A finished pack on the spool."""

    tier: OpenTier
    spool: Spool
    summary: PackSummary | None = None
    moved: list[tuple[int, int, int]] = field(default_factory=list)
    """(block_no, source, offset)."""
    renewed: list[tuple[int, Coded, int, tuple[int, ...]]] = field(default_factory=list)
    """(offset, coded, raw length, chunk numbers)."""


class Sheaf:
    """Packs under construction, one open for each tier. close() must be called."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._open: dict[str, tuple[OpenPack, Sealed]] = {}
        self.sealed: list[Sealed] = []

    def move(self, item: Item) -> None:
        """Add a block as it is."""
        parts = [ChunkPart(at.fingerprint, at.digest, at.length) for at in item.chunks]
        pack, made = self._of(item.tier)
        place = item.place
        block = pack.writer.add_block(place.codec, item.payload, place.raw_len, parts, place.base)
        made.moved.append((item.block_no, place.pack_no, block.offset))
        self._seal_if_full(item.tier)

    def add(self, tier: str, coded: Coded, chunks: Sequence[Needed]) -> None:
        """Add a new block of *chunks*."""
        parts = [ChunkPart(item.at.fingerprint, item.at.digest, item.at.length) for item in chunks]
        raw_len = sum(part.length for part in parts)
        pack, made = self._of(tier)
        block = pack.writer.add_block(coded.codec, coded.payload, raw_len, parts)
        made.renewed.append((block.offset, coded, raw_len, tuple(item.chunk_no for item in chunks)))
        self._seal_if_full(tier)

    def finish(self) -> list[Sealed]:
        """Finish all packs and return them."""
        for tier in list(self._open):
            self._seal(tier)
        return self.sealed

    def close(self) -> None:
        """Free the spool."""
        for pack, _ in self._open.values():
            pack.spool.close()
        for made in self.sealed:
            made.spool.close()

    def _of(self, tier: str) -> tuple[OpenPack, Sealed]:
        if tier not in self._open:
            opened = self._ctx.tier(tier)
            pack = OpenPack.begin(spool_folder(self._ctx), "data", opened.store.url)
            self._open[tier] = (pack, Sealed(opened, pack.spool))
        return self._open[tier]

    def _seal_if_full(self, tier: str) -> None:
        if self._open[tier][0].writer.size_bytes >= self._ctx.config.chunking.pack_bytes:
            self._seal(tier)

    def _seal(self, tier: str) -> None:
        pack, made = self._open.pop(tier)
        made.summary = pack.writer.finish()
        self.sealed.append(made)


@dataclass(slots=True)
class _Waiting:
    """Needed chunks on their way to one tier, out of blocks of one codec."""

    whole: list[Item] = field(default_factory=list)
    """Blocks of which nothing goes elsewhere: they may as well stay as they are."""
    stored_len: int = 0
    """Of those."""
    is_torn: bool = False
    """Whether chunks are among them of blocks that go to several tiers."""
    chunks: list[Needed] = field(default_factory=list)
    raw_len: int = 0


class Renewing:
    """Gathers what is needed of half-dead and of mixed blocks into blocks of its own. Ends with flush()."""

    def __init__(self, ctx: Context, sheaf: Sheaf) -> None:
        """Put blocks into *sheaf*."""
        self._effort = ctx.config.chunking.effort
        self._sheaf = sheaf
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._names: set[Digest] = set()

    def add(self, item: Item, by_tier: Mapping[str, Sequence[Needed]]) -> None:
        """Take the needed chunks of a block by where they go; with a content that came before it stays whole."""
        digests = [needed.at.digest for chunks in by_tier.values() for needed in chunks]
        if len(set(digests)) < len(digests) or not self._names.isdisjoint(digests):
            self._sheaf.move(item)
            return
        self._names.update(digests)
        for tier, chunks in by_tier.items():
            key = tier, item.place.codec
            held = self._waiting.setdefault(key, _Waiting())
            if len(by_tier) > 1:
                held.is_torn = True
            else:
                held.whole.append(item)
                held.stored_len += item.place.stored_len
            held.chunks += chunks
            held.raw_len += sum(needed.at.length for needed in chunks)
            if held.raw_len >= RENEWED_BYTES:
                self._close(key)

    def flush(self) -> None:
        """Close what waits."""
        for key in list(self._waiting):
            self._close(key)

    def _close(self, key: tuple[str, str]) -> None:
        held = self._waiting.pop(key)
        tier, codec = key
        coded = _coded_like(codec, b"".join(needed.raw for needed in held.chunks), self._effort)
        if held.is_torn or len(coded.payload) < RENEWED_GAIN * held.stored_len:
            self._sheaf.add(tier, coded, held.chunks)
            return
        for item in held.whole:
            self._sheaf.move(item)


def _coded_like(codec: str, raw: bytes, effort: str) -> Coded:
    """Return *raw* in the codec that these bytes had, or near it."""
    try:
        level_given(codec)
    except UnknownName:
        element = codec.partition(":")[2]
        return encode(raw, kind="tensor" if element else "generic", element=element, effort=effort)
    return encode(raw, kind=GIVEN, element=codec, effort=effort)
