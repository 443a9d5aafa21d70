"""How the parts of a recipe are laid out in numbers: distinct chunks once, then a sequence of codes that uses them.

Used by dedup.recipe alone. A code is 0 for the next distinct chunk that has not been used, 1 for the next hole, 2 for
the next wrapped part, whose inner chunks' codes follow, and 3 + i for chunk i once more. So an ordinary file is a row
of zeros, which compresses to nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from dedup.errors import FormatError
from dedup.layout import MAX_STORED_LEN
from dedup.values import ChunkPart, HolePart, Part, WrappedPart

LONGEST_FILE = (1 << 63) - 1
NEXT_CHUNK, NEXT_HOLE, NEXT_WRAPPED, AGAIN = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a file as columns."""

    chunks: tuple[ChunkPart, ...]
    """Distinct, in order of first use."""
    codes: tuple[int, ...]
    holes: tuple[int, ...]
    """Lengths, in order."""
    wraps: tuple[tuple[int, int, int], ...]
    """(index into wrappers, length in the file, number of inner chunks), in order."""
    wrappers: tuple[str, ...]
    """Stored names, in order of first use."""


def lay_out(parts: tuple[Part, ...]) -> Layout:
    """Return *parts* as columns. Raises FormatError for a hole or wrapped part without bytes."""
    places: dict[ChunkPart, int] = {}
    wrappers: dict[str, int] = {}
    codes: list[int] = []
    holes: list[int] = []
    wraps: list[tuple[int, int, int]] = []

    def use(chunk: ChunkPart) -> None:
        count = len(places)
        known = places.setdefault(chunk, count)
        codes.append(NEXT_CHUNK if known == count else AGAIN + known)

    for part in parts:
        if part.length <= 0:
            raise FormatError("a part's length is not positive")
        if isinstance(part, ChunkPart):
            use(part)
        elif isinstance(part, HolePart):
            codes.append(NEXT_HOLE)
            holes.append(part.length)
        else:
            codes.append(NEXT_WRAPPED)
            wraps.append((wrappers.setdefault(part.codec, len(wrappers)), part.length, len(part.inner)))
            for chunk in part.inner:
                use(chunk)
    return Layout(tuple(places), tuple(codes), tuple(holes), tuple(wraps), tuple(wrappers))


def put_together(layout: Layout) -> tuple[Part, ...]:
    """Return the parts that *layout* describes. Raises FormatError unless it uses all its columns, each in bounds."""
    state = _Assembly(layout, iter(layout.codes))
    parts = tuple(state.parts())
    if state.chunks_used != len(layout.chunks) or any(True for _ in state.holes) or any(True for _ in state.wraps):
        raise FormatError("recipe lists chunks, holes or wrapped parts that its sequence does not use")
    return parts


class _Assembly:
    """A walk through the codes."""

    def __init__(self, layout: Layout, codes: Iterator[int]) -> None:
        self.layout = layout
        self.codes = codes
        self.chunks_used = 0
        self.holes = iter(layout.holes)
        self.wraps = iter(layout.wraps)

    def parts(self) -> Iterator[Part]:
        for code in self.codes:
            if code == NEXT_HOLE:
                yield HolePart(_positive(next(self.holes, 0), LONGEST_FILE))
            elif code == NEXT_WRAPPED:
                yield self.wrapped()
            else:
                yield self.chunk(code)

    def wrapped(self) -> WrappedPart:
        number, length, count = next(self.wraps, (0, 0, 0))
        if number >= len(self.layout.wrappers) or not 0 < count <= len(self.layout.codes):
            raise FormatError("recipe has a wrapped part that cannot be")
        inner = tuple(self.chunk(code) for code in islice(self.codes, count))
        if len(inner) != count:
            raise FormatError("recipe ends within a wrapped part")
        return WrappedPart(self.layout.wrappers[number], _positive(length, MAX_STORED_LEN), inner)

    def chunk(self, code: int) -> ChunkPart:
        index = code - AGAIN
        if code == NEXT_CHUNK:
            index = self.chunks_used
            self.chunks_used += 1
        if not 0 <= index < min(self.chunks_used, len(self.layout.chunks)):
            raise FormatError("recipe uses a chunk that it does not have")
        return self.layout.chunks[index]


def _positive(length: int, most: int) -> int:
    if not 0 < length <= most:
        raise FormatError(f"a part's length is not in 1..{most}")
    return length
