"""Reads objects for one batch of ingest: cut, fingerprinted and digested as files are; what is new goes into blocks.

Used by object_batch, from several threads at once. The same chunkers, names and blocks as for files: an object and a
file share chunks. Small objects are asked for a group at a time, side by side; long ones in parts, a few ahead.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from dedup.blocks import Gatherer, Newcomers, RawBlock
from dedup.chunkers import chunker_for, chunker_of
from dedup.errors import ShortRead
from dedup.fingerprint import FingerprintFunction
from dedup.formats.segmentation import segment
from dedup.ingest import Cutting, Ingested, Pieces, ingest, ingest_whole
from dedup.many import regions_of
from dedup.references import FileReferences, Shelf
from dedup.values import FileMeta, Region
from tiering.errors import SourceChanged, SourceError, SourceRefused
from tiering.jobs.context import Context
from tiering.jobs.counted import Counted
from tiering.jobs.group_reading import coded, is_over
from tiering.jobs.object_source import Fetcher, ObjectAgain, ObjectBytes, check_md5
from tiering.jobs.object_words import meta_of
from tiering.jobs.outgoing import SMALL_BYTES, BatchOutcome, Outgoing, Stopped, Wanted
from tiering.jobs.packing import Packer
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.originals import Fetched
from tiering.stores.s3_bucket import Look

FREE_TO_READ = frozenset({"STANDARD", "REDUCED_REDUNDANCY", "INTELLIGENT_TIERING"})
"""Classes whose objects are read a second time for what others are coded against: but for requests it costs nothing."""

_small_chunker = partial(chunker_of, size_bytes=SMALL_BYTES)


@dataclass(frozen=True, slots=True)
class Wish:
    """An object to store, as the scan saw it."""

    key: str
    etag: str
    storage_class: str


@dataclass(frozen=True, slots=True)
class ObjectReader:
    """Reads for one batch. Thread-safe: what threads share are lists that only grow."""

    ctx: Context
    fetcher: Fetcher
    packer: Packer
    newcomers: Newcomers
    fingerprint: FingerprintFunction
    shelf: Shelf
    outcome: BatchOutcome
    wishes: Mapping[int, Wish]
    """By file id."""
    until_s: float
    """On the monotonic clock: later than that no group is begun."""
    outgoing: list[Outgoing] = field(default_factory=list)
    """What was read, in no order."""

    def code(self, block: RawBlock) -> None:
        """Code one block and pack it."""
        done = coded(block, self.ctx.config.chunking.effort, untouched="objects")
        if done is not None:
            self.packer.add(done.coded, len(block.raw), block.chunks, done.base)

    def read_small(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Ask for the objects of *group* side by side, then ask once which of their chunks are new."""
        asked: list[tuple[Wanted, Future[Fetched]]] = []
        for wanted in group:
            wish = self.wishes[wanted.row.file_id]
            self.fetcher.begin_object()
            asked.append((wanted, self.fetcher.pool.submit(self.fetcher.fetch, wish.key, wish.etag)))
        pieces = Pieces()
        done: list[Outgoing] = []
        for number, (wanted, answer) in enumerate(asked):
            if given_up():
                for _, waiting in asked[number:]:
                    waiting.cancel()
                self.outcome.left.extend(item for item, _ in asked[number:])
                break
            try:
                done.append(self._described(wanted, answer.result(), pieces))
            except SourceError as error:
                self.outcome.skip(wanted, error)
            self.ctx.progress.advance(byte_count=wanted.row.size, files=1)
        gatherer.take(pieces)
        self.outgoing.extend(done)

    def _described(self, wanted: Wanted, fetched: Fetched, pieces: Pieces) -> Outgoing:
        data = memoryview(fetched.data)
        if len(data) != wanted.row.size:
            raise SourceChanged(f"{self._shown(wanted)} has not the size that the scan saw")
        check_md5(fetched.look, hashlib.md5(data, usedforsecurity=False).hexdigest())
        meta = self._meta(wanted, fetched.look)
        regions = regions_of(data, wanted.row.name)
        result, cut = ingest_whole(data, Cutting(_small_chunker, self.fingerprint, self._shown(wanted), regions))
        pieces += cut
        return self._outgoing(wanted, result, meta)

    def read_in_turn(self, group: Sequence[Wanted], gatherer: Gatherer, given_up: Callable[[], bool]) -> None:
        """Read long objects one after another: a later one may be coded against an earlier."""
        for number, wanted in enumerate(group):
            if is_over(self) or given_up():
                self.outcome.left.extend(group[number:])
                return
            try:
                self.outgoing.append(self._ingested(wanted, gatherer, given_up))
            except Stopped:
                self.outcome.left.append(wanted)
                return
            except SourceError as error:
                self.outcome.skip(wanted, error)
            self.ctx.progress.advance(files=1)

    def _ingested(self, wanted: Wanted, gatherer: Gatherer, given_up: Callable[[], bool]) -> Outgoing:
        wish, shown = self.wishes[wanted.row.file_id], self._shown(wanted)

        def before_read() -> None:
            if given_up() or self.ctx.stop.is_set():
                raise Stopped(f"{shown} was being read when the job was asked to stop")

        self.fetcher.begin_object()
        source = ObjectBytes(self.fetcher, wish.key, wish.etag, wanted.row.size)
        try:
            source.read_at(0, 1)  # what it says of itself comes with the first part
            assert source.look is not None
            meta = self._meta(wanted, source.look)
            regions = segment(source, name=wanted.row.name) or ()
            references = self._references(wanted, wish, regions)
            cutting = Cutting(partial(chunker_of, size_bytes=source.size), self.fingerprint, shown, regions)
            take = partial(gatherer.take, references=references)
            result = ingest(Counted(source, self.ctx.progress), cutting, take=take, before_read=before_read)
            check_md5(source.look, source.md5())
        except ShortRead as error:
            raise SourceChanged(f"{shown} ended early") from error
        finally:
            source.close()
        if references is not None:
            self.shelf.put(references.model)
        return self._outgoing(wanted, result, meta)

    def _references(self, wanted: Wanted, wish: Wish, regions: Sequence[Region]) -> FileReferences | None:
        """Return what the tensors of an object may be coded against: objects of this run, read again in pieces."""
        if wish.storage_class not in FREE_TO_READ or not any(region.name for region in regions):
            return None
        again = ObjectAgain(self.fetcher, wish.key, wish.etag)
        return self.shelf.for_file(self._shown(wanted).encode(), regions, again.read_at)

    def _meta(self, wanted: Wanted, look: Look) -> FileMeta:
        if look.storage_class in ARCHIVE_CLASSES:
            raise SourceRefused(f"{self._shown(wanted)} is archived: it must be restored in its bucket first")
        if look.unsayable:
            raise SourceRefused(f"{self._shown(wanted)} could not be put back as it is: {look.unsayable}")
        return meta_of(look, self.fetcher.tags(look))

    def _outgoing(self, wanted: Wanted, result: Ingested, meta: FileMeta) -> Outgoing:
        # All requests named one ETag: what a lease proves of a file.
        name = chunker_for(wanted.row.size)
        return Outgoing(wanted, wanted.identity, result.parts, result.digest, meta, name, has_lease=True)

    def _shown(self, wanted: Wanted) -> str:
        return f"{self.fetcher.url}/{self.wishes[wanted.row.file_id].key}"
