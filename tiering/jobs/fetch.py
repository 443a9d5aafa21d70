"""Reads chunks out of packs: located, coalesced into few ranged reads, each block decoded once, each chunk
verified.

Used by recall and restore. No file is finished that its own digest does not confirm (P7); of chunks by themselves each
is confirmed. Memory is bounded by the reads under way, and by the room for what waits: a worker holds one range and
some megabytes of what it decodes to, or one chain of bases.
"""

import os
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore

from dedup.assemble import StoredChunk, chunk_view, open_block, open_by_digest
from dedup.errors import CorruptChunk, DedupError
from dedup.fingerprint import digests
from dedup.values import Digest, Recipe, Span
from tiering.catalog.values import BlockPlace, Location, PackRow
from tiering.errors import FrostlineError, IntegrityError, ObjectArchived, ObjectMissing
from tiering.jobs.context import Context
from tiering.jobs.fetch_order import Room
from tiering.jobs.fetch_outlets import Haul, Page
from tiering.jobs.fetch_plan import RANGE_BYTES, SHORT_RANGE_BYTES, BlockWork, Plan, Task, Want, plan
from tiering.jobs.fetch_sinks import Buffer, Given, Taking, Target, confirm, damaged, not_the_whole, one_by_one
from tiering.jobs.restore_looks import cold_looks

WORKERS = 8  # requests at once: an object store answers one in 20-100 ms; the limit wrapper may allow fewer
# Of ranges that were read and wait to be decoded, or are being read: long ones are asked for by fewer threads.
AHEAD_BYTES = 32 << 20
WAITING_BYTES = 32 << 20  # of what came before the rest of its file, in all
# Decoded before any of it is handed on: a block, or some small ones, still in a core's own cache.
HAUL_BYTES = 512 << 10
KEPT_BYTES = 48 << 20  # decoded blocks kept for pages whose chunks stand apart: the versions of a table, side by side


class Interrupted(FrostlineError):
    """The job was asked to stop; nothing is half done."""

    exit_code = 130


def fetch(
    ctx: Context, files: Iterable[tuple[Recipe, Mapping[Digest, Location], Target]], taking: Taking = one_by_one
) -> None:
    """Read, verify and hand out the bytes of whole *files*, in no particular order; return when all of it is done.

    What cannot be had (IntegrityError, ObjectMissing, ObjectArchived) fails the targets that need it, and the others
    go on. Any other store trouble, and ctx.stop, end the whole fetch: StoreUnavailable, StoreDenied, Interrupted.
    """
    carry_out(ctx, plan(files, range_bytes(ctx)), taking=taking)


def carry_out(
    ctx: Context, todo: Plan, between: Callable[[], object] | None = None, taking: Taking = one_by_one
) -> None:
    """Do what fetch() does for files that are planned; the plan's tasks are gone afterwards. *between* is called by
    this thread now and then.
    """
    _Fetch(ctx, todo, taking).run(between or (lambda: None))


def range_bytes(ctx: Context) -> int:
    """Return how much is best read at once."""
    return SHORT_RANGE_BYTES if is_local(ctx, ctx.tiers) else RANGE_BYTES


class _Fetch:
    """One run over a plan. Requests overlap; decoding, and writing what was decoded, are left to as many threads as
    there are cores: one that waits for its turn holds no more than the range it has read.
    """

    def __init__(self, ctx: Context, todo: Plan, taking: Taking) -> None:
        self._ctx = ctx
        self._plan = todo
        self._taking = taking
        self._room = Room(WAITING_BYTES)
        self._cores = Semaphore(len(os.sched_getaffinity(0)))
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        """Decoded blocks by number, those used last: pages that stand apart share them with their neighbours."""

    def run(self, between: Callable[[], object]) -> None:
        tasks = self._plan.tasks
        workers = max(1, min(_workers(self._ctx, tasks), len(tasks)))
        tasks.reverse()
        with ThreadPoolExecutor(workers, thread_name_prefix="frostline-fetch") as pool:
            under_way: deque[Future[None]] = deque()
            try:
                while tasks:
                    if self._ctx.stop.is_set():
                        raise Interrupted("asked to stop while fetching", hint="run it again to go on")
                    under_way.append(pool.submit(self._task, tasks.pop()))
                    if len(under_way) >= 2 * workers:
                        under_way.popleft().result()
                        between()
                while under_way:
                    under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()
        haul = self._haul()
        for page, known in self._plan.apart:
            self._page(page, known, haul)
            haul.deliver()
        for outlet in self._plan.bare:
            outlet.take([], haul)
        haul.deliver()

    def _haul(self) -> Haul:
        return Haul(self._room, self._taking)

    def _task(self, task: Task) -> None:
        try:
            data = memoryview(self._ctx.tier(task.place.tier).store.get(task.place.key, task.span))
        except (ObjectMissing, ObjectArchived) as error:
            for work in task.works:
                _fail(work, error)
            return
        haul = self._haul()
        with self._cores:
            for work in task.works:
                start = work.place.offset - task.span.start
                self._open(work, data[start : start + work.place.stored_len], None, haul)
            haul.deliver()

    def _open(self, work: BlockWork, payload: memoryview, base: Buffer | None, haul: Haul) -> None:
        """Decode one block, hand out its chunks, and go on to the blocks that are coded against them."""
        place = work.place
        try:
            raw = open_block(place.codec, payload, place.raw_len, base)
        except DedupError as error:
            _fail(work, damaged(place, error))
            return
        hand_out(work, memoryview(raw), haul)
        if haul.held_bytes >= HAUL_BYTES:
            haul.deliver()
        for location, above in work.above:
            self._above(work, raw, location, above, haul)

    def _above(self, work: BlockWork, raw: bytes, location: Location, above: BlockWork, haul: Haul) -> None:
        try:
            view = chunk_view(raw, location.inner_offset, location.length, location.digest)
            data = self._payload(above.place)
        except DedupError as error:
            _fail(above, damaged(work.place, error))
            return
        except (ObjectMissing, ObjectArchived) as error:
            _fail(above, error)
            return
        self._open(above, memoryview(data), view, haul)

    def _payload(self, place: BlockPlace) -> bytes:
        """Return the coded bytes of a block; another thread decodes while this one waits for them."""
        self._cores.release()
        try:
            return payload(self._ctx, place)
        finally:
            self._cores.acquire()

    def _page(self, page: Page, known: Mapping[Digest, Location], haul: Haul) -> None:
        """Gather a page whose chunks stand far apart."""
        try:
            plain = [self._chunk(known, part.digest) for part in page.part.inner]
            page.wrap(plain, known[page.part.inner[-1].digest].block, haul)
        except (IntegrityError, ObjectMissing, ObjectArchived) as error:
            page.outlet.fail(error)

    def _chunk(self, known: Mapping[Digest, Location], digest: Digest) -> Buffer:
        location = known.get(digest)
        if location is None or location.block.base is not None:
            return chunk_bytes(self._ctx, known, digest)
        place = location.block
        try:
            if place.block_no not in self._kept:
                self._kept[place.block_no] = open_block(place.codec, payload(self._ctx, place), place.raw_len, None)
            self._kept.move_to_end(place.block_no)
            raw = self._kept[place.block_no]
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT_BYTES:
                self._kept.popitem(last=False)
            return chunk_view(raw, location.inner_offset, location.length, location.digest)
        except DedupError as error:
            raise damaged(place, error) from error


def chunk_bytes(ctx: Context, known: Mapping[Digest, Location], digest: Digest) -> bytes:
    """Return the verified bytes of one chunk, its bases read as well; *known* has the places of all of them.

    Raises IntegrityError, ObjectMissing, ObjectArchived, and what else the store raises.
    """
    at: list[BlockPlace] = []

    def find(wanted: Digest) -> StoredChunk:
        location = known.get(wanted)
        if location is None:
            raise IntegrityError(
                f"chunk {wanted.hex()[:16]}... is nowhere in the catalog",
                hint="frostline audit; then docs/runbook.md#missing-chunk",
            )
        place = location.block
        at.append(place)
        data = payload(ctx, place)
        return StoredChunk(place.codec, data, place.raw_len, location.inner_offset, location.length, place.base)

    try:
        return open_by_digest(digest, find)
    except DedupError as error:
        raise damaged(at[-1], error) from error


def cold_packs(ctx: Context, rows: Iterable[PackRow]) -> list[PackRow]:
    """Return those of the packs that cannot be read before the provider has restored them: those in archive classes
    are looked at.

    Raises what head() raises.
    """
    return [row for row, _ in cold_looks(ctx, rows)]


def _workers(ctx: Context, tasks: Sequence[Task]) -> int:
    """Return how many threads pay: on a local disk a read waits for little, and threads beyond the cores take the
    interpreter's lock from one another: a tenth more CPU, no less time. Elsewhere one reads while the others decode,
    however long a range is.
    """
    if is_local(ctx, {task.place.tier for task in tasks}):
        return len(os.sched_getaffinity(0))
    longest = max((task.span.length for task in tasks), default=1)
    return min(WORKERS, max(AHEAD_BYTES // longest, len(os.sched_getaffinity(0)) + 1))


def is_local(ctx: Context, tiers: Iterable[str]) -> bool:
    """Return whether reading from *tiers*, named, is reading files, which more threads than cores make no faster."""
    return all(ctx.tier(name).store.url.startswith("file:") for name in tiers)


def payload(ctx: Context, place: BlockPlace) -> bytes:
    """Return the coded bytes of a block, not looked at. Raises what the store raises."""
    return ctx.tier(place.tier).store.get(place.key, Span(place.offset, place.stored_len))


def hand_out(work: BlockWork, raw: memoryview, haul: Haul) -> None:
    """Give everybody their part of a decoded block."""
    _hand_out_singles(work, raw, haul)
    confirmed: set[int] = set()
    for want in work.in_order():
        start, length, sink, offset, parts = want
        view = raw[start : start + length]
        try:
            if len(view) != length:
                raise _too_short(work.place, raw, start, length)
            if isinstance(sink, Page):
                _confirm_all(work.place, raw, want, confirmed)
                sink.take(Given(offset, view, (), work.place), haul)
            else:
                haul.add(sink, Given(offset, view, parts, work.place))
        except IntegrityError as error:
            sink.fail(error)
    haul.held_bytes += len(raw)


def _hand_out_singles(work: BlockWork, raw: memoryview, haul: Haul) -> None:
    """Give *haul* the files that are one run of the block; those that are copies of one another are hashed once."""
    runs = sorted({single[:2] for single in work.singles})
    views = [raw[start : start + length] for start, length in runs]
    found = dict(zip(runs, zip(views, digests(views), strict=True), strict=True))
    for single in work.singles:
        view, digest = found[single[:2]]
        if digest == single.digest:
            haul.wholes.append((single.target, [(0, view)]))
            continue
        try:
            if len(view) != single.length:
                raise _too_short(work.place, raw, single.start, single.length)
            Given(0, view, single.parts, work.place).check()
            raise not_the_whole()
        except IntegrityError as error:
            single.target.fail(error)


def _too_short(place: BlockPlace, raw: memoryview, start: int, length: int) -> IntegrityError:
    return damaged(place, CorruptChunk(f"block of {len(raw)} bytes has no chunk of {length} at {start}"))


def _confirm_all(place: BlockPlace, raw: memoryview, want: Want, confirmed: set[int]) -> None:
    """Raise IntegrityError unless each chunk of the run is what its digest says; those confirmed before are not hashed
    again: at one place of a block is one chunk.
    """
    start = want.start
    for part in want.parts:
        if start not in confirmed:
            confirm(place, raw[start : start + part.length], part.digest)
            confirmed.add(start)
        start += part.length


def _fail(work: BlockWork, error: Exception) -> None:
    for other in work.everything():
        for single in other.singles:
            single.target.fail(error)
        for want in other.wants:
            want.sink.fail(error)
