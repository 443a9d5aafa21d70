"""Small files, many at once: what they are, where they are cut, and their names, with a call for all instead of each.

Used by migrate for the files of a folder that were read into one buffer. The outcome for each is what dedup.segment
and dedup.ingest.ingest_whole give it alone, which a property test holds; files with parts go that way here, too.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, chain, compress, islice, repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dedup.chunkers import MEDIA, SMALL, GearChunker, chunker_of, resolve_chunker
from dedup.familiar import LEAST_BYTES, Familiar, Stretch
from dedup.fingerprint import Buffer, FingerprintFunction, digest
from dedup.formats import media, onnx, text
from dedup.formats.records import AVERAGE, LONGEST, RECORD, RECORDS
from dedup.formats.segmentation import FIRST_BYTES, HEAD_BYTES, SMALLEST_BYTES, plain_kind, segment
from dedup.ingest import Cutting, Pieces, ingest_whole, named
from dedup.values import ChunkPart, Digest, Part, Region, Span, chunks_of

LONGEST_BYTES = 1 << 20
"""Of a file that ingest_many() takes: all such are cut by one chunker, whatever their size."""

_KINDS = ("generic", "text", "media")
_NAMES = (SMALL, RECORDS.name, MEDIA)
"""Of the chunkers of _KINDS."""
_ASK = len(_KINDS)
_WHOLE = tuple(Region(Span(0, LONGEST_BYTES), kind) for kind in _KINDS)
# The columns of the kernel's table of files.
_START, _LENGTH, _KIND, _COUNT = range(4)
_COLUMNS = 4
# What a byte can do, for the kernel.
_IN_TEXT, _FIRST_OF_MEDIUM, _SECOND_OF_MEDIUM, _FIRST_OF_PARTS = 1, 2, 4, 8


@dataclass(slots=True)
class Members:
    """Files in the buffer, a column for each thing that is known of them."""

    starts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    """Without folders."""
    origins: list[object] = field(default_factory=list)
    """See Piece."""
    regions: dict[int, Sequence[Region]] = field(default_factory=dict)
    """By the file's number: what it is known to be made of. Any other is looked at."""


class Many(NamedTuple):
    """What files are made of, in order."""

    parts: list[tuple[Part, ...]]
    digests: list[Digest]
    """Of whole files."""
    pieces: Pieces
    """Of all files, in order: views of the buffer. Of a file that is one region *regions* tell the kind alone."""


def ingest_many(
    buffer: memoryview, members: Members, fingerprint: FingerprintFunction, familiar: Familiar | None = None
) -> Many:
    """Return parts, digests and pieces of *members*; for *familiar* see Cutting."""
    data = np.frombuffer(buffer, dtype=np.uint8)
    files = np.zeros((len(members.starts), _COLUMNS), dtype=np.int64)
    files[:, _START], files[:, _LENGTH] = members.starts, members.lengths
    _kernel().find_kinds(data, files, _marks(), _bounds())
    kinds, parted = _kinds(buffer, members, files[:, _KIND].tolist())
    files[:, _KIND] = kinds
    plain = _Plain(buffer, fingerprint, familiar)
    if not parted:
        return plain.ingest(members, files)
    found = Many([], [], Pieces())
    at = 0
    for number in (*sorted(parted), len(kinds)):
        if number > at:
            _add(found, plain.ingest(_between(members, at, number), files[at:number]))
        if number in parted:
            start, origin = members.starts[number], members.origins[number]
            cutting = Cutting(_small_chunker, fingerprint, origin, parted[number], familiar=familiar)
            result, cut = ingest_whole(buffer[start : start + members.lengths[number]], cutting)
            _add(found, Many([result.parts], [result.digest], cut))
        at = number + 1
    return found


def _between(members: Members, first: int, end: int) -> Members:
    """Return some of *members*, none of which has parts."""
    part = slice(first, end)
    return Members(members.starts[part], members.lengths[part], members.names[part], members.origins[part])


def _add(found: Many, more: Many) -> None:
    found.parts.extend(more.parts)
    found.digests.extend(more.digests)
    pieces = found.pieces
    pieces += more.pieces


@dataclass(frozen=True, slots=True)
class _Plain:
    """Ingests files that are one region each."""

    buffer: memoryview
    fingerprint: FingerprintFunction
    familiar: Familiar | None

    def ingest(self, members: Members, files: NDArray[np.int64]) -> Many:
        """Return what *files*, the rows of *members*, are made of."""
        stretches = self._stretches(files) if self.familiar is not None else {}
        known = self._known(stretches)
        files = files.copy()
        files[list(known), _LENGTH] = 0  # nothing to cut
        ends = _kernel().find_cuts(np.frombuffer(self.buffer, dtype=np.uint8), files, *_chunkers())
        if known:
            ends = _with_known(ends, files, known)
        counts = files[:, _COUNT]
        lasts = np.cumsum(counts)
        firsts = lasts - counts
        offsets = np.zeros_like(ends)
        offsets[1:] = ends[:-1]
        offsets[firsts[counts > 0]] = 0
        base = np.repeat(files[:, _START], counts)
        views: list[Buffer] = [
            self.buffer[begin:end] for begin, end in zip((base + offsets).tolist(), (base + ends).tolist(), strict=True)
        ]
        chunks = self._chunks(views, counts.tolist(), known)
        parts: list[tuple[Part, ...]] = []
        wholes: list[Digest] = []
        for number, (first, last) in enumerate(zip(firsts.tolist(), lasts.tolist(), strict=True)):
            mine = tuple(chunks[first:last])
            parts.append(mine)
            if last - first == 1:
                wholes.append(mine[0][1])  # by position: its digest
            elif number in stretches:
                wholes.append(stretches[number].prefix)
            else:
                start = members.starts[number]
                wholes.append(digest(self.buffer[start : start + members.lengths[number]]))
        if self.familiar is not None:
            for number, stretch in stretches.items():
                if number not in known:
                    self.familiar.add(stretch, chunks_of(parts[number]))
        regions = list(map(_WHOLE.__getitem__, np.repeat(files[:, _KIND], counts).tolist()))
        origins = list(chain.from_iterable(map(repeat, members.origins, counts.tolist())))
        return Many(parts, wholes, Pieces(chunks, views, regions, offsets.tolist(), origins))

    def _stretches(self, files: NDArray[np.int64]) -> dict[int, Stretch]:
        """Return the longer ones of *files*, by number."""
        numbers = np.flatnonzero(files[:, _LENGTH] >= LEAST_BYTES)
        found: dict[int, Stretch] = {}
        for number, (start, length, kind, _) in zip(numbers.tolist(), files[numbers].tolist(), strict=True):
            whole = digest(self.buffer[start : start + length])
            found[number] = Stretch(whole, 0, length, _NAMES[kind], True)
        return found

    def _known(self, stretches: Mapping[int, Stretch]) -> dict[int, list[ChunkPart]]:
        """Return the chunks of those that were cut before, by number."""
        if self.familiar is None:
            return {}
        found = {number: self.familiar.chunks(stretch) for number, stretch in stretches.items()}
        return {number: chunks for number, chunks in found.items() if chunks is not None}

    def _chunks(
        self, views: Sequence[Buffer], counts: Sequence[int], known: Mapping[int, Sequence[ChunkPart]]
    ) -> list[ChunkPart]:
        """Return the chunk of each of *views*, of which each file has as many as *counts* says."""
        if not known:
            return named(views, self.fingerprint)
        is_new = chain.from_iterable([repeat(number not in known, count) for number, count in enumerate(counts)])
        new = iter(named(list(compress(views, is_new)), self.fingerprint))
        chunks: list[ChunkPart] = []
        for number, count in enumerate(counts):
            chunks += known[number] if number in known else islice(new, count)
        return chunks


def _with_known(ends: NDArray[np.int64], files: NDArray[np.int64], known: Mapping[int, Sequence[ChunkPart]]) -> Any:
    """Return *ends* with those of *known* files, which have none, and fill in their COUNT."""
    numbers, counts = list(known), [len(chunks) for chunks in known.values()]
    at = np.repeat(np.cumsum(files[:, _COUNT])[numbers], counts)
    files[numbers, _COUNT] = counts
    added = [accumulate([chunk[2] for chunk in chunks]) for chunks in known.values()]
    return np.insert(ends, at, list(chain.from_iterable(added)))


def _kinds(buffer: memoryview, members: Members, kinds: list[int]) -> tuple[list[int], dict[int, Sequence[Region]]]:
    """Return the kind of each file, and by their numbers the regions of those that are more than one of a kind."""
    parted = dict(members.regions)
    for number, kind in enumerate(kinds):
        if number in parted:
            kinds[number] = 0
        elif kind == _ASK or members.names[number].endswith(onnx.SUFFIX):
            start = members.starts[number]
            found = regions_of(buffer[start : start + members.lengths[number]], members.names[number])
            kinds[number] = 0
            if len(found) > 1 or (found and (found[0].kind not in _KINDS or found[0].wrap)):
                parted[number] = found
            elif found:
                kinds[number] = _KINDS.index(found[0].kind)
    return kinds, parted


def regions_of(data: memoryview, name: bytes) -> Sequence[Region]:
    """Return what a small file is made of; nothing for one that is generic throughout."""
    if len(data) >= SMALLEST_BYTES:
        return segment(_InMemory(data), name=name) or ()
    head = bytes(data[:HEAD_BYTES])
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
    marks[list(text.ALLOWED)] |= _IN_TEXT
    marks[list(media.FIRST_BYTES)] |= _FIRST_OF_MEDIUM
    marks[list(media.SECOND_BYTES)] |= _SECOND_OF_MEDIUM
    marks[list(FIRST_BYTES)] |= _FIRST_OF_PARTS
    return marks


@cache
def _bounds() -> NDArray[np.int64]:
    return np.array((HEAD_BYTES, SMALLEST_BYTES, text.SAMPLES), dtype=np.int64)


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
