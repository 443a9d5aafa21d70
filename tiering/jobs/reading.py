"""Reads files for one batch: held still, cut, fingerprinted and digested; what is new goes into blocks and packs.

Used by tiering.jobs.batch, from several threads at once. Small files are read a group at a time, long ones in windows.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, groupby, repeat
from typing import NamedTuple, Self, cast

from dedup.blocks import Gatherer, Newcomers, RawBlock
from dedup.buffers import thread_buffer
from dedup.chunkers import chunker_for, chunker_of
from dedup.codecs import GIVEN
from dedup.errors import ShortRead
from dedup.familiar import Familiar
from dedup.fingerprint import FingerprintFunction
from dedup.formats.segmentation import segment
from dedup.ingest import Cutting, ingest
from dedup.many import Members, ingest_many
from dedup.references import FileReferences, Shelf
from dedup.values import FileMeta, Region, Span, made_of
from policies.globs import matches
from policies.units import unit_of
from tiering.errors import SourceChanged, SourceError, SourceRefused
from tiering.hot.identity import Identity
from tiering.hot.lease import OneLease
from tiering.hot.refusal import Surroundings
from tiering.hot.small_files import Folder, SmallFile
from tiering.hot.source import open_source
from tiering.jobs.context import Context
from tiering.jobs.counted import Counted
from tiering.jobs.group_reading import coded, is_over
from tiering.jobs.outgoing import (
    SMALL_BYTES,
    BatchOutcome,
    Outgoing,
    Stopped,
    Wanted,
    display_path,
    is_model,
    links_refusal,
)
from tiering.jobs.packing import UNIT_SHARE, Packer
from tiering.jobs.references import SourceBytes, hot_file

# A stop lets files up to this size finish (a second or two) and gives longer ones up.
FINISHED_ON_STOP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for one batch. Thread-safe: what threads share are lists that only grow."""

    ctx: Context
    packer: Packer
    newcomers: Newcomers
    fingerprint: FingerprintFunction
    shelf: Shelf
    """Gets the models that are read, and offers them as references."""
    familiar: Familiar
    """What this run has cut."""
    outcome: BatchOutcome
    """Gets what is skipped, left and read."""
    until_s: float
    """On the monotonic clock: later than that no group is begun."""
    outgoing: list[Outgoing] = field(default_factory=list)
    """What was read, in no order."""

    def code(self, block: RawBlock) -> None:
        """Code one block and pack it."""
        done = coded(block, self.ctx.config.chunking.effort, untouched="files")
        if done is not None:
            unit = block.origin.unit if isinstance(block.origin, _Shown) else b""
            self.packer.add(done.coded, len(block.raw), block.chunks, done.base, unit=unit)

    def _unit(self, wanted: Wanted) -> bytes:
        """Return what the blocks of a model should share packs with: its checkpoint, or a long one by itself; else b"".

        Models are read one after another, so that few units are in work at a time.
        """
        if not is_model(wanted):
            return b""
        row = wanted.row
        unit = unit_of(row.dir, row.name)
        is_long = row.size >= UNIT_SHARE * self.ctx.config.chunking.pack_bytes
        return unit if is_long or unit != row.path else b""

    def read_small(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read the files of *group* into one buffer, then ask once which of their chunks are new."""
        buffer = thread_buffer(sum(item.row.size for item in group))
        read = _Read()
        with_holes: list[Wanted] = []
        at = number = 0
        with _Folders(self.ctx) as folders:
            for place, same in groupby(group, key=_place):
                if self.ctx.stop.is_set() or given_up():
                    self.outcome.left.extend(group[number:])
                    break
                items = list(same)
                number += len(items)
                at = self._read_folder(folders, place, items, _Room(buffer, at, read, with_holes))
        self._take(buffer, read, gatherer)
        for wanted in with_holes:  # only the long way respects them
            self._read_long(wanted, gatherer, given_up)

    def _read_folder(
        self, folders: "_Folders", place: tuple[int, bytes], items: Sequence[Wanted], room: "_Room"
    ) -> int:
        """Read the files of one folder, one behind the other, and return where the last one's place ends; those that
        cannot be read are skipped.
        """
        buffer, at, read, with_holes = room
        identities = [wanted.identity for wanted in items]
        starts = list(accumulate([identity.size for identity in identities], initial=at))
        end = starts[-1]
        quickly: Sequence[SmallFile | None] = [None] * len(items)
        try:
            names = [wanted.row.name for wanted in items]
            quickly = folders.of(place).read_ordinary(names, identities, buffer[at:end])
        except (SourceError, OSError):
            pass  # each file says so for itself
        if None not in quickly and not any(wanted.links for wanted in items):
            read.extend(items, identities, starts, cast("Sequence[SmallFile]", quickly))
            self.ctx.progress.advance(byte_count=end - at, files=len(items))
            return end
        done_bytes = done_files = 0
        for number, (wanted, identity, found) in enumerate(zip(items, identities, quickly, strict=True)):
            if found is None or wanted.links:
                if self.ctx.stop.is_set():
                    self.outcome.left.extend(items[number:])
                    break
                try:
                    view = buffer[starts[number] : starts[number + 1]]
                    found = self._read_slowly(folders, wanted, view)  # noqa: PLW2901  # found at last
                except (SourceError, OSError) as error:
                    self.outcome.skip(wanted, error)
                if found is not None and found.has_holes:
                    with_holes.append(wanted)
                    continue
            if found is not None:
                read.extend([wanted], [identity], [starts[number]], [found])
            done_bytes += identity.size
            done_files += 1
        self.ctx.progress.advance(byte_count=done_bytes, files=done_files)
        return end

    def _read_slowly(self, folders: "_Folders", wanted: Wanted, view: memoryview) -> SmallFile:
        with folders.watched():
            found = folders.of(_place(wanted)).read(
                wanted.row.name, wanted.identity, view, names_known=1 + len(wanted.links)
            )
        if wanted.links and (reason := links_refusal(wanted)):
            raise SourceRefused(f"{self._shown(wanted)} {reason}")
        return found

    def _take(self, buffer: memoryview, read: "_Read", gatherer: Gatherer) -> None:
        """Cut and name what was read, and hand it over."""
        members = Members(
            starts=read.starts,
            lengths=[wanted.row.size for wanted in read.wanted],
            names=[wanted.row.name for wanted in read.wanted],
            origins=list(made_of(_Shown, (repeat(self.ctx), read.wanted, repeat(b"")))),
        )
        if self.ctx.config.chunking.codecs:
            given = ((number, self._given(wanted)) for number, wanted in enumerate(read.wanted))
            members.regions = {number: regions for number, regions in given if regions}
        found = ingest_many(buffer, members, self.fingerprint, self.familiar)
        gatherer.take(found.pieces)
        name = repeat(chunker_for(SMALL_BYTES))
        columns = (read.wanted, read.identities, found.parts, found.digests, read.metas, name, read.have_lease)
        self.outgoing.extend(made_of(Outgoing, columns))

    def read_in_turn(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read long files one after another: a later one may be coded against an earlier."""
        for number, wanted in enumerate(group):
            if is_over(self) or given_up():
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
            shown = _Shown(self.ctx, wanted, self._unit(wanted))
            cutting = Cutting(chunkers, self.fingerprint, shown, regions, familiar=self.familiar)
            take = partial(gatherer.take, references=references, again=wanted.is_again)
            try:
                result = ingest(Counted(source, self.ctx.progress), cutting, take=take, before_read=before_read)
            except ShortRead as error:
                raise SourceChanged(f"{source.path} became shorter while it was read") from error
            meta = source.meta()  # checks once more: all that was read is one state of the file
            if references is not None:
                self.shelf.put(references.model)
            if shown.unit:
                gatherer.flush()  # its last block is not to be shared with the next one's first
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


@dataclass(slots=True)
class _Read:
    """Small files whose bytes are in a buffer, in columns."""

    wanted: list[Wanted] = field(default_factory=list)
    identities: list[Identity] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """The first byte of each in the buffer."""
    metas: list[FileMeta] = field(default_factory=list)
    have_lease: list[bool] = field(default_factory=list)

    def extend(
        self,
        wanted: Sequence[Wanted],
        identities: Sequence[Identity],
        starts: Sequence[int],
        found: Sequence[SmallFile],
    ) -> None:
        """Add files; of *starts* there may be one more."""
        metas, have_lease, _ = zip(*found, strict=True)
        self.wanted += wanted
        self.identities += identities
        self.starts += starts[: len(wanted)]
        self.metas += metas
        self.have_lease += have_lease


class _Room(NamedTuple):
    """Where the files of a folder go."""

    buffer: memoryview
    start: int
    """The first byte that is free."""
    read: _Read
    with_holes: list[Wanted]
    """Gets those that are to be read another way."""


def _place(wanted: Wanted) -> tuple[int, bytes]:
    row = wanted.row
    return row.root_id, row.dir


class _Shown(NamedTuple):
    """A file's path, made only when somebody wants to read it."""

    ctx: Context
    wanted: Wanted
    unit: bytes = b""
    """What its blocks should share packs with; b"" for none."""

    def __str__(self) -> str:
        return display_path(self.ctx.root(self.wanted.row.root_id), self.wanted.row)


class _Folders:
    """The folder in hand, under one lease for one file after another. A context manager."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._surroundings = Surroundings()
        self._lease = OneLease()
        self._folder: Folder | None = None
        self._place: tuple[int, bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def of(self, place: tuple[int, bytes]) -> Folder:
        """Return the folder that is (root, path), open. Raises SourceError."""
        if self._folder is None or place != self._place:
            self._close()
            root_id, path = place
            self._folder = Folder(self._ctx.root(root_id).path, path, self._surroundings, self._lease)
            self._place = place
        return self._folder

    def watched(self) -> AbstractContextManager[OneLease]:
        """Let the lease be watched for a while: it is going to be held for as long as a disk takes."""
        return self._lease.watching()

    def _close(self) -> None:
        if self._folder is not None:
            self._folder.close()
            self._folder = None
