"""Any range of a stored version, read without bringing the file back: the blocks that hold it, decoded and verified.

Used by tiering.reading. Everything returned is confirmed by digests (P7); a page that was wrapped again is checked for
its length and made of confirmed chunks. Memory is bounded by the cache and the blocks under way.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

from dedup.assemble import chunk_view, open_block, rewrapped
from dedup.errors import DedupError
from dedup.values import MAX_BASE_DEPTH, ChunkPart, Digest, HolePart, Part, Recipe, Span, chunks_of
from tiering.catalog import packs, recipes
from tiering.catalog.values import BlockPlace, Location
from tiering.errors import FrostlineError, IntegrityError, ObjectArchived, UsageError
from tiering.jobs.context import Context
from tiering.jobs.fetch import cold_packs, read_recipes
from tiering.jobs.fetch_plan import GAP_BYTES, RANGE_BYTES, location_of
from tiering.jobs.stored_paths import place_of, version_of_file

CACHE_BYTES = 64 << 20
READERS = 8


class BlockCache:
    """Decoded blocks, those used last kept. Thread-safe; may be shared by many files."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        """Keep up to *limit_bytes* of decoded blocks."""
        self._limit = limit_bytes
        self._held: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, block_no: int) -> bytes | None:
        """Return a decoded block, if it is here."""
        with self._lock:
            raw = self._held.get(block_no)
            if raw is not None:
                self._held.move_to_end(block_no)
            return raw

    def put(self, block_no: int, raw: bytes) -> None:
        """Keep a decoded block, and let go of those that were not used for longest."""
        with self._lock:
            if block_no not in self._held:
                self._held[block_no] = raw
                self._bytes += len(raw)
            while self._bytes > self._limit and self._held:
                _, old = self._held.popitem(last=False)
                self._bytes -= len(old)


@dataclass(slots=True)
class StoredBytes:
    """One stored version, open for reading at any offset. Thread-safe."""

    ctx: Context
    recipe: Recipe
    known: Mapping[Digest, Location]
    cache: BlockCache
    _starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Lay the parts out."""
        at = 0
        for part in self.recipe.parts:
            self._starts.append(at)
            at += part.length

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.recipe.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return *length* bytes from *offset* on, fewer at the end of the file.

        Raises IntegrityError, ObjectArchived, ObjectMissing and other store errors.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        first = bisect_right(self._starts, offset) - 1
        last = bisect_right(self._starts, end - 1) - 1
        wanted = range(first, last + 1)
        self._warm(self.recipe.parts[number] for number in wanted)
        pieces = []
        for number in wanted:
            start = self._starts[number]
            part = self.recipe.parts[number]
            pieces.append(self._cut(part, max(offset - start, 0), min(end - start, part.length)))
        return b"".join(pieces)

    def _cut(self, part: Part, start: int, end: int) -> bytes | memoryview:
        if isinstance(part, HolePart):
            return bytes(end - start)
        if isinstance(part, ChunkPart):
            return self._chunk(part)[start:end]
        plain = b"".join(self._chunk(chunk) for chunk in part.inner)
        try:
            return rewrapped(part, plain)[start:end]
        except DedupError as error:
            raise IntegrityError(f"a page cannot be wrapped again: {error}", hint="frostline scrub") from error

    def _chunk(self, part: ChunkPart) -> memoryview:
        return self._verified(location_of(self.recipe, part, self.known))

    def _verified(self, location: Location, depth: int = 0) -> memoryview:
        try:
            raw = self._block(location.block, depth)
            return chunk_view(raw, location.inner_offset, location.length, location.digest)
        except DedupError as error:
            raise _damaged(location.block, error) from error

    def _block(self, place: BlockPlace, depth: int = 0, payload: bytes | memoryview | None = None) -> bytes:
        """Return a block decoded, with its bases below it. Raises DedupError for one that does not decode."""
        raw = self.cache.get(place.block_no)
        if raw is not None:
            return raw
        base: memoryview | None = None
        if place.base is not None:
            below = self.known.get(place.base)
            if below is None or depth == MAX_BASE_DEPTH:
                raise IntegrityError(
                    f"pack {place.key}, offset {place.offset}: what the block is coded against cannot be had",
                    hint="frostline audit; then docs/runbook.md#missing-chunk",
                )
            base = self._verified(below, depth + 1)
        if payload is None:
            store = self.ctx.tier(place.tier).store
            payload = store.get(place.key, Span(place.offset, place.stored_len))
        raw = open_block(place.codec, payload, place.raw_len, base)
        self.cache.put(place.block_no, raw)
        return raw

    def _warm(self, parts: Iterable[Part]) -> None:
        """Fetch the blocks of *parts* that are not in the cache, neighbours together, several ranges at once."""
        places: dict[int, BlockPlace] = {}
        for part in chunks_of(tuple(parts)):
            place = location_of(self.recipe, part, self.known).block
            if place.base is None and self.cache.get(place.block_no) is None:
                places[place.block_no] = place
        runs = list(_runs(sorted(places.values(), key=lambda place: (place.pack_no, place.offset))))
        if len(places) < 2:
            return
        with ThreadPoolExecutor(min(READERS, len(runs)), thread_name_prefix="frostline-open") as pool:
            for _ in pool.map(self._fetch_run, runs):
                pass

    def _fetch_run(self, run: Sequence[BlockPlace]) -> None:
        first, last = run[0], run[-1]
        span = Span(first.offset, last.offset + last.stored_len - first.offset)
        data = memoryview(self.ctx.tier(first.tier).store.get(first.key, span))
        for place in run:
            start = place.offset - first.offset
            try:
                self._block(place, payload=data[start : start + place.stored_len])
            except DedupError as error:
                raise _damaged(place, error) from error


def open_stored(ctx: Context, path: str, cache: BlockCache, *, at_ns: int | None = None) -> StoredBytes:
    """Return the stored version of *path*, as of *at_ns* if given.

    Raises UsageError if nothing is stored for it; ObjectArchived, with what to run, if a part of it must be restored
    first; what the stores raise.
    """
    place = place_of(ctx, path)
    with ctx.catalog.read() as tx:
        version = version_of_file(tx, place, at_ns)
        row = None if version is None else recipes.get(tx, version.recipe_no)
        if row is None:
            raise UsageError(f"frostline stores nothing for {path}", hint="frostline ls lists what is known")
        known = packs.locate(tx, row.recipe_no)
        rows = packs.by_numbers(tx, {location.block.pack_no for location in known.values()})
    cold = cold_packs(ctx, rows.values())
    if cold:
        raise ObjectArchived(
            f"{path} is archived: {len(cold)} packs must be restored before it can be read",
            now="nothing was asked for, and nothing is paid",
            hint=f"run: frostline recall {path}",
        )
    recipe = read_recipes(ctx, [row])[row.recipe_no]
    if isinstance(recipe, FrostlineError):
        raise recipe
    return StoredBytes(ctx, recipe, known, cache)


def _runs(places: Iterable[BlockPlace]) -> Iterable[list[BlockPlace]]:
    held: list[BlockPlace] = []
    for place in places:
        if held:
            first, last = held[0], held[-1]
            is_far = place.pack_no != last.pack_no or place.offset - (last.offset + last.stored_len) > GAP_BYTES
            if is_far or place.offset + place.stored_len - first.offset > RANGE_BYTES:
                yield held
                held = []
        held.append(place)
    if held:
        yield held


def _damaged(place: BlockPlace, error: DedupError) -> IntegrityError:
    return IntegrityError(
        f"pack {place.key}, offset {place.offset}: {error}",
        now="nothing of it was handed out",
        hint="frostline scrub, then docs/runbook.md#corrupt-pack",
    )
