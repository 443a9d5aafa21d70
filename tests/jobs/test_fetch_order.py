"""Files whose chunks stand anywhere, arrive in any order and are damaged anywhere: never a wrong byte under a name."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from threading import Lock

from hypothesis import given
from hypothesis import strategies as st

from dedup.fingerprint import digest, fingerprint
from dedup.values import ChunkPart, Digest, FileMeta, HolePart, Part, Recipe, RecipeId
from tiering.catalog.values import BlockPlace, Location
from tiering.errors import IntegrityError
from tiering.jobs.fetch import hand_out
from tiering.jobs.fetch_order import DigestInOrder, Room
from tiering.jobs.fetch_outlets import Haul
from tiering.jobs.fetch_plan import BlockWork, plan
from tiering.jobs.fetch_sinks import Given, Piece, one_by_one

CHUNKS = [bytes([65 + number]) * (3 + number) for number in range(8)]
PLACE = BlockPlace(1, 1, "p1", "standard", 0, 100, 100, "raw", None)


@dataclass(eq=False)
class File:
    """A target in memory, which says what it has come to."""

    size: int
    whole_bytes: int
    content: bytearray = field(init=False)
    outcome: list[str] = field(default_factory=list)
    reads: int = 0
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.content = bytearray(self.size)

    def write(self, pieces: list[Piece]) -> None:
        assert pieces == sorted(pieces, key=lambda piece: piece[0])
        for offset, data in pieces:
            self.content[offset : offset + len(data)] = data

    def read(self, buffer: memoryview, offset: int) -> int:
        """A few bytes at a time, as a system call may."""
        self.reads += 1
        found = self.content[offset : offset + min(5, len(buffer))]
        buffer[: len(found)] = found
        return len(found)

    def take_whole(self, pieces: list[Piece]) -> None:
        assert not any(self.content)
        self.write(pieces)
        self.finish()

    def finish(self) -> None:
        with self.lock:
            self.outcome.append("finished")

    def fail(self, error: Exception) -> None:
        assert isinstance(error, IntegrityError)
        with self.lock:
            self.outcome.append(str(error))


@dataclass(frozen=True)
class Stored:
    """What stands in the packs: some blocks of chunks, one perhaps damaged."""

    blocks: tuple[tuple[int, ...], ...]
    damaged: int
    """Number of the chunk that is not what its digest says; beyond the last for none."""

    def places(self) -> dict[Digest, Location]:
        known = {}
        for number, held in enumerate(self.blocks):
            size = sum(len(CHUNKS[chunk]) for chunk in held)
            place = BlockPlace(number, number // 2, f"p{number // 2}", "standard", number * 10**9, 9, size, "raw", None)
            start = 0
            for chunk in held:
                data = CHUNKS[chunk]
                known[digest(data)] = Location(place, start, len(data), 9, fingerprint(data), digest(data))
                start += len(data)
        return known

    def raw(self, block_no: int) -> memoryview:
        held = [CHUNKS[chunk] for chunk in self.blocks[block_no]]
        if self.damaged in self.blocks[block_no]:
            spoilt = self.blocks[block_no].index(self.damaged)
            held[spoilt] = held[spoilt][:-1] + b"!"
        return memoryview(b"".join(held))


@st.composite
def stores(draw: st.DrawFn) -> Stored:
    order = draw(st.permutations(range(len(CHUNKS))))
    cuts = sorted(draw(st.sets(st.integers(1, len(CHUNKS) - 1))))
    blocks = tuple(tuple(order[start:end]) for start, end in zip([0, *cuts], [*cuts, len(CHUNKS)], strict=True))
    return Stored(blocks, draw(st.integers(0, len(CHUNKS))))


PARTS = st.lists(st.one_of(st.integers(0, len(CHUNKS) - 1), st.integers(-9, -1)), max_size=9)
"""Of a file: numbers of chunks, and lengths of holes below 0."""


def recipe_of(parts: list[int]) -> tuple[Recipe, bytes]:
    found: list[Part] = []
    content = b""
    for part in parts:
        data = bytes(-part) if part < 0 else CHUNKS[part]
        content += data
        found.append(HolePart(-part) if part < 0 else ChunkPart(fingerprint(data), digest(data), len(data)))
    meta = FileMeta(0o100644, 0, 0, 0, 0)
    recipe = Recipe(RecipeId("0" * 26), "r", b"f", (), len(content), digest(content), "test", meta, tuple(found))
    return recipe, content


def bring(stored: Stored, works: list[BlockWork], deliver_each: int, room_bytes: int, threads: int) -> None:
    """Hand out blocks as tasks of several would, by some threads."""
    room = Room(room_bytes)

    def task(held: list[BlockWork]) -> None:
        haul = Haul(room, one_by_one)
        for number, work in enumerate(held):
            hand_out(work, stored.raw(work.place.block_no), haul)
            if number % deliver_each == 0:
                haul.deliver()
        haul.deliver()

    tasks = [works[start : start + 2] for start in range(0, len(works), 2)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(task, held) for held in tasks]:
            done.result()


@given(
    stored=stores(),
    files=st.lists(st.tuples(PARTS, st.booleans()), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    limits=st.tuples(st.integers(1, 3), st.sampled_from([0, 20, 1000]), st.integers(1, 3)),
)
def test_p7_chunks_in_any_order_give_the_file_or_the_error_of_the_damaged_one(
    stored: Stored, files: list[tuple[list[int], bool]], order: Random, limits: tuple[int, int, int]
) -> None:
    known = stored.places()
    recipes = [recipe_of(parts) for parts, _ in files]
    targets = [
        File(recipe.size, recipe.size if is_small else -1)
        for (recipe, _), (_, is_small) in zip(recipes, files, strict=True)
    ]
    planned = plan((recipe, known, target) for (recipe, _), target in zip(recipes, targets, strict=True))
    works = [work for task in planned.tasks for work in task.works]
    order.shuffle(works)
    deliver_each, room_bytes, threads = limits
    bring(stored, works, deliver_each, room_bytes, threads)
    haul = Haul(Room(room_bytes), one_by_one)
    for outlet in planned.bare:
        outlet.take([], haul)
    haul.deliver()

    for (parts, _), (_, content), target in zip(files, recipes, targets, strict=True):
        if stored.damaged in parts:
            assert len(target.outcome) == 1
            place = known[digest(CHUNKS[stored.damaged])].block
            assert f"pack {place.key}, offset {place.offset}: chunk hashes to" in target.outcome[0]
        else:
            assert target.outcome == ["finished"]
            assert target.content == content


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=12), st.randoms(use_true_random=False), st.sampled_from([0, 500])
)
def test_the_digest_of_pieces_in_any_order_is_that_of_the_whole(
    lengths: list[int], order: Random, room_bytes: int
) -> None:
    pieces, at = [], 0
    for number, length in enumerate(lengths):
        pieces.append(Given(at, bytes([number]) * length, (), PLACE))
        at += length
    content = b"".join(bytes(piece.data) for piece in pieces)
    target = File(len(content), -1)
    order.shuffle(pieces)
    found, room = DigestInOrder(len(content), ()), Room(room_bytes)
    ends = []
    for piece in pieces:
        target.write([(piece.offset, piece.data)])
        ends.append(found.add([piece], target.read, room))
    assert ends == [False] * (len(pieces) - 1) + [True]
    assert found.digest() == digest(content)
    assert room.take(room_bytes), "all room is given back"
    assert room_bytes == 0 or target.reads == 0


def test_what_comes_in_order_is_never_read_back() -> None:
    content = bytes(range(250)) * 4
    target = File(len(content), -1)
    found = DigestInOrder(len(content), ((500, 100),))
    for start, end in ((0, 300), (300, 500), (600, 1000)):
        piece = Given(start, content[start:end], (), PLACE)
        assert found.add([piece], target.read, Room(0)) is (end == len(content))
    assert target.reads == 0
    assert found.digest() == digest(content[:500] + bytes(100) + content[600:])
