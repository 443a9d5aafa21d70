"""One file on its way out: held still, read once, chunked, and described by a recipe.

Used by migrate's workers. What comes back is a plain value; the file's bytes are in packs by then, or on their way
there.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import chain

from dedup.chunkers import chunker_for, resolve_chunker
from dedup.codecs import Coded, encode
from dedup.errors import CorruptChunk, FormatError, ShortRead
from dedup.ingest import EncodeMany, ingest
from dedup.recipe import encode_recipe, new_recipe_id
from dedup.values import Digest, Extent, Fingerprint, Recipe
from tiering.catalog import packs
from tiering.catalog.open import Catalog
from tiering.catalog.values import FileRow
from tiering.errors import IntegrityError, SourceBusy, SourceChanged, SourceError, SourceRefused
from tiering.hot.identity import Identity, from_sql_int
from tiering.hot.source import Source, open_source
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.gathering import Gathering
from tiering.jobs.packing import Packer
from tiering.jobs.reports import Skip

# Up to this size a file's chunks are looked up together with those of other files: it is read in one go.
GATHER_UP_TO_BYTES = 64 << 10
# Below 1 MiB handing chunks to other threads costs more than it gains.
SPREAD_FROM_BYTES = 1 << 20
RUN_BYTES = 256 << 10  # a buffer of 4 MiB gives 16 runs: enough to keep cores even
# A stop lets files up to this size finish (a second or two) and gives longer ones up.
FINISHED_ON_STOP_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """A leader to migrate, with everything known about it."""

    row: FileRow
    links: tuple[FileRow, ...]
    """Its other names."""
    reason: str
    op_id: str = ""
    """Of its journal row."""

    @property
    def identity(self) -> Identity:
        """The state that the last scan saw."""
        row = self.row
        return Identity(from_sql_int(row.dev), from_sql_int(row.ino), row.size, row.mtime_ns, row.ctime_ns)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file that was read whole; its new chunks are with the packer."""

    wanted: Wanted
    identity: Identity
    recipe: Recipe
    encoded: bytes
    """The recipe as stored, not coded yet."""
    has_lease: bool
    """Whether a lease held while it was read."""


class Stopped(SourceError):
    """The job was asked to stop while a long file was being read."""


@dataclass(frozen=True, slots=True)
class StoredChunks:
    """A dedup ChunkIndex: what this batch has packed, and what is live in the tiers that may be reused."""

    catalog: Catalog
    packer: Packer
    tiers: tuple[str, ...]

    def lookup(self, fingerprints: Sequence[Fingerprint]) -> Mapping[Fingerprint, Sequence[Digest]]:
        """See dedup.ingest.ChunkIndex."""
        found = {name: list(digests) for name, digests in self.packer.lookup(fingerprints).items()}
        # What this batch has packed is not asked for: at worst a chunk with the fingerprint of another is stored again.
        others = [name for name in fingerprints if name not in found]
        if not others:
            return found
        with self.catalog.read() as tx:
            stored = packs.lookup(tx, others, self.tiers)
        for name, hits in stored.items():
            found.setdefault(name, []).extend(digest for digest, _ in hits)
        return found


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads files for one batch. Thread-safe."""

    ctx: Context
    packer: Packer
    index: StoredChunks
    small: Gathering
    """In front of both, for small files; the owner flushes it when all is read."""
    fingerprint: str
    encoders: Executor
    threads: int
    """Of *encoders*."""
    is_given_up: Callable[[], bool]
    """Whether the batch has failed: then no file is read on."""
    has_idle_core: Callable[[], bool]
    """Whether fewer files than cores are being read: then one file's chunks are worth spreading."""

    def read(self, wanted: Wanted) -> Outgoing:
        """Return the file, read and described; its new chunks are with the packer.

        Raises SourceError and OSError for this file's own trouble, Stopped, and whatever ends the job.
        """
        row = wanted.row
        root = self.ctx.root(row.root_id)
        with open_source(root.path, row.dir, row.name, expect=wanted.identity) as source:
            refused = source.refusal(names_known=1 + len(wanted.links)) or _links_refusal(wanted)
            if refused:
                raise SourceRefused(f"{source.path} {refused}")
            recipe = self._described(source, wanted, root)
            source.drop_cache()
            try:
                encoded = encode_recipe(recipe)
            except FormatError as error:  # a time beyond the year 2262, an attribute beyond 64 KiB
                raise SourceRefused(f"{source.path} cannot be described exactly: {error}") from error
            return Outgoing(wanted, source.identity, recipe, encoded, source.has_lease)

    def _described(self, source: Source, wanted: Wanted, root: OpenRoot) -> Recipe:
        name = chunker_for(source.size)
        effort = self.ctx.config.chunking.effort

        def before_read() -> None:
            stopped = self.ctx.stop.is_set() and source.size > FINISHED_ON_STOP_BYTES
            if stopped or self.is_given_up():
                raise Stopped(f"{source.path} was being read when the job was asked to stop")
            source.check()

        gather = source.size <= GATHER_UP_TO_BYTES
        try:
            result = ingest(
                _Counted(source, self.ctx),
                chunker=resolve_chunker(name),
                effort=effort,
                index=self.small if gather else self.index,
                sink=self.small if gather else self.packer,
                fingerprint=self.fingerprint,
                before_read=before_read,
                encode_many=self._encode_many(effort),
            )
        except ShortRead as error:
            raise SourceChanged(f"{source.path} became shorter while it was read") from error
        except CorruptChunk as error:
            raise IntegrityError(
                f"{source.path}: {error}",
                now="nothing of this batch was committed; the file is untouched",
                hint="suspect this machine's memory or its zstandard library",
            ) from error
        meta = source.meta()  # checks once more: all that was read is one state of the file
        return Recipe(
            recipe_id=new_recipe_id(secrets.token_bytes(16)),
            root=root.name,
            path=wanted.row.path,
            links=tuple(link.path for link in wanted.links),
            size=source.size,
            digest=result.digest,
            chunker=name,
            meta=meta,
            parts=result.parts,
            stored_ns=self.ctx.clock.now_ns(),
        )

    def _encode_many(self, effort: str) -> EncodeMany:
        def encode_run(pieces: Sequence[memoryview]) -> list[Coded]:
            return [encode(piece, effort=effort) for piece in pieces]

        def encode_all(pieces: Sequence[memoryview]) -> Iterable[Coded]:
            if self.threads < 2 or sum(map(len, pieces)) < SPREAD_FROM_BYTES or not self.has_idle_core():
                return (encode(piece, effort=effort) for piece in pieces)
            return chain.from_iterable(self.encoders.map(encode_run, _runs(pieces)))

        return encode_all


def _runs(pieces: Sequence[memoryview]) -> Iterator[list[memoryview]]:
    """Yield *pieces* in order, some together: handing over one at a time costs as much as coding it."""
    held: list[memoryview] = []
    size_bytes = 0
    for piece in pieces:
        held.append(piece)
        size_bytes += len(piece)
        if size_bytes >= RUN_BYTES:
            yield held
            held, size_bytes = [], 0
    if held:
        yield held


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


def skip_kind(error: SourceError | OSError) -> Skip:
    """Return how a file that failed with *error* is counted."""
    kinds: tuple[tuple[type[BaseException], Skip], ...] = (
        (SourceChanged, Skip.CHANGED),
        (SourceBusy, Skip.BUSY),
        (SourceRefused, Skip.REFUSED),
        (Stopped, Skip.WAITING),
    )
    return next((kind for type_, kind in kinds if isinstance(error, type_)), Skip.UNREADABLE)


def skip_reason(error: SourceError | OSError) -> str:
    """Return the sentence for a report."""
    return error.what if isinstance(error, SourceError) else f"cannot be read: {error.strerror or error}"


def display_path(root: OpenRoot, row: FileRow) -> str:
    """Return the absolute path for a report."""
    return os.fsdecode(os.path.join(root.path, row.path))


def _links_refusal(wanted: Wanted) -> str:
    if any(link.root_id != wanted.row.root_id for link in wanted.links):
        return "has hard links in another root"
    return ""
