"""What has to be read for a set of files, in which order, and where every byte goes: each block once, however many
chunks, files and other blocks need it.

Used by tiering.jobs.fetch. Blocks that stand close together are read together; a block that others are coded against is
followed by those at once, so that a base is decoded once and never kept.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from dedup.assemble import rewrapped
from dedup.errors import DedupError
from dedup.values import MAX_BASE_DEPTH, ChunkPart, Digest, HolePart, Recipe, Span, WrappedPart
from tiering.catalog.values import BlockPlace, Location
from tiering.errors import IntegrityError

RANGE_BYTES = 8 << 20  # one ranged read at most, unless a single block is longer
RANGE_RAW_BYTES = 24 << 20  # and what it decodes to: a worker may hold all of it
GAP_BYTES = 64 << 10  # unwanted bytes between two blocks that cost less than a request of their own
WASTE_BYTES = 256 << 10  # unwanted bytes of one range; more only if no more than the wanted ones before them

Buffer = bytes | memoryview
Piece = tuple[int, Buffer]
"""(offset in the file, verified bytes)."""


class Target(Protocol):
    """What takes the bytes of one file; called from several threads, never twice for one offset."""

    @property
    def whole_bytes(self) -> int:
        """Size of the file if take_whole() may be called, else -1."""

    def write(self, data: Buffer, offset: int) -> None:
        """Take *data*. What it raises is its own affair: it is handed to fail()."""

    def take_whole(self, pieces: list[Piece]) -> None:
        """Take all of the file but its holes, once, ascending, instead of any write()."""

    def fail(self, error: Exception) -> None:
        """Learn that a chunk of it cannot be had. May be called more than once."""


@dataclass(slots=True, eq=False)
class Outlet:
    """A file on its way: pieces go to its target one by one, or all at once where one task brings them all."""

    target: Target
    waiting: int = 0
    """Pieces still to come, while gathered."""
    pieces: list[Piece] | None = None
    """None: handed on at once."""

    def take(self, data: Buffer, offset: int) -> None:
        """Hand on one piece, or the last with all before it."""
        try:
            if self.pieces is None:
                self.target.write(data, offset)
                return
            self.pieces.append((offset, data))
            self.waiting -= 1
            if self.waiting == 0:
                whole, self.pieces = sorted(self.pieces, key=_offset), []
                self.target.take_whole(whole)
        except OSError as error:
            self.target.fail(error)

    def fail(self, error: Exception) -> None:
        """Pass on that a piece cannot be had."""
        self.pieces = [] if self.pieces is not None else None
        self.target.fail(error)


@dataclass(slots=True, eq=False)
class Page:
    """A wrapped part on its way: its plain form is gathered, then wrapped again and handed on."""

    part: WrappedPart
    offset: int
    """In the file."""
    outlet: Outlet
    is_apart: bool = False
    """Its chunks come in several tasks: it has one of its own, and what these bring is let go."""
    pieces: list[Piece] = field(default_factory=list)

    def take(self, data: Buffer, offset: int) -> None:
        """Keep a chunk of the plain form; *offset* is in that."""
        if self.is_apart:
            return
        self.pieces.append((offset, data))
        if len(self.pieces) == len(self.part.inner):
            self.wrap([piece for _, piece in sorted(self.pieces, key=_offset)])
            self.pieces = []

    def wrap(self, plain: list[Buffer]) -> None:
        """Hand the file's bytes on, made of all chunks of the plain form in order."""
        try:
            data = rewrapped(self.part, plain[0] if len(plain) == 1 else b"".join(plain))
        except DedupError as error:
            self.outlet.fail(IntegrityError(f"a page cannot be wrapped again: {error}", hint="frostline scrub"))
            return
        self.outlet.take(data, self.offset)

    def fail(self, error: Exception) -> None:
        """Pass on that a chunk cannot be had."""
        if not self.is_apart:
            self.outlet.fail(error)


Sink = Outlet | Page


def _offset(piece: Piece) -> int:
    return piece[0]


@dataclass(slots=True, eq=False)
class BlockWork:
    """One block, what is wanted of it, and which blocks are coded against its chunks."""

    place: BlockPlace
    wants: dict[int, tuple[Location, list[tuple[Sink, int]]]] = field(default_factory=dict)
    """By inner offset: the chunk, and every place that needs it."""
    above: list[tuple[Location, "BlockWork"]] = field(default_factory=list)
    """(chunk of this block, the block coded against it)."""

    def want(self, location: Location, sink: Sink, offset: int) -> None:
        """Note one place that needs a chunk."""
        self.wants.setdefault(location.inner_offset, (location, []))[1].append((sink, offset))

    def everything(self) -> Iterator["BlockWork"]:
        """Yield the block and all that are coded against it, at however many removes."""
        yield self
        for _, other in self.above:
            yield from other.everything()


@dataclass(frozen=True, slots=True)
class Task:
    """One ranged read, and the blocks in it; or pages that have to be gathered from several."""

    span: Span
    works: tuple[BlockWork, ...]
    """By offset; of one pack."""

    @property
    def place(self) -> BlockPlace:
        """Of the first block: which pack is read."""
        return self.works[0].place


@dataclass(frozen=True, slots=True)
class Plan:
    """All that has to be done for a set of files."""

    tasks: tuple[Task, ...]
    apart: tuple[tuple[Page, Mapping[Digest, Location]], ...]
    """Pages whose chunks are read one by one, and where those are."""


def plan(files: Iterable[tuple[Recipe, Mapping[Digest, Location], Target]]) -> Plan:
    """Return what to do for whole files. A target whose recipe names a chunk that the catalog has nowhere is failed
    with an IntegrityError.
    """
    works: dict[int, BlockWork] = {}
    outlets: list[tuple[Outlet, Recipe, set[int]]] = []
    pages: list[tuple[Page, set[int], Mapping[Digest, Location]]] = []
    for recipe, known, target in files:
        outlet, blocks = Outlet(target), set[int]()
        try:
            for sink, location, offset in _sinks(recipe, known, outlet):
                work = _work(works, location.block, known)
                work.want(location, sink, offset)
                blocks.add(location.block.block_no)
                if isinstance(sink, Page):
                    if not pages or pages[-1][0] is not sink:
                        pages.append((sink, set(), known))
                    pages[-1][1].add(location.block.block_no)
        except IntegrityError as error:
            target.fail(error)
        outlets.append((outlet, recipe, blocks))
    tasks = _tasks(works.values())
    task_of = {
        work.place.block_no: number
        for number, task in enumerate(tasks)
        for root in task.works
        for work in root.everything()
    }
    for page, blocks, _ in pages:
        page.is_apart = len({task_of[block] for block in blocks}) > 1
    torn = {id(page.outlet) for page, _, _ in pages if page.is_apart}
    for outlet, recipe, blocks in outlets:
        is_small = blocks and outlet.target.whole_bytes >= 0 and id(outlet) not in torn
        if is_small and len({task_of[block] for block in blocks}) == 1:
            outlet.pieces = []
            outlet.waiting = sum(not isinstance(part, HolePart) for part in recipe.parts)
    return Plan(tuple(tasks), tuple((page, known) for page, _, known in pages if page.is_apart))


def laid_out(recipe: Recipe) -> Iterator[tuple[ChunkPart | HolePart | WrappedPart, int]]:
    """Yield the parts of a file with their offsets in it."""
    offset = 0
    for part in recipe.parts:
        yield part, offset
        offset += part.length


def location_of(recipe: Recipe, part: ChunkPart, known: Mapping[Digest, Location]) -> Location:
    """Return where *part* is. Raises IntegrityError if it is nowhere, or if what is there has another length."""
    location = known.get(part.digest)
    if location is None or location.length != part.length:
        raise IntegrityError(
            f"recipe {recipe.recipe_id} needs chunk {part.digest.hex()[:16]}..., which the catalog has nowhere",
            now="nothing was written",
            hint="frostline audit; then docs/runbook.md#missing-chunk",
        )
    return location


def _sinks(recipe: Recipe, known: Mapping[Digest, Location], outlet: Outlet) -> Iterator[tuple[Sink, Location, int]]:
    """Yield every chunk that the file needs: who takes it, where it is, and at which offset it is taken."""
    for part, offset in laid_out(recipe):
        if isinstance(part, ChunkPart):
            yield outlet, location_of(recipe, part, known), offset
        elif isinstance(part, WrappedPart):
            page, inner = Page(part, offset, outlet), 0
            for chunk in part.inner:
                yield page, location_of(recipe, chunk, known), inner
                inner += chunk.length


def _work(works: dict[int, BlockWork], place: BlockPlace, known: Mapping[Digest, Location]) -> BlockWork:
    """Return the work of a block, made with those of the blocks that it is coded against where it is new."""
    work = works.get(place.block_no)
    if work is not None:
        return work
    chain: list[Location] = []
    base = place.base
    while base is not None:
        location = known.get(base)
        if location is None or len(chain) == MAX_BASE_DEPTH:
            raise IntegrityError(
                f"pack {place.key}, offset {place.offset}: what the block is coded against is not in the catalog",
                now="nothing of it was used",
                hint="frostline audit; then docs/runbook.md#missing-chunk",
            )
        chain.append(location)
        base = location.block.base
    work = current = works[place.block_no] = BlockWork(place)
    for location in chain:
        below = works.get(location.block.block_no)
        if below is not None:
            below.above.append((location, current))
            break
        below = works[location.block.block_no] = BlockWork(location.block)
        below.above.append((location, current))
        current = below
    return work


def _tasks(works: Iterable[BlockWork]) -> list[Task]:
    """Return the roots among *works* as ranged reads, in pack order; one that others are coded against is alone."""
    tasks: list[Task] = []
    held: list[BlockWork] = []
    roots = [work for work in works if work.place.base is None]
    for work in sorted(roots, key=lambda work: (work.place.pack_no, work.place.offset)):
        if work.above:
            tasks.append(_task([work]))
            continue
        if held and not _fits(held, work.place):
            tasks.append(_task(held))
            held = []
        held.append(work)
    if held:
        tasks.append(_task(held))
    return tasks


def _fits(held: list[BlockWork], place: BlockPlace) -> bool:
    first, last = held[0].place, held[-1].place
    if place.pack_no != first.pack_no or place.offset - (last.offset + last.stored_len) > GAP_BYTES:
        return False
    wanted = sum(work.place.stored_len for work in held)
    if place.offset - first.offset - wanted > max(WASTE_BYTES, wanted):
        return False
    if sum(work.place.raw_len for work in held) + place.raw_len > RANGE_RAW_BYTES:
        return False
    return place.offset + place.stored_len - first.offset <= RANGE_BYTES


def _task(held: list[BlockWork]) -> Task:
    first, last = held[0].place, held[-1].place
    return Task(Span(first.offset, last.offset + last.stored_len - first.offset), tuple(held))
