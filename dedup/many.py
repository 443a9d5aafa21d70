"""Small files, many at once: what they are, where they are cut, and their names, with a call for all instead of each.

Used by migrate for the files of a folder that were read into one buffer. The outcome for each is what dedup.segment
and dedup.ingest.ingest_whole give it alone, which a property test holds; files with parts go that way here, too.
"""

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dedup.chunkers import MEDIA, SMALL, GearChunker, chunker_of, resolve_chunker
from dedup.fingerprint import FingerprintFunction, digest
from dedup.formats import media, text
from dedup.formats.records import AVERAGE, LONGEST, RECORD
from dedup.formats.segmentation import HEAD_BYTES, SMALLEST_BYTES, plain_kind, segment, segment_head
from dedup.ingest import Cutting, Ingested, Piece, ingest_whole
from dedup.values import ChunkPart, Region, Span

LONGEST_BYTES = 1 << 20
"""Of a file that ingest_many() takes: all such are cut by one chunker, whatever their size."""

_KINDS = ("generic", "text", "media")
_ASK = len(_KINDS)
_PARTS = -1
# The columns of the kernel's table of files; the second is the length.
_START, _KIND, _COUNT = 0, 2, 3
_IS_TEXT, _MAY_BE_MEDIA = 1, 2


class Member(NamedTuple):
    """One file in the buffer."""

    start: int
    length: int
    name: bytes
    """Without folders."""
    origin: object
    """See Piece."""
    regions: Sequence[Region] = ()
    """What it is known to be made of; none: it is looked at."""


def ingest_many(
    buffer: memoryview, members: Sequence[Member], fingerprint: FingerprintFunction
) -> tuple[list[Ingested], list[Piece]]:
    """Return parts and digest of each of *members*, in order, and the pieces of all, in order: views of *buffer*."""
    data = np.frombuffer(buffer, dtype=np.uint8)
    files = np.array([(member.start, member.length, 0, 0) for member in members], dtype=np.int64).reshape(-1, 4)
    _kernel().find_kinds(data, files, _marks(), _bounds())
    kinds, regions = _kinds(buffer, members, files[:, _KIND].tolist())
    files[:, _KIND] = kinds
    plain = files[files[:, _KIND] != _PARTS]
    ends = _kernel().find_cuts(data, plain, *_chunkers())
    chunks, views, offsets = _chunks(buffer, plain, ends, fingerprint)
    count_of = iter(plain[:, _COUNT].tolist())
    found: list[Ingested] = []
    pieces: list[Piece] = []
    at = 0
    for member, kind, parted in zip(members, kinds, regions, strict=True):
        if kind == _PARTS:
            view = buffer[member.start : member.start + member.length]
            result, cut = ingest_whole(view, Cutting(_small_chunker, fingerprint, member.origin, parted))
            found.append(result)
            pieces += cut
            continue
        count = next(count_of)
        region = Region(Span(0, member.length), _KINDS[kind])
        if count == 1:
            chunk = chunks[at]
            found.append(Ingested((chunk,), chunk.digest))
            pieces.append(Piece(chunk, views[at], region, 0, member.origin))
        else:
            end = at + count
            whole = buffer[member.start : member.start + member.length]
            found.append(Ingested(tuple(chunks[at:end]), digest(whole)))
            for number in range(at, end):
                pieces.append(Piece(chunks[number], views[number], region, offsets[number], member.origin))
        at += count
    return found, pieces


def _kinds(buffer: memoryview, members: Sequence[Member], kinds: list[int]) -> tuple[list[int], list[Sequence[Region]]]:
    """Return the kind of each file, _PARTS for one that is more than one region, and then its regions."""
    regions: list[Sequence[Region]] = [()] * len(kinds)
    for number, member in enumerate(members):
        if member.regions:
            kinds[number], regions[number] = _PARTS, member.regions
        elif kinds[number] == _ASK:
            found = regions_of(buffer[member.start : member.start + member.length], member.name)
            if len(found) > 1 or (found and (found[0].kind not in _KINDS or found[0].wrap)):
                kinds[number], regions[number] = _PARTS, found
            else:
                kinds[number] = _KINDS.index(found[0].kind) if found else 0
    return kinds, regions


def _chunks(
    buffer: memoryview, files: NDArray[np.int64], ends: NDArray[np.int64], fingerprint: FingerprintFunction
) -> tuple[list[ChunkPart], list[memoryview], list[int]]:
    """Return all chunks, their bytes, and where each begins in its file."""
    counts = files[:, _COUNT]
    firsts = np.cumsum(counts) - counts
    offsets = np.zeros_like(ends)
    offsets[1:] = ends[:-1]
    offsets[firsts[counts > 0]] = 0
    base = np.repeat(files[:, _START], counts)
    begins, stops = (base + offsets).tolist(), (base + ends).tolist()
    views = [buffer[begin:stop] for begin, stop in zip(begins, stops, strict=True)]
    lengths = (ends - offsets).tolist()
    return list(map(ChunkPart, map(fingerprint, views), map(digest, views), lengths)), views, offsets.tolist()


def regions_of(data: memoryview, name: bytes) -> Sequence[Region]:
    """Return what a small file is made of; nothing for one that is generic throughout."""
    head = bytes(data[:HEAD_BYTES])
    if segment_head(head, len(data), name):
        return segment(_InMemory(data), name=name) or ()
    kind = plain_kind(head)
    return () if kind == "generic" or not head else (Region(Span(0, len(data)), kind),)


class _InMemory(NamedTuple):
    """A small file as a dedup RandomSource."""

    data: memoryview

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])


def _small_chunker(region: Region) -> Any:
    return chunker_of(region, LONGEST_BYTES)


@cache
def _marks() -> NDArray[np.uint8]:
    marks = np.zeros(256, dtype=np.uint8)
    marks[list(text.ALLOWED)] |= _IS_TEXT
    marks[list(media.FIRST_BYTES)] |= _MAY_BE_MEDIA
    return marks


@cache
def _bounds() -> NDArray[np.int64]:
    return np.array((HEAD_BYTES, SMALLEST_BYTES), dtype=np.int64)


@cache
def _chunkers() -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return sizes and thresholds of the chunkers of _KINDS, as the kernel takes them."""
    generic, packed = resolve_chunker(SMALL), resolve_chunker(MEDIA)
    if not isinstance(generic, GearChunker) or not isinstance(packed, GearChunker):
        raise TypeError("small files are cut by gear")
    sizes = (*generic.sizes, RECORD, AVERAGE, LONGEST, *packed.sizes)
    thresholds = (*generic.thresholds, 0, 0, *packed.thresholds)
    return np.array(sizes, dtype=np.int64), np.array(thresholds, dtype=np.uint64)


@cache
def _kernel() -> Any:
    return importlib.import_module("dedup.kernels.plain")
