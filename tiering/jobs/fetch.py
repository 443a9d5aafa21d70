"""Reads recipes and chunks out of packs: located, coalesced into few ranged reads, each chunk verified.

Used by recall, restore and cat. Nothing that a digest does not confirm leaves this module (P7). Memory is bounded by
the ranges under way: WORKERS times one range and its largest chunk.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from dedup.assemble import open_chunk
from dedup.errors import DedupError
from dedup.recipe import decode_recipe
from dedup.values import ChunkPart, Digest, Fingerprint, HolePart, Recipe, Span
from tiering.catalog import packs, recipes
from tiering.catalog.values import Location, PackRow, RecipeRow
from tiering.errors import FrostlineError, IntegrityError, ObjectArchived, ObjectMissing
from tiering.jobs.context import Context, OpenTier
from tiering.stores.archive import ARCHIVE_CLASSES, is_readable

WORKERS = 8  # requests at once: an object store answers one in 20-100 ms; the limit wrapper may allow fewer
RANGE_BYTES = 8 << 20  # one ranged read at most, unless a single chunk is longer
GAP_BYTES = 64 << 10  # unwanted bytes between two chunks that cost less than a request of their own
ZEROS = bytes(1 << 20)
_HOLE_STEP_BYTES = 1 << 30


class Target(Protocol):
    """What takes the bytes of one file; called from several threads, never twice for one offset."""

    def write(self, data: bytes, offset: int) -> None:
        """Take *data*. What it raises is its own affair: it is handed to fail()."""

    def fail(self, error: Exception) -> None:
        """Learn that a chunk of it cannot be had. May be called more than once."""


@dataclass(frozen=True, slots=True)
class Want:
    """One stored chunk and every place that needs it."""

    location: Location
    places: tuple[tuple[Target, int], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """One ranged read and the wanted chunks in it."""

    tier: str
    key: str
    span: Span
    wants: tuple[Want, ...]


def coalesce(wants: Iterable[Want]) -> list[Range]:
    """Return ranged reads that cover *wants*: in pack order, none longer than RANGE_BYTES unless one chunk is.

    Neighbours are read together when no more than GAP_BYTES lie between them, so that at most that much is read for
    nothing per chunk.
    """
    ranges: list[Range] = []
    held: list[Want] = []
    for want in sorted(wants, key=lambda want: (want.location.pack_no, want.location.offset)):
        if held and not _fits(held, want.location):
            ranges.append(_range(held))
            held = []
        held.append(want)
    if held:
        ranges.append(_range(held))
    return ranges


def wants_of(files: Iterable[tuple[Recipe, Mapping[Digest, Location], Target]]) -> list[Want]:
    """Return what has to be fetched for whole files: each distinct chunk once, with all its places in all of them.

    A target whose recipe names a chunk that the catalog has nowhere is failed with an IntegrityError.
    """
    places: dict[tuple[int, int], list[tuple[Target, int]]] = {}
    locations: dict[tuple[int, int], Location] = {}
    for recipe, known, target in files:
        try:
            for part, offset in laid_out(recipe):
                if isinstance(part, HolePart):
                    continue
                location = location_of(recipe, part, known)
                at = (location.pack_no, location.offset)
                locations[at] = location
                places.setdefault(at, []).append((target, offset))
        except IntegrityError as error:
            target.fail(error)
    return [Want(location, tuple(places[at])) for at, location in locations.items()]


def laid_out(recipe: Recipe) -> Iterator[tuple[ChunkPart | HolePart, int]]:
    """Yield the parts of a file with their offsets in it."""
    offset = 0
    for part in recipe.parts:
        yield part, offset
        offset += part.length


def location_of(recipe: Recipe, part: ChunkPart, known: Mapping[Digest, Location]) -> Location:
    """Return where *part* is. Raises IntegrityError if it is nowhere, or if what is there has another length."""
    location = known.get(part.digest)
    if location is None or location.raw_len != part.length:
        raise IntegrityError(
            f"recipe {recipe.recipe_id} needs chunk {part.digest.hex()[:16]}..., which the catalog has nowhere",
            now="nothing was written",
            hint="frostline audit; then docs/runbook.md#missing-chunk",
        )
    return location


def fetch(ctx: Context, wants: Iterable[Want]) -> None:
    """Read, verify and hand out *wants*, in no particular order; return when all of it is done.

    What cannot be had (IntegrityError, ObjectMissing, ObjectArchived) fails the targets that need it, and the others
    go on. Any other store trouble, and ctx.stop, end the whole fetch: StoreUnavailable, StoreDenied, Interrupted.
    """
    ranges = coalesce(wants)
    workers = max(1, min(WORKERS, len(ranges)))
    with ThreadPoolExecutor(workers, thread_name_prefix="frostline-fetch") as pool:
        under_way: deque[Future[None]] = deque()
        try:
            for item in ranges:
                if ctx.stop.is_set():
                    raise Interrupted("asked to stop while fetching", hint="run it again to go on")
                under_way.append(pool.submit(_fetch_range, ctx, item))
                if len(under_way) >= WORKERS:
                    under_way.popleft().result()
            while under_way:
                under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


class Interrupted(FrostlineError):
    """The job was asked to stop; nothing is half done."""

    exit_code = 130


def read_recipes(ctx: Context, rows: Sequence[RecipeRow]) -> dict[int, Recipe | FrostlineError]:
    """Return recipe_no -> recipe, verified by its digest; for one that cannot be had, the error instead."""
    with ctx.catalog.read() as tx:
        pack_rows = packs.by_numbers(tx, {row.pack_no for row in rows})
        codecs = recipes.codec_names(tx)
    collected: dict[int, _Collected] = {}
    wants = []
    for row in rows:
        collected[row.recipe_no] = target = _Collected()
        pack = pack_rows[row.pack_no]
        location = Location(
            pack_no=row.pack_no,
            key=pack.key,
            tier=pack.tier,
            offset=row.offset,
            stored_len=row.stored_len,
            raw_len=row.raw_len,
            codec=codecs[row.codec_no],
            fingerprint=_NO_FINGERPRINT,
            digest=Digest(row.recipe_digest),
        )
        wants.append(Want(location, ((target, 0),)))
    fetch(ctx, wants)
    return {row.recipe_no: _decoded(row, collected[row.recipe_no]) for row in rows}


def cold_packs(ctx: Context, rows: Iterable[PackRow]) -> list[PackRow]:
    """Return those of the packs that cannot be read before the provider has restored them: one HEAD for each in an
    archive class.

    Raises what head() raises.
    """
    archived = [row for row in rows if _may_be_cold(ctx.tier(row.tier), row)]
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="frostline-head") as pool:
        readable = pool.map(lambda row: _is_readable_now(ctx.tier(row.tier), row.key), archived)
        return [row for row, is_ready in zip(archived, readable, strict=True) if not is_ready]


def read_in_order(
    ctx: Context, recipe: Recipe, known: Mapping[Digest, Location], write: Callable[[bytes], object]
) -> None:
    """Call *write* with the bytes of a whole file in order, a few ranges read ahead.

    Raises IntegrityError, ObjectMissing, ObjectArchived and other store errors; what was written until then is right.
    """
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="frostline-cat") as pool:
        under_way: deque[Future[list[bytes]]] = deque()
        try:
            for run in _runs(recipe, known):
                under_way.append(pool.submit(_read_run, ctx, run))
                if len(under_way) > WORKERS // 2:
                    _write_all(under_way.popleft().result(), write)
            while under_way:
                _write_all(under_way.popleft().result(), write)
        finally:
            for future in under_way:
                future.cancel()


_NO_FINGERPRINT = Fingerprint(bytes(16))  # a recipe is found by its id, not by one


class _Collected:
    """A target that keeps what it is given: for things small enough."""

    def __init__(self) -> None:
        self.data = b""
        self.error: Exception | None = None

    def write(self, data: bytes, offset: int) -> None:
        self.data = data

    def fail(self, error: Exception) -> None:
        self.error = error


def _decoded(row: RecipeRow, found: _Collected) -> Recipe | FrostlineError:
    if isinstance(found.error, FrostlineError):
        return found.error
    try:
        recipe = decode_recipe(found.data)
    except DedupError as error:
        return IntegrityError(f"recipe {row.recipe_id} does not decode: {error}", hint="frostline scrub")
    if recipe.recipe_id != row.recipe_id or recipe.digest != row.digest or recipe.size != row.size:
        return IntegrityError(f"recipe {row.recipe_id} is not the one that the catalog names", hint="frostline audit")
    return recipe


def _fits(held: list[Want], location: Location) -> bool:
    first, last = held[0].location, held[-1].location
    if location.pack_no != first.pack_no or location.offset - (last.offset + last.stored_len) > GAP_BYTES:
        return False
    return location.offset + location.stored_len - first.offset <= RANGE_BYTES


def _range(held: Sequence[Want]) -> Range:
    first, last = held[0].location, held[-1].location
    span = Span(first.offset, last.offset + last.stored_len - first.offset)
    return Range(first.tier, first.key, span, tuple(held))


def _fetch_range(ctx: Context, item: Range) -> None:
    try:
        data = memoryview(ctx.tier(item.tier).store.get(item.key, item.span))
    except (ObjectMissing, ObjectArchived) as error:
        for want in item.wants:
            _fail(want, error)
        return
    for want in item.wants:
        start = want.location.offset - item.span.start
        try:
            raw = _opened(want.location, data[start : start + want.location.stored_len])
        except IntegrityError as error:
            _fail(want, error)
            continue
        for target, offset in want.places:
            try:
                target.write(raw, offset)
            except OSError as error:
                target.fail(error)


def _opened(location: Location, payload: memoryview) -> bytes:
    try:
        return open_chunk(location.codec, payload, location.raw_len, location.digest)
    except DedupError as error:
        raise IntegrityError(
            f"pack {location.key}, offset {location.offset}: {error}",
            now="nothing of it was used; the placeholder or the file at its path is untouched",
            hint="frostline scrub, then docs/runbook.md#corrupt-pack",
        ) from error


def _fail(want: Want, error: Exception) -> None:
    for target, _ in want.places:
        target.fail(error)


def _may_be_cold(tier: OpenTier, row: PackRow) -> bool:
    return tier.capabilities.archives and row.storage_class in ARCHIVE_CLASSES


def _is_readable_now(tier: OpenTier, key: str) -> bool:
    return is_readable(tier.store.head(key), tier.capabilities)


@dataclass(frozen=True, slots=True)
class _Run:
    """Consecutive parts of a file that one read gives, or a hole."""

    locations: tuple[Location, ...]
    hole_bytes: int = 0


def _runs(recipe: Recipe, known: Mapping[Digest, Location]) -> Iterator[_Run]:
    held: list[Location] = []
    for part in recipe.parts:
        if isinstance(part, HolePart):
            if held:
                yield _Run(tuple(held))
                held = []
            for start in range(0, part.length, _HOLE_STEP_BYTES):
                yield _Run((), min(_HOLE_STEP_BYTES, part.length - start))
            continue
        location = location_of(recipe, part, known)
        if held and not _follows(held, location):
            yield _Run(tuple(held))
            held = []
        held.append(location)
    if held:
        yield _Run(tuple(held))


def _follows(held: list[Location], location: Location) -> bool:
    last = held[-1]
    gap = location.offset - (last.offset + last.stored_len)
    raw_bytes = sum(item.raw_len for item in held) + location.raw_len
    return location.pack_no == last.pack_no and 0 <= gap <= GAP_BYTES and raw_bytes <= RANGE_BYTES


def _read_run(ctx: Context, run: _Run) -> list[bytes]:
    if not run.locations:
        whole, rest = divmod(run.hole_bytes, len(ZEROS))
        return [ZEROS] * whole + ([ZEROS[:rest]] if rest else [])  # one block, many references
    first, last = run.locations[0], run.locations[-1]
    span = Span(first.offset, last.offset + last.stored_len - first.offset)
    data = memoryview(ctx.tier(first.tier).store.get(first.key, span))
    found = []
    for location in run.locations:
        start = location.offset - span.start
        found.append(_opened(location, data[start : start + location.stored_len]))
    return found


def _write_all(pieces: Sequence[bytes], write: Callable[[bytes], object]) -> None:
    for piece in pieces:
        write(piece)
