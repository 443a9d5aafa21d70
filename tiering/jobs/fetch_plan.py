"""What has to be read for a set of files, in which order, and where every byte goes: each block once, however many
chunks, files and other blocks need it.

Used by tiering.jobs.fetch. Blocks that stand close together are read together; a block that others are coded against is
followed by those at once, so that a base is decoded once and never kept. What is kept of a small file is a few hundred
bytes, so that many thousands can be planned together: the more, the fewer blocks are read twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from dedup.values import MAX_BASE_DEPTH, ChunkPart, Digest, HolePart, Recipe, Span, WrappedPart
from tiering.catalog.values import BlockPlace, Location
from tiering.errors import IntegrityError
from tiering.jobs.fetch_outlets import Outlet, Page, Sink
from tiering.jobs.fetch_sinks import Target

RANGE_BYTES = 8 << 20  # one ranged read at most, unless a single block is longer
# The same where a request costs next to nothing: what is read and decoded is still in the cores' caches when it is
# written, and files whose blocks stand side by side are complete the sooner.
SHORT_RANGE_BYTES = 4 << 20
NEAR_TASKS = 8  # a small file whose blocks are read within so many tasks is handed over whole if memory allows it
RANGE_RAW_BYTES = 24 << 20  # and what it decodes to: a worker may hold all of it
GAP_BYTES = 64 << 10  # unwanted bytes between two blocks that cost less than a request of their own
FILE_RUNS, CHUNKS_A_RUN = 2, 3  # in memory: a file takes as much as two runs, a chunk a third of one, 200 bytes
WASTE_BYTES = 256 << 10  # unwanted bytes of one range; more only if no more than the wanted ones before them


class Want(NamedTuple):
    """A run of chunks of a block that a file needs."""

    start: int
    """In the decoded block."""
    length: int
    sink: Sink
    offset: int
    """In the file, or in the plain form of a page."""
    parts: tuple[ChunkPart, ...]
    """The chunks; they follow one another in the block."""


class Single(NamedTuple):
    """A small file that is one run of chunks, as most are."""

    start: int
    """In the decoded block."""
    length: int
    """Of the run, and of the file."""
    target: Target
    digest: Digest
    """Of the whole file."""
    parts: tuple[ChunkPart, ...]
    """The chunks; they follow one another in the block."""


@dataclass(slots=True, eq=False)
class BlockWork:
    """One block, what is wanted of it, and which blocks are coded against its chunks."""

    place: BlockPlace
    wants: list[Want] = field(default_factory=list)
    singles: list[Single] = field(default_factory=list)
    above: list[tuple[Location, "BlockWork"]] = field(default_factory=list)
    """(chunk of this block, the block coded against it)."""

    def in_order(self) -> list[Want]:
        """Return what is wanted by its place in the block, equal runs side by side."""
        return sorted(self.wants, key=_run_of)

    def everything(self) -> Iterator["BlockWork"]:
        """Yield the block and all that are coded against it, at however many removes."""
        yield self
        for _, other in self.above:
            yield from other.everything()


@dataclass(frozen=True, slots=True)
class Task:
    """One ranged read, and the blocks in it."""

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

    tasks: list[Task]
    """In the order in which they are best done; may be taken away as they are."""
    apart: tuple[tuple[Page, Mapping[Digest, Location]], ...]
    """Pages whose chunks are read one by one, and where those are."""
    bare: tuple[Outlet, ...]
    """Files without any chunk."""


class Planner:
    """Takes files, some at a time, and returns the plan for all of them together."""

    def __init__(self) -> None:
        """Begin with none."""
        self.size = 0
        """Runs so far, with files and chunks as runs: what the plan takes in memory goes with it."""
        self._works: dict[int, BlockWork] = {}
        self._open: list[tuple[Outlet, tuple[int, ...]]] = []
        """Files that need several blocks, and which."""
        self._pages: list[tuple[Page, tuple[int, ...], Mapping[Digest, Location]]] = []
        self._bare: list[Outlet] = []

    def add(self, recipe: Recipe, known: Mapping[Digest, Location], target: Target) -> None:
        """Add a whole file; *known* has the places of all that it needs. A target whose recipe names a chunk that is
        not in *known* is failed with an IntegrityError.
        """
        if len(recipe.parts) == 1 and isinstance(recipe.parts[0], ChunkPart) and target.whole_bytes >= 0:
            self._add_single(recipe, known, target)
            return
        outlet = Outlet(target, recipe.size, recipe.digest)
        blocks: list[int] = []
        chunks = 0
        try:
            for sink, location, want in _wants(recipe, known, outlet):
                _work(self._works, location.block, known).wants.append(want)
                blocks.append(location.block.block_no)
                chunks += len(want.parts)
                if isinstance(sink, Page) and want.offset == 0:
                    inner = tuple(location_of(recipe, part, known).block.block_no for part in sink.part.inner)
                    self._pages.append((sink, inner, known))
        except IntegrityError as error:
            outlet.fail(error)
        self.size += FILE_RUNS + len(blocks) + chunks // CHUNKS_A_RUN
        if not blocks:
            outlet.gathered = [] if target.whole_bytes == 0 else None
            self._bare.append(outlet)
        elif len(blocks) == 1 and target.whole_bytes >= 0:
            outlet.gathered = []
        else:
            self._open.append((outlet, tuple(blocks)))

    def _add_single(self, recipe: Recipe, known: Mapping[Digest, Location], target: Target) -> None:
        parts = cast("tuple[ChunkPart, ...]", recipe.parts)
        try:
            location = location_of(recipe, parts[0], known)
            work = self._works.get(location.block.block_no) or _work(self._works, location.block, known)
            work.singles.append(Single(location.inner_offset, recipe.size, target, recipe.digest, parts))
        except IntegrityError as error:
            target.fail(error)
        self.size += FILE_RUNS + 1

    def done(self, range_bytes: int = RANGE_BYTES) -> Plan:
        """Return the plan; nothing longer than *range_bytes* is read at once but a single block."""
        tasks = _tasks(self._works.values(), range_bytes)
        task_of = {
            work.place.block_no: number
            for number, task in enumerate(tasks)
            for root in task.works
            for work in root.everything()
        }
        torn = set()
        for page, blocks, _ in self._pages:
            page.is_apart = len({task_of[block] for block in blocks}) > 1
            if page.is_apart:
                torn.add(id(page.outlet))
        for outlet, blocks in self._open:
            if outlet.target.whole_bytes >= 0 and id(outlet) not in torn:
                numbers = [task_of[block] for block in blocks]
                if max(numbers) - min(numbers) < NEAR_TASKS:
                    outlet.gathered = []
        apart = tuple((page, known) for page, _, known in self._pages if page.is_apart)
        return Plan(tasks, apart, tuple(self._bare))


def plan(files: Iterable[tuple[Recipe, Mapping[Digest, Location], Target]], range_bytes: int = RANGE_BYTES) -> Plan:
    """Return what to do for whole files, as Planner takes and returns it."""
    planner = Planner()
    for recipe, known, target in files:
        planner.add(recipe, known, target)
    return planner.done(range_bytes)


def reads(known: Mapping[Digest, Location]) -> list[tuple[BlockPlace, Span]]:
    """Return every request that bringing back all of *known* takes: (one block of the pack, bytes of the pack).

    Raises IntegrityError where something is coded against what is not there.
    """
    works: dict[int, BlockWork] = {}
    for location in known.values():
        _work(works, location.block, known)
    together = [(task.works[0].place, task.span) for task in _tasks(works.values(), RANGE_BYTES)]
    leaning = (work.place for work in works.values() if work.place.base is not None)
    return together + [(place, Span(place.offset, place.stored_len)) for place in leaning]


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


def _wants(recipe: Recipe, known: Mapping[Digest, Location], outlet: Outlet) -> Iterator[tuple[Sink, Location, Want]]:
    """Yield every run of chunks that the file needs: who takes it, where it is, and what is taken."""
    parts, offset, number = recipe.parts, 0, 0
    while number < len(parts):
        part = parts[number]
        begin, began = number, offset
        offset, number = offset + part.length, number + 1
        if isinstance(part, ChunkPart):
            first = location_of(recipe, part, known)
            block_no, end = first.block.block_no, first.inner_offset + part.length
            while number < len(parts) and isinstance(follower := parts[number], ChunkPart):
                next_one = location_of(recipe, follower, known)
                if next_one.block.block_no != block_no or next_one.inner_offset != end:
                    break
                end += follower.length
                offset, number = offset + follower.length, number + 1
            outlet.waiting += 1
            run = cast("tuple[ChunkPart, ...]", parts[begin:number])
            yield outlet, first, Want(first.inner_offset, offset - began, outlet, began, run)
        elif isinstance(part, WrappedPart):
            outlet.waiting += 1
            page, inner = Page(part, began, outlet), 0
            for chunk in part.inner:
                location = location_of(recipe, chunk, known)
                yield page, location, Want(location.inner_offset, chunk.length, page, inner, (chunk,))
                inner += chunk.length
        else:
            outlet.holes += ((began, part.length),)
    if offset != recipe.size:
        raise IntegrityError(
            f"the parts of recipe {recipe.recipe_id} do not add up to its size",
            now="nothing was written",
            hint="frostline audit; then docs/runbook.md#corrupt-pack",
        )


def _run_of(want: Want) -> tuple[int, int]:
    return want.start, want.length


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


def _tasks(works: Iterable[BlockWork], range_bytes: int) -> list[Task]:
    """Return the roots among *works* as ranged reads, in pack order; one that others are coded against is alone."""
    tasks: list[Task] = []
    held: list[BlockWork] = []
    roots = [work for work in works if work.place.base is None]
    for work in sorted(roots, key=lambda work: (work.place.pack_no, work.place.offset)):
        if work.above:
            tasks.append(_task([work]))
            continue
        if held and not _fits(held, work.place, range_bytes):
            tasks.append(_task(held))
            held = []
        held.append(work)
    if held:
        tasks.append(_task(held))
    return tasks


def _fits(held: list[BlockWork], place: BlockPlace, range_bytes: int) -> bool:
    first, last = held[0].place, held[-1].place
    if place.pack_no != first.pack_no or place.offset - (last.offset + last.stored_len) > GAP_BYTES:
        return False
    wanted = sum(work.place.stored_len for work in held)
    if place.offset - first.offset - wanted > max(WASTE_BYTES, wanted):
        return False
    if sum(work.place.raw_len for work in held) + place.raw_len > RANGE_RAW_BYTES:
        return False
    return place.offset + place.stored_len - first.offset <= range_bytes


def _task(held: list[BlockWork]) -> Task:
    first, last = held[0].place, held[-1].place
    return Task(Span(first.offset, last.offset + last.stored_len - first.offset), tuple(held))
