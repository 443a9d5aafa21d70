"""What is read for a set of files: each block once, in bounded ranges, bases before what is coded against them."""

import os
from dataclasses import dataclass, field, replace
from threading import Event, Lock

from dedup.fingerprint import digest
from dedup.values import ChunkPart, Digest, FileMeta, Fingerprint, HolePart, Part, Recipe, RecipeId, Span, WrappedPart
from tests.jobs.lab import Lab
from tiering.catalog.values import BlockPlace, Location
from tiering.clock import Clock
from tiering.errors import IntegrityError
from tiering.jobs.fetch import WAITING_BYTES, WORKERS, carry_out, hand_out
from tiering.jobs.fetch_order import Room
from tiering.jobs.fetch_outlets import Haul
from tiering.jobs.fetch_plan import GAP_BYTES, NEAR_TASKS, RANGE_BYTES, RANGE_RAW_BYTES, WASTE_BYTES, Plan, plan
from tiering.jobs.fetch_sinks import Piece, one_by_one
from tiering.stores.memory import MemoryStore
from tiering.stores.wrapper import Wrapper


@dataclass(eq=False)
class Told:
    """A target that notes what it is told."""

    whole_bytes: int = 100
    written: list[Piece] = field(default_factory=list)
    whole: list[list[Piece]] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    finished: int = 0

    def write(self, pieces: list[Piece]) -> None:
        self.written += [(offset, bytes(data)) for offset, data in pieces]

    def read(self, buffer: memoryview, offset: int) -> int:
        """What was written last counts."""
        file = bytearray(max(start + len(data) for start, data in self.written))
        for start, data in self.written:
            file[start : start + len(data)] = data
        found = file[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def take_whole(self, pieces: list[Piece]) -> None:
        self.whole.append([(offset, bytes(data)) for offset, data in pieces])

    def finish(self) -> None:
        self.finished += 1

    def fail(self, error: Exception) -> None:
        self.failed.append(error)


def digest_of(name: str) -> Digest:
    return digest(name.encode())


def chunk(name: str) -> ChunkPart:
    """A chunk whose content is its name."""
    return ChunkPart(Fingerprint(digest_of(name)[:8]), digest_of(name), len(name))


def recipe(*parts: Part, content: str = "") -> Recipe:
    size = sum(part.length for part in parts)
    meta = FileMeta(0o100644, 0, 0, 0, 0)
    content = content or "".join(NAMES.get(part.digest, "") for part in parts if isinstance(part, ChunkPart))
    return Recipe(RecipeId("0" * 26), "root", b"f", (), size, digest_of(content), "test", meta, parts)


class Packs:
    """Blocks at places that a test chooses."""

    def __init__(self) -> None:
        self.known: dict[Digest, Location] = {}
        self.number = 0
        self.raw: dict[int, bytes] = {}

    def block(self, *names: str, pack: int = 1, offset: int = 0, stored: int = 100, base: str = "") -> None:
        self.number += 1
        self.raw[self.number] = "".join(names).encode()
        raw = sum(map(len, names)) if stored < 1000 else stored
        of_base = digest_of(base) if base else None
        place = BlockPlace(self.number, pack, f"p{pack}", "standard", offset, stored, raw, "raw", of_base)
        start = 0
        for name in names:
            part = chunk(name)
            self.known[part.digest] = Location(place, start, part.length, stored, part.fingerprint, part.digest)
            start += part.length


def give(found: Plan, packs: Packs, room_bytes: int = WAITING_BYTES) -> None:
    """Hand out what every task would read."""
    haul = Haul(Room(room_bytes), one_by_one)
    for task in found.tasks:
        for root in task.works:
            for work in root.everything():
                hand_out(work, memoryview(packs.raw[work.place.block_no]), haul)
        haul.deliver()
    for outlet in found.bare:
        outlet.take([], haul)
    haul.deliver()


NAMES = {digest_of(name): name for name in ("one", "two2", "three", "base", "delta", "deeper")}


def test_ranges_are_bounded_and_cover_what_is_wanted() -> None:
    packs = Packs()
    names = [f"chunk {number}" for number in range(40)]
    for number, name in enumerate(names):
        packs.block(name, pack=1 + number // 30, offset=number * 3_000_000, stored=2_999_900)
    packs.block("long", pack=3, stored=2 * RANGE_BYTES)
    found = plan([(recipe(*map(chunk, [*names, "long"])), packs.known, Told())])

    assert sum(len(task.works) for task in found.tasks) == 41
    for task in found.tasks:
        places = [work.place for work in task.works]
        assert len({place.pack_no for place in places}) == 1
        assert len(places) == 1 or task.span.length <= RANGE_BYTES
        assert len(places) == 1 or sum(place.raw_len for place in places) <= RANGE_RAW_BYTES
        assert task.span.start == places[0].offset
        assert task.span.end == max(place.offset + place.stored_len for place in places)


def test_little_is_read_for_nothing() -> None:
    packs = Packs()
    names = [f"chunk {number:03}" for number in range(200)]
    for number, name in enumerate(names):
        packs.block(name, offset=number * 60_000, stored=900)
    found = plan([(recipe(*map(chunk, names)), packs.known, Told())])
    assert len(found.tasks) > 20
    for task in found.tasks:
        wanted = sum(work.place.stored_len for work in task.works)
        assert task.span.length - wanted <= max(WASTE_BYTES, wanted) + GAP_BYTES


def test_a_block_is_read_once_however_many_files_need_it() -> None:
    packs = Packs()
    packs.block("one", "two2", "three")
    targets = [Told(), Told(), Told()]
    parts = [("one", "three"), ("two2",), ("three", "one", "one")]
    found = plan(
        [(recipe(*map(chunk, names)), packs.known, target) for names, target in zip(parts, targets, strict=True)]
    )
    assert [len(task.works) for task in found.tasks] == [1]

    give(found, packs)
    assert targets[0].whole == [[(0, b"one"), (3, b"three")]]
    assert targets[1].whole == [[(0, b"two2")]]
    assert targets[2].whole == [[(0, b"three"), (5, b"one"), (8, b"one")]]


def test_a_small_file_of_several_reads_waits_for_them_while_there_is_room() -> None:
    packs = Packs()
    packs.block("one", pack=1)
    packs.block("two2", pack=2)
    targets = [Told(), Told()]
    for target, room_bytes in zip(targets, (100, 2), strict=True):
        give(plan([(recipe(chunk("two2"), chunk("one")), packs.known, target)]), packs, room_bytes)
    assert targets[0].whole == [[(0, b"two2"), (4, b"one")]]
    assert (targets[0].written, targets[0].finished) == ([], 0)
    assert targets[1].written == [(4, b"one"), (0, b"two2")]
    assert (targets[1].whole, targets[1].finished) == ([], 1)


def test_a_file_whose_blocks_are_far_apart_gets_its_pieces_as_they_come() -> None:
    packs = Packs()
    names = [f"chunk {number}" for number in range(NEAR_TASKS + 1)]
    for number, name in enumerate(names):
        packs.block(name, pack=number)
    target, other = Told(), Told()
    files = [(chunk(names[0]), chunk(names[-1])), tuple(map(chunk, names))]
    give(
        plan(
            (recipe(*parts, content=content), packs.known, told)
            for parts, content, told in zip(files, (names[0] + names[-1], "".join(names)), (target, other), strict=True)
        ),
        packs,
    )
    assert target.written == [(0, names[0].encode()), (len(names[0]), names[-1].encode())]
    assert (target.whole, target.finished) == ([], 1)
    assert b"".join(data for _, data in other.written) == "".join(names).encode()


def test_a_large_file_is_never_gathered() -> None:
    packs = Packs()
    packs.block("one")
    target = Told(whole_bytes=-1)
    give(plan([(recipe(chunk("one")), packs.known, target)]), packs)
    assert target.written == [(0, b"one")]


def test_what_is_coded_against_a_block_follows_it_at_once() -> None:
    packs = Packs()
    packs.block("deeper", pack=3, base="delta")
    packs.block("delta", pack=2, base="base")
    packs.block("one", "base", pack=1)
    packs.block("three", pack=1, offset=100)
    targets = [Told(), Told()]
    found = plan(
        [
            (recipe(chunk("deeper"), chunk("three")), packs.known, targets[0]),
            (recipe(chunk("delta")), packs.known, targets[1]),
        ]
    )
    chains = [task for task in found.tasks if task.works[0].above]
    assert [len(task.works) for task in found.tasks] == [1, 1]
    assert len(chains) == 1
    (root,) = chains[0].works
    assert [work.place.pack_no for work in root.everything()] == [1, 2, 3]
    assert root.wants == [], "the base is decoded for the others alone"
    assert root.above[0][0].digest == digest_of("base")

    give(found, packs)
    assert targets[0].whole == [[(0, b"deeper"), (6, b"three")]]
    assert targets[1].whole == [[(0, b"delta")]]


def test_a_chunk_or_a_base_that_is_nowhere_fails_its_file_alone() -> None:
    packs = Packs()
    packs.block("delta", base="base")
    packs.block("one", offset=200)
    packs.block("two2", offset=400, base="gone")
    targets = [Told(), Told(), Told(), Told()]
    wanted = [(chunk("delta"),), (chunk("one"),), (chunk("nowhere"),), (chunk("two2"),)]
    give(plan([(recipe(*parts), packs.known, target) for parts, target in zip(wanted, targets, strict=True)]), packs)
    assert [[type(error) for error in target.failed] for target in targets] == [
        [IntegrityError],
        [],
        [IntegrityError],
        [IntegrityError],
    ]
    assert targets[1].whole == [[(0, b"one")]]


def test_pages_of_one_read_are_wrapped_in_it_and_others_have_their_own() -> None:
    packs = Packs()
    packs.block("one", "two2", pack=1)
    packs.block("three", pack=2)
    together = WrappedPart("unknown:1", 5, (chunk("one"), chunk("two2")))
    far = WrappedPart("unknown:1", 5, (chunk("one"), chunk("three")))
    targets = [Told(), Told()]
    found = plan([(recipe(together), packs.known, targets[0]), (recipe(far), packs.known, targets[1])])

    assert [page.part for page, _ in found.apart] == [far]
    give(found, packs)
    assert [len(target.failed) for target in targets] == [1, 0]  # no such wrapper; and the other is not tried here


def test_chunks_that_follow_one_another_come_as_one_piece() -> None:
    packs = Packs()
    packs.block("one", "two2", "three")
    targets = [Told(), Told(whole_bytes=-1)]
    give(plan([(recipe(chunk("one"), chunk("two2")), packs.known, target) for target in targets]), packs)
    assert targets[0].whole == [[(0, b"onetwo2")]]
    assert targets[1].written == [(0, b"onetwo2")]
    assert targets[1].finished == 1


def test_p7_a_file_is_handed_over_whole_only_if_its_own_digest_confirms_it() -> None:
    packs = Packs()
    packs.block("one", "two2")
    packs.block("three", offset=300)
    wrong, torn = Told(), Told()
    other = recipe(chunk("one"), chunk("two2"))._replace(digest=digest_of("another file"))
    planned = plan([(other, packs.known, wrong), (recipe(chunk("three")), packs.known, torn)])
    packs.raw[2] = b"thrEe"
    give(planned, packs)
    assert wrong.whole == torn.whole == []
    assert "every chunk of the file verifies" in str(wrong.failed[0])
    assert "chunk hashes to" in str(torn.failed[0])
    assert "offset 300" in str(torn.failed[0])


def test_p7_a_file_that_is_written_as_it_comes_is_finished_only_if_its_own_digest_confirms_it() -> None:
    packs = Packs()
    packs.block("one", "two2")
    packs.block("three", offset=300)
    wrong, torn = Told(whole_bytes=-1), Told(whole_bytes=-1)
    other = recipe(chunk("one"), chunk("two2"))._replace(digest=digest_of("another file"))
    planned = plan([(other, packs.known, wrong), (recipe(chunk("three"), chunk("one")), packs.known, torn)])
    packs.raw[2] = b"thrEe"
    give(planned, packs)
    assert wrong.finished == torn.finished == 0
    assert [len(wrong.failed), len(torn.failed)] == [1, 1]
    assert "every chunk of the file verifies" in str(wrong.failed[0])
    assert "offset 300: chunk hashes to" in str(torn.failed[0])


def test_a_file_without_chunks_is_finished_too() -> None:
    small, long, empty = Told(), Told(whole_bytes=-1), Told(whole_bytes=0)
    files = [(recipe(HolePart(size), content="\0" * size), told) for size, told in ((50, small), (3 << 20, long))]
    give(plan((it, {}, told) for it, told in [*files, (recipe(), empty)]), Packs())
    assert (small.finished, small.written, small.whole) == (1, [], [])
    assert (long.finished, long.written, long.whole) == (1, [], [])
    assert (empty.finished, empty.written, empty.whole) == (0, [], [[]])


class Ahead:
    """How many targets are being written at once, and when enough ranges have been read meanwhile."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.are_read = Event()
        self.reads = self.writing = self.most = 0
        self.lock = Lock()

    def read(self) -> None:
        with self.lock:
            self.reads += 1
            if self.reads == min(self.cores + 2, WORKERS):
                self.are_read.set()

    def write(self, step: int) -> None:
        with self.lock:
            self.writing += step
            self.most = max(self.most, self.writing)


class SlowTarget(Told):
    """Is written for as long as it takes to read ahead of it."""

    def __init__(self, ahead: Ahead) -> None:
        super().__init__()
        self.ahead = ahead

    def take_whole(self, pieces: list[Piece]) -> None:
        self.ahead.write(1)
        assert self.ahead.are_read.wait(60)
        super().take_whole(pieces)
        self.ahead.write(-1)


class CountedStore(Wrapper):
    """Counts what was read."""

    def __init__(self, ahead: Ahead, clock: Clock) -> None:
        super().__init__(MemoryStore("ahead", clock=clock))
        self.ahead = ahead

    def get(self, key: str, span: Span | None = None) -> bytes:
        self.ahead.read()
        return key.encode()


def test_ranges_are_read_ahead_while_no_more_files_than_cores_are_written(lab: Lab) -> None:
    packs, ahead = Packs(), Ahead(len(os.sched_getaffinity(0)))
    names = [f"p{number:02}" for number in range(ahead.cores + 6)]
    for number, name in enumerate(names):
        packs.block(name, pack=number, stored=len(name))
        place = packs.known[digest_of(name)].block._replace(key=name)
        packs.known[digest_of(name)] = packs.known[digest_of(name)]._replace(block=place)
    targets = [SlowTarget(ahead) for _ in names]
    found = plan(
        (recipe(chunk(name), content=name), packs.known, target) for name, target in zip(names, targets, strict=True)
    )
    tier = replace(lab.context.tier("standard"), store=CountedStore(ahead, lab.context.clock))
    carry_out(replace(lab.context, tiers={"standard": tier}), found)
    assert ahead.most <= ahead.cores
    assert [target.whole for target in targets] == [[[(0, name.encode())]] for name in names]
