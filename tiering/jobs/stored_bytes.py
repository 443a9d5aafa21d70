"""The bytes of one stored version at any offset: the blocks that hold them, fetched, decoded and verified once.

Used by random_access, and by whoever wants a whole file in order (cat, proofs of objects). Everything returned is
confirmed by digests (P7); a page that was wrapped again is checked for its length and made of confirmed chunks. Memory
is bounded by the cache, one window of what is read (or some steps), and the bases of its blocks.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from dedup.assemble import chunk_view, open_block, rewrapped
from dedup.errors import DedupError
from dedup.values import MAX_BASE_DEPTH, ChunkPart, Digest, HolePart, Recipe, Span, WrappedPart, chunks_of
from tiering.catalog.values import BlockPlace, Location
from tiering.errors import IntegrityError
from tiering.jobs.block_cache import BlockCache, OpenBlock
from tiering.jobs.context import Context
from tiering.jobs.fetch_plan import GAP_BYTES, RANGE_BYTES, location_of
from tiering.jobs.fetch_sinks import Buffer, damaged
from tiering.jobs.range_restore import Gate

READERS = 8
WINDOW_BYTES = 64 << 20  # of a file, whose blocks are held together while they are read
STEP_BYTES = 4 << 20  # of a file that is read in order
STEPS_AHEAD = 3  # as many are decoded side by side
IN_ORDER_CACHE_BYTES = 32 << 20  # bases, and what a table's pages share


@dataclass(slots=True)
class StoredBytes:
    """One stored version, open for reading at any offset. Thread-safe."""

    ctx: Context
    recipe: Recipe
    known: Mapping[Digest, Location]
    cache: BlockCache
    gate: Gate
    _starts: list[int] = field(default_factory=list)
    _page: tuple[int, bytes] = (-1, b"")
    """The page that was wrapped last, by the number of its part: small reads come in rows."""

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

    def read_at(self, offset: int, length: int, *, ahead: int = 0) -> bytes:
        """Return *length* bytes from *offset* on, fewer at the end of the file.

        Where something has to be fetched, up to *ahead* further bytes are fetched into the cache with it. Raises
        ObjectArchived, or WaitingOnRestore with the ticket where the gate asks; IntegrityError, ObjectMissing and other
        store errors.
        """
        pieces = self._pieces(offset, min(offset + length, self.size), ahead)
        return pieces[0] if len(pieces) == 1 and isinstance(pieces[0], bytes) else b"".join(pieces)

    def _pieces(self, offset: int, end: int, ahead: int = 0) -> list[Buffer]:
        pieces: list[Buffer] = []
        if offset >= end:
            return pieces
        self.need(offset, end - offset)
        for numbers in self._windows(offset, end):
            last = min(self._starts[numbers[-1]] + self.recipe.parts[numbers[-1]].length + ahead, self.size)
            held = self._gather(numbers, self._numbers(self._starts[numbers[0]], last) if ahead else numbers)
            for number in numbers:
                start = self._starts[number]
                length = self.recipe.parts[number].length
                pieces.append(self._cut(number, max(offset - start, 0), min(end - start, length), held))
        return pieces

    def in_order(self, start: int, end: int) -> Iterator[Buffer]:
        """Yield the bytes from *start* to *end*, at most the size, some steps read ahead. Raises as read_at()."""
        with ThreadPoolExecutor(STEPS_AHEAD, thread_name_prefix="frostline-cat") as pool:
            under_way: deque[Future[list[Buffer]]] = deque()
            try:
                for first, last in self._steps(start, end):
                    under_way.append(pool.submit(self._pieces, first, last))
                    if len(under_way) > STEPS_AHEAD:
                        yield from under_way.popleft().result()
                while under_way:
                    yield from under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def _steps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield stretches of about STEP_BYTES that end where a block does: none is decoded for two of them."""
        first, block_no = start, -1
        for number in self._numbers(start, end) if start < end else ():
            part, at = self.recipe.parts[number], self._starts[number]
            if isinstance(part, HolePart):
                if at > first:
                    yield first, at
                    first = at
                while min(at + part.length, end) - first > STEP_BYTES:
                    yield first, first + STEP_BYTES
                    first += STEP_BYTES
                block_no = -1
                continue
            before = block_no
            block_no = location_of(self.recipe, part, self.known).block.block_no if isinstance(part, ChunkPart) else -1
            if at - first >= STEP_BYTES and (block_no == -1 or block_no != before):
                yield first, at
                first = at
        if first < end:
            yield first, end

    def need(self, offset: int, length: int) -> None:
        """Raise, as read_at(), unless all that this range needs can be read now; it is asked for at once."""
        end = min(offset + length, self.size)
        if self.gate.is_open or offset >= end:
            return
        self.gate.pass_through(self.packs_of(offset, length), Span(offset, end - offset))

    def readable_length(self, offset: int, length: int) -> int:
        """Return how much of a range can be read now, from its beginning on, in whole parts."""
        end = min(offset + length, self.size)
        if self.gate.is_open or offset >= end:
            return max(0, end - offset)
        for number in self._numbers(offset, end):
            if not self.gate.are_readable({place.pack_no for place in self._places([number]).values()}):
                return max(0, self._starts[number] - offset)
        return end - offset

    def packs_of(self, offset: int, length: int) -> set[int]:
        """Return the packs that a range needs, those of its blocks' bases too."""
        end = min(offset + length, self.size)
        if offset >= end:
            return set()
        return {place.pack_no for place in self._places(self._numbers(offset, end)).values()}

    def _numbers(self, offset: int, end: int) -> range:
        """Return the numbers of the parts that overlap the bytes from *offset* to *end*."""
        return range(bisect_right(self._starts, offset) - 1, bisect_right(self._starts, end - 1))

    def _windows(self, offset: int, end: int) -> Iterator[range]:
        numbers = self._numbers(offset, end)
        first, held = numbers.start, 0
        for number in numbers:
            held += self.recipe.parts[number].length
            if held >= WINDOW_BYTES or number == numbers[-1]:
                yield range(first, number + 1)
                first, held = number + 1, 0

    def _cut(self, number: int, start: int, end: int, held: Mapping[int, OpenBlock]) -> Buffer:
        part = self.recipe.parts[number]
        if isinstance(part, ChunkPart):
            return _chunk(location_of(self.recipe, part, self.known), held)[start:end]
        if isinstance(part, HolePart):
            return bytes(end - start)
        kept, page = self._page
        if kept != number:
            page = self._wrapped(part, held)
            self._page = (number, page)
        return page[start:end]

    def _wrapped(self, part: WrappedPart, held: Mapping[int, OpenBlock]) -> bytes:
        plain = b"".join(_chunk(location_of(self.recipe, chunk, self.known), held) for chunk in part.inner)
        try:
            return bytes(rewrapped(part, plain))
        except DedupError as error:
            raise IntegrityError(f"a page cannot be wrapped again: {error}", hint="frostline scrub") from error

    def _places(self, numbers: Iterable[int]) -> dict[int, BlockPlace]:
        """Return the blocks that these parts need, by number, with those that they are coded against."""
        found: dict[int, BlockPlace] = {}
        for part in chunks_of(tuple(self.recipe.parts[number] for number in numbers)):
            place = location_of(self.recipe, part, self.known).block
            for _ in range(MAX_BASE_DEPTH + 1):
                if place.block_no in found:
                    break
                found[place.block_no] = place
                if place.base is None:
                    break
                place = self._base_of(place).block
        return found

    def _base_of(self, place: BlockPlace) -> Location:
        below = self.known.get(place.base) if place.base is not None else None
        if below is None:
            raise IntegrityError(
                f"pack {place.key}, offset {place.offset}: what the block is coded against cannot be had",
                hint="frostline audit; then docs/runbook.md#missing-chunk",
            )
        return below

    def _gather(self, numbers: Iterable[int], further: Iterable[int]) -> dict[int, OpenBlock]:
        """Return the blocks that the parts *numbers* need, decoded, by number. If any has to be fetched, those of
        *further* that can be read come with it.
        """
        wanted = self._places(numbers)
        held = {no: block for no in wanted if (block := self.cache.get(no)) is not None}
        if len(held) == len(wanted):
            return held
        if further is not numbers:
            more = self._places(further)
            wanted |= {no: place for no, place in more.items() if self.gate.is_known_readable(place.pack_no)}
            held = {no: block for no in wanted if (block := self.cache.get(no)) is not None}
        payloads = self._fetch([place for no, place in wanted.items() if no not in held])
        for no, place in wanted.items():
            self._open(no, place, held, payloads)
        return held

    def _open(
        self, no: int, place: BlockPlace, held: dict[int, OpenBlock], payloads: Mapping[int, OpenBlock | memoryview]
    ) -> None:
        """Decode a block that was fetched, after the one that it is coded against."""
        if no in held:
            return
        found = payloads[no]
        if not isinstance(found, OpenBlock):
            base = self._base_of(place)
            if base.block.block_no not in held:
                self._open(base.block.block_no, base.block, held, payloads)
            found = _decoded(place, found, _chunk(base, held))
        held[no] = found
        self.cache.put(no, found)

    def _fetch(self, places: Sequence[BlockPlace]) -> dict[int, OpenBlock | memoryview]:
        """Return blocks by number, fetched with their neighbours, several ranges at once; those that are coded against
        others as they are stored.
        """
        runs = list(_runs(sorted(places, key=lambda place: (place.pack_no, place.offset))))
        found: dict[int, OpenBlock | memoryview] = {}
        if len(runs) < 2:
            for run in runs:
                found.update(self._fetch_run(run))
            return found
        with ThreadPoolExecutor(min(READERS, len(runs)), thread_name_prefix="frostline-open") as pool:
            for fetched in pool.map(self._fetch_run, runs):
                found.update(fetched)
        return found

    def _fetch_run(self, run: Sequence[BlockPlace]) -> dict[int, OpenBlock | memoryview]:
        first, last = run[0], run[-1]
        span = Span(first.offset, last.offset + last.stored_len - first.offset)
        data = memoryview(self.ctx.tier(first.tier).store.get(first.key, span))
        found: dict[int, OpenBlock | memoryview] = {}
        for place in run:
            payload = data[place.offset - first.offset :][: place.stored_len]
            found[place.block_no] = _decoded(place, payload, None) if place.base is None else payload
        return found


def read_in_order(
    ctx: Context, recipe: Recipe, known: Mapping[Digest, Location], write: Callable[[Buffer], object]
) -> None:
    """Call *write* with the bytes of a whole file in order, some read ahead; its packs can be read.

    Raises IntegrityError, ObjectMissing, ObjectArchived and other store errors; what was written until then is right.
    """
    stored = StoredBytes(ctx, recipe, known, BlockCache(IN_ORDER_CACHE_BYTES), Gate(ctx, "", {}, asks=False))
    for data in stored.in_order(0, stored.size):
        write(data)


def _decoded(place: BlockPlace, payload: memoryview, base: bytes | memoryview | None) -> OpenBlock:
    try:
        return OpenBlock(open_block(place.codec, payload, place.raw_len, base))
    except DedupError as error:
        raise damaged(place, error) from error


def _chunk(location: Location, held: Mapping[int, OpenBlock]) -> memoryview:
    """Return one chunk out of its block; its digest is computed once for as long as the block is kept."""
    block = held[location.block.block_no]
    if block.confirmed.get(location.inner_offset) == location.digest:
        return memoryview(block.raw)[location.inner_offset : location.inner_offset + location.length]
    try:
        view = chunk_view(block.raw, location.inner_offset, location.length, location.digest)
    except DedupError as error:
        raise damaged(location.block, error) from error
    block.confirmed[location.inner_offset] = location.digest
    return view


def _runs(places: Iterable[BlockPlace]) -> Iterator[list[BlockPlace]]:
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
