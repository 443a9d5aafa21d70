"""Chunkers by stored name: where content-defined chunks end.

Used by dedup.ingest and by estimates. A name such as "gear-1:16k-64k-256k" (algorithm: min-avg-max) is written into
every recipe; the same bytes give the same cuts for ever, whatever the buffers they arrive in. Knows nothing of files.
"""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dedup.errors import UnknownName
from dedup.formats.records import RECORDS
from dedup.gear_table import WINDOW
from dedup.values import Region

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

# 64 KiB: below it index rows outweigh what finer dedup saves (200-400 inserts in 256 MB: 8 KiB keeps 98 %, 64 KiB 85 %,
# 256 KiB 55 % of the duplicate bytes); files up to the minimum are one chunk.
SMALL = "gear-1:16k-64k-256k"
# From 1 GiB on a file alone has 16,000 chunks and more, and is rarely edited in the middle.
LARGE = "gear-1:64k-256k-1m"
# From 64 GiB on: a catalog of 200 million chunks holds 200 TiB of these.
HUGE = "gear-1:256k-1m-4m"
# What pages hold once unwrapped: edits are small and close together, and such chunks share blocks, so that short ones
# cost little. Text is cut at its records (dedup.formats.records): of three versions of a JSONL, one reshuffled, 34 %
# are left, where cuts of the same size by content leave 59 %.
PAGE = "gear-1:4k-16k-64k"
# What is compressed already changes as a whole.
MEDIA = "gear-1:64k-256k-1m"

# Arrays of data are not weights: rows come again, within a file and in the next version of it.
ARRAY = "gear-1:16k-64k-256k"

LONGEST_CHUNK = 16 * MIB
"""No chunker may make longer chunks: readers bound their buffers by it."""

_NAME = re.compile(r"gear-1:(\d{1,7})([km]?)-(\d{1,7})([km]?)-(\d{1,7})([km]?)")
_PIECES = re.compile(r"pieces-1:(\d{1,7})([km]?)")
_UNITS = {"": 1, "k": KIB, "m": MIB}
_OF_KIND = {"text": RECORDS.name, "page": PAGE, "media": MEDIA}
# 2**20 elements: piece i of a bf16 tensor is then the cast of piece i of the same tensor in fp32. Eight-byte elements
# stay within 4 MiB, the longest block.
_PIECES_OF_ELEMENT = {
    **dict.fromkeys(("bf16", "f16", "i16", "u16"), "pieces-1:2m"),
    **dict.fromkeys(("i8", "u8", "f8e4m3", "f8e5m2"), "pieces-1:1m"),
}
WIDTHS = {
    **dict.fromkeys(("bf16", "f16", "i16", "u16"), 2),
    **dict.fromkeys(("f32", "i32", "u32"), 4),
    **dict.fromkeys(("f64", "i64", "u64"), 8),
}
_GearCuts = Callable[[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint64], int | None], list[int]]


class Chunker(Protocol):
    """Splits a stream; thread-safe, keeps no state between calls."""

    @property
    def name(self) -> str:
        """Stored name."""

    @property
    def min_len(self) -> int:
        """No chunk is shorter, except the last of a stream."""

    @property
    def max_len(self) -> int:
        """No chunk is longer."""

    def cuts(self, data: memoryview, *, final: bool) -> list[int]:
        """Return the ends (exclusive, ascending) of the chunks of *data*, which begins where a chunk begins.

        With *final* the last end is len(data); without, a tail of less than max_len bytes stays uncut: offer it again
        at the front of the next buffer.
        """


@dataclass(frozen=True, slots=True)
class GearChunker:
    """Windowed gear with two thresholds: rarely below avg_len, often above (normalised chunking, FastCDC 2016)."""

    name: str
    min_len: int
    avg_len: int
    max_len: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(min, avg, max) in bytes."""
        return self.min_len, self.avg_len, self.max_len

    @property
    def thresholds(self) -> tuple[int, int]:
        """(strict, loose): hashes below are cuts; one position in avg_len before the average, four times that after
        it.
        """
        return (1 << 64) // self.avg_len, (1 << 64) // self.avg_len * 4

    def cuts(self, data: memoryview, *, final: bool, limit: int | None = None) -> list[int]:
        """See Chunker; the first *limit* at most. Data no longer than min_len never touches the compiled kernel."""
        size = len(data)
        ends: list[int] = []
        if size > self.min_len:
            sizes, thresholds = _arrays(self)
            ends = _gear_cuts()(np.frombuffer(data, dtype=np.uint8), sizes, thresholds, limit)
            if len(ends) == limit:
                return ends
        if final and size and (not ends or ends[-1] != size):
            ends.append(size)
        return ends


@dataclass(frozen=True, slots=True)
class PieceChunker:
    """Pieces of one length: for tensors, which change in place and are never shifted."""

    name: str
    max_len: int

    @property
    def min_len(self) -> int:
        """Every piece but the last is this long."""
        return self.max_len

    def cuts(self, data: memoryview, *, final: bool) -> list[int]:
        """See Chunker."""
        size = len(data)
        ends = list(range(self.max_len, size + 1, self.max_len))
        if final and size and (not ends or ends[-1] != size):
            ends.append(size)
        return ends


@dataclass(frozen=True, slots=True)
class ElementChunker:
    """Cuts by content, each moved back to the end of a whole element: for arrays of data, whose rows come again.

    Each chunk is cut as if the data began with it, so that cuts do not depend on what they are asked with.
    """

    name: str
    inner: "GearChunker"
    width: int
    """Bytes of an element; min_len is a multiple."""

    @property
    def min_len(self) -> int:
        """See Chunker."""
        return self.inner.min_len

    @property
    def max_len(self) -> int:
        """See Chunker."""
        return self.inner.max_len

    def cuts(self, data: memoryview, *, final: bool) -> list[int]:
        """See Chunker."""
        ends: list[int] = []
        at, size = 0, len(data)
        while at < size:
            view = data[at : at + self.max_len]
            found = self.inner.cuts(view, final=final and at + len(view) == size, limit=1)
            if not found:
                break
            is_end = at + found[0] == size and final
            at += found[0] if is_end else found[0] // self.width * self.width
            ends.append(at)
        return ends


@cache
def resolve_chunker(name: str) -> Chunker:
    """Return the chunker of a stored *name*. Raises UnknownName for an algorithm or sizes that are not known here."""
    if name == RECORDS.name:
        return RECORDS
    piece = _PIECES.fullmatch(name)
    if piece is not None and 0 < int(piece[1]) * _UNITS[piece[2]] <= LONGEST_CHUNK:
        return PieceChunker(name, int(piece[1]) * _UNITS[piece[2]])
    plain, colon, width = name.partition(":of-")
    if colon and width in {"2", "4", "8"}:
        inner = resolve_chunker(plain)
        if isinstance(inner, GearChunker):
            return ElementChunker(name, inner, int(width))
    match = _NAME.fullmatch(name)
    if match is None:
        raise UnknownName(f"chunker {name!r} is not known")
    low, average, high = (int(match[i]) * _UNITS[match[i + 1]] for i in (1, 3, 5))
    if not WINDOW <= low <= average <= high <= LONGEST_CHUNK:
        raise UnknownName(f"chunker {name!r}: sizes must ascend from {WINDOW} bytes to {LONGEST_CHUNK} bytes")
    return GearChunker(name, low, average, high)


def chunker_for(size_bytes: int) -> str:
    """Return the stored name of the chunker for a file of *size_bytes*: a pure function of the size.

    Versions of a file on different sides of 1 GiB or 64 GiB share no chunks; within a class they do.
    """
    if size_bytes > 64 * GIB:
        return HUGE
    return LARGE if size_bytes > GIB else SMALL


def chunker_of(region: Region, size_bytes: int) -> Chunker:
    """Return the chunker for *region* of a file of *size_bytes*: by its kind, and for generic bytes by the size.

    Tensors that have a name are weights, and change in place; arrays that have none are data.
    """
    if region.kind == "tensor" and not region.name:
        width = WIDTHS.get(region.element, 1)
        return resolve_chunker(ARRAY if width == 1 else f"{ARRAY}:of-{width}")
    if region.kind == "tensor":
        return resolve_chunker(_PIECES_OF_ELEMENT.get(region.element, "pieces-1:4m"))
    return resolve_chunker(_OF_KIND.get(region.kind) or chunker_for(size_bytes))


@cache
def _arrays(chunker: GearChunker) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return sizes and thresholds as the kernel takes them."""
    return np.array(chunker.sizes, dtype=np.int64), np.array(chunker.thresholds, dtype=np.uint64)


@cache
def _gear_cuts() -> _GearCuts:
    return cast(_GearCuts, importlib.import_module("dedup.kernels.gear").gear_cuts)
