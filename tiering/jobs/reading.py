"""Reads files for one batch: held still, cut, fingerprinted and digested; what is new goes into blocks and packs.

Used by tiering.jobs.batch, from several threads at once. Small files are read a group at a time, long ones in windows.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from dedup.blocks import Gatherer, Newcomers, RawBlock, code
from dedup.buffers import thread_buffer
from dedup.chunkers import chunker_for, chunker_of
from dedup.codecs import GIVEN
from dedup.errors import CorruptChunk, ShortRead
from dedup.fingerprint import FingerprintFunction
from dedup.formats.segmentation import HEAD_BYTES, plain_kind, segment, segment_head
from dedup.ingest import Cutting, Piece, ingest, ingest_whole
from dedup.references import FileReferences, Shelf
from dedup.values import Extent, Region, Span
from policies.globs import matches
from tiering.errors import IntegrityError, SourceChanged, SourceError, SourceRefused
from tiering.hot.lease import OneLease
from tiering.hot.refusal import Surroundings
from tiering.hot.small_files import Folder
from tiering.hot.source import Source, open_source
from tiering.jobs.context import Context
from tiering.jobs.crew import Crew
from tiering.jobs.outgoing import SMALL_BYTES, BatchOutcome, Outgoing, Stopped, Wanted, display_path, links_refusal
from tiering.jobs.packing import Packer
from tiering.jobs.references import SourceBytes, hot_file

# A stop lets files up to this size finish (a second or two) and gives longer ones up.
FINISHED_ON_STOP_BYTES = 256 << 20

_small_chunker = partial(chunker_of, size_bytes=SMALL_BYTES)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for one batch. Thread-safe: what threads share are lists that only grow."""

    ctx: Context
    packer: Packer
    newcomers: Newcomers
    fingerprint: FingerprintFunction
    shelf: Shelf
    """Gets the models that are read, and offers them as references."""
    outcome: BatchOutcome
    """Gets what is skipped, left and read."""
    until_s: float
    """On the monotonic clock: later than that no group is begun."""
    outgoing: list[Outgoing] = field(default_factory=list)
    """What was read, in no order."""

    def read_groups(self, crew: Crew[list[Wanted], RawBlock], groups: Iterable[list[Wanted]]) -> None:
        """Read groups until there are none, or time is up; one thread's work. Raises what ends the job."""
        gatherer = Gatherer(self.newcomers, crew.offer)
        given_up = partial(getattr, crew, "has_failed")
        for group in groups:
            if self._is_over():
                self.outcome.left.extend(group)
                break
            if group[0].row.size > SMALL_BYTES:
                self._read_in_turn(group, gatherer, given_up)
            else:
                self._read_small(group, gatherer, given_up)
        if not crew.has_failed:
            gatherer.flush()

    def code(self, block: RawBlock) -> None:
        """Code one block and pack it."""
        try:
            done = code(block, effort=self.ctx.config.chunking.effort)
        except CorruptChunk as error:
            raise IntegrityError(
                str(error),
                now="nothing of this batch was committed; the files are untouched",
                hint="suspect this machine's memory or its zstandard library",
            ) from error
        if done is not None:
            self.packer.add(done.coded, len(block.raw), block.chunks, done.base)

    def _is_over(self) -> bool:
        return self.ctx.stop.is_set() or self.ctx.clock.monotonic_s() >= self.until_s

    def _read_small(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read the files of *group* into one buffer, then ask once which of their chunks are new."""
        buffer = thread_buffer(sum(item.row.size for item in group))
        pieces: list[Piece] = []
        done: list[Outgoing] = []
        long: list[Wanted] = []
        with _Folders(self.ctx) as folders:
            at = 0
            for number, wanted in enumerate(group):
                if self.ctx.stop.is_set() or given_up():
                    self.outcome.left.extend(group[number:])
                    break
                view = buffer[at : at + wanted.row.size]
                at += wanted.row.size
                try:
                    outgoing = self._described(folders, wanted, view, pieces)
                except (SourceError, OSError) as error:
                    self.outcome.skip(wanted, error)
                else:
                    if outgoing is None:
                        long.append(wanted)
                        continue
                    done.append(outgoing)
                self.ctx.progress.advance(byte_count=len(view), files=1)
        gatherer.take(pieces)
        self.outgoing.extend(done)
        for wanted in long:
            self._read_long(wanted, gatherer, given_up)

    def _described(self, folders: "_Folders", wanted: Wanted, view: memoryview, pieces: list[Piece]) -> Outgoing | None:
        """Read one small file and add its pieces; None if it has holes, which only the long way respects."""
        identity = wanted.identity
        folder = folders.of(wanted)
        found = folder.read(wanted.row.name, identity, view, names_known=1 + len(wanted.links))
        if wanted.links and (reason := links_refusal(wanted)):
            raise SourceRefused(f"{self._shown(wanted)} {reason}")
        if found.has_holes:
            return None
        regions = self._given(wanted) or _regions_of(view, wanted.row.name)
        result, cut = ingest_whole(view, Cutting(_small_chunker, self.fingerprint, _Shown(self.ctx, wanted), regions))
        pieces += cut
        name = chunker_for(len(view))
        return Outgoing(wanted, identity, result.parts, result.digest, found.meta, name, found.has_lease)

    def _read_in_turn(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read long files one after another: a later one may be coded against an earlier."""
        for number, wanted in enumerate(group):
            if self._is_over() or given_up():
                self.outcome.left.extend(group[number:])
                return
            self._read_long(wanted, gatherer, given_up)

    def _read_long(self, wanted: Wanted, gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        try:
            self.outgoing.append(self._ingested(wanted, gatherer, given_up))
        except Stopped:
            self.outcome.left.append(wanted)
            return
        except (SourceError, OSError) as error:
            self.outcome.skip(wanted, error)
        self.ctx.progress.advance(files=1)

    def _ingested(self, wanted: Wanted, gatherer: Gatherer, given_up: Callable[[], bool]) -> Outgoing:
        row = wanted.row
        with open_source(self.ctx.root(row.root_id).path, row.dir, row.name, expect=wanted.identity) as source:
            refused = source.refusal(names_known=1 + len(wanted.links)) or links_refusal(wanted)
            if refused:
                raise SourceRefused(f"{source.path} {refused}")

            def before_read() -> None:
                if given_up() or (self.ctx.stop.is_set() and source.size > FINISHED_ON_STOP_BYTES):
                    raise Stopped(f"{source.path} was being read when the job was asked to stop")
                source.check()

            regions = self._given(wanted) or segment(SourceBytes(source), name=row.name) or ()
            references = self._references(wanted, regions)
            chunkers = partial(chunker_of, size_bytes=source.size)
            cutting = Cutting(chunkers, self.fingerprint, source.path, regions)
            take = partial(gatherer.take, references=references, again=wanted.is_again)
            try:
                result = ingest(_Counted(source, self.ctx), cutting, take=take, before_read=before_read)
            except ShortRead as error:
                raise SourceChanged(f"{source.path} became shorter while it was read") from error
            meta = source.meta()  # checks once more: all that was read is one state of the file
            if references is not None:
                self.shelf.put(references.model)
            source.drop_cache()
            name = chunker_for(source.size)
            return Outgoing(wanted, source.identity, result.parts, result.digest, meta, name, source.has_lease)

    def _given(self, wanted: Wanted) -> Sequence[Region]:
        """Return the whole of a file whose codec is prescribed as one region; nothing for any other."""
        codecs = self.ctx.config.chunking.codecs
        if not codecs or not wanted.row.size:
            return ()
        path = os.fsdecode(wanted.row.path)
        codec = next((codec for pattern, codec in codecs.items() if matches(pattern, path)), "")
        return (Region(Span(0, wanted.row.size), GIVEN, codec),) if codec else ()

    def _references(self, wanted: Wanted, regions: Sequence[Region]) -> FileReferences | None:
        """Return what the tensors of a file may be coded against; None for one without named tensors."""
        if not any(region.name for region in regions):
            return None
        hot = hot_file(self.ctx, wanted)
        return self.shelf.for_file(os.path.join(hot.root, wanted.row.path), regions, hot.read_at)

    def _shown(self, wanted: Wanted) -> str:
        return display_path(self.ctx.root(wanted.row.root_id), wanted.row)


def _regions_of(data: memoryview, name: bytes) -> Sequence[Region]:
    """Return what a small file is made of; nothing for one that is generic throughout."""
    head = bytes(data[:HEAD_BYTES])
    if segment_head(head, len(data), name):
        return segment(_InMemory(data), name=name) or ()
    kind = plain_kind(head)
    return () if kind == "generic" or not head else (Region(Span(0, len(data)), kind),)


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A small file as a dedup RandomSource."""

    data: memoryview

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.data[offset : offset + length])


@dataclass(frozen=True, slots=True)
class _Shown:
    """A file's path, made only when somebody wants to read it."""

    ctx: Context
    wanted: Wanted

    def __str__(self) -> str:
        return display_path(self.ctx.root(self.wanted.row.root_id), self.wanted.row)


class _Folders:
    """The folder in hand, under one lease for one file after another. A context manager."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._surroundings = Surroundings()
        self._stack = ExitStack()
        self._lease = OneLease()
        self._folder: Folder | None = None
        self._place: tuple[int, bytes] | None = None

    def __enter__(self) -> Self:
        self._stack.enter_context(self._lease.watching())
        self._stack.callback(self._close)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def of(self, wanted: Wanted) -> Folder:
        """Return the folder of *wanted*, open. Raises SourceError."""
        row = wanted.row
        place = (row.root_id, row.dir)
        if self._folder is None or place != self._place:
            self._close()
            self._folder = Folder(self._ctx.root(row.root_id).path, row.dir, self._surroundings, self._lease)
            self._place = place
        return self._folder

    def _close(self) -> None:
        if self._folder is not None:
            self._folder.close()
            self._folder = None


@dataclass(frozen=True, slots=True)
class _Counted:
    """A source that tells the progress what is read of it."""

    source: Source
    ctx: Context

    @property
    def size(self) -> int:
        return self.source.size

    def extents(self) -> Iterable[Extent]:
        return self.source.extents()

    def readinto(self, buffer: memoryview, offset: int) -> int:
        count = self.source.readinto(buffer, offset)
        self.ctx.progress.advance(byte_count=count)
        return count
