"""Files on their way out: what is wanted, what was read of it, and how one that was not is reported.

Plain values, passed between tiering.jobs.migrate, .batch, .reading and .committing.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import NamedTuple

from dedup.values import Digest, FileMeta, Part
from tiering.catalog.values import FileRow
from tiering.errors import SourceBusy, SourceChanged, SourceError, SourceRefused
from tiering.hot.identity import Identity
from tiering.jobs.context import OpenRoot
from tiering.jobs.reports import Skip

# Up to here a file is read in one go, with others, before anything is done with it: the lease is held for as long as
# one read takes.
SMALL_BYTES = 1 << 20
# Long enough for one look-up and one hand-over to serve a hundred files, short enough that 8 MiB a thread hold it.
GROUP_BYTES = 4 << 20
GROUP_FILES = 256
MODEL_SUFFIXES = (b".safetensors", b".pt", b".pth", b".ckpt", b".bin", b".gguf", b".npz", b".npy")


class Wanted(NamedTuple):
    """A leader to migrate, with everything known about it."""

    row: FileRow
    links: tuple[FileRow, ...]
    """Its other names."""
    reason: str
    is_again: bool = False
    """It is stored; what stands alone in the store is to be coded against a newer checkpoint."""

    @property
    def identity(self) -> Identity:
        """The state that the last scan saw."""
        return Identity.from_sql(*_stamps(self.row))


_stamps = attrgetter("dev", "ino", "size", "mtime_ns", "ctime_ns")


class Outgoing(NamedTuple):
    """A file that was read whole; its new chunks are with the packer."""

    wanted: Wanted
    identity: Identity
    parts: tuple[Part, ...]
    digest: Digest
    meta: FileMeta
    chunker: str
    """Stored name."""
    has_lease: bool
    """Whether a lease held while it was read."""


@dataclass(slots=True)
class BatchOutcome:
    """What became of the files of a batch."""

    stored: list[Wanted] = field(default_factory=list)
    skipped: list[tuple[Wanted, str, Skip]] = field(default_factory=list)
    rejected: list[tuple[Wanted, str]] = field(default_factory=list)
    """Read, but not committed: worth another reading."""
    left: list[Wanted] = field(default_factory=list)
    """Not begun."""
    overtaken: list[Wanted] = field(default_factory=list)
    """Stored models that were the newest of their series until this batch: worth storing again."""
    bytes_read: int = 0
    bytes_stored: int = 0

    def skip(self, wanted: Wanted, error: SourceError | OSError) -> None:
        """Count a file that failed with *error*."""
        self.skipped.append((wanted, skip_reason(error), skip_kind(error)))


class Stopped(SourceError):
    """The job was asked to stop while a long file was being read."""


def is_model(wanted: Wanted) -> bool:
    """Return whether a file may hold tensors worth a reference, by its name and size."""
    return wanted.row.size > SMALL_BYTES and wanted.row.name.lower().endswith(MODEL_SUFFIXES)


def groups_of(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    """Yield *wanted* in order: small ones together with their neighbours, each longer one alone.

    But all models together, first: one may be coded against the one before, so one thread reads them in turn.
    """
    rest: list[Wanted] = []
    models: list[Wanted] = []
    for item in wanted:
        (models if is_model(item) else rest).append(item)
    if models:
        yield models
    held: list[Wanted] = []
    size_bytes = 0
    for item in rest:
        size = item.row.size
        if size > SMALL_BYTES:
            yield [item]
            continue
        if held and (size_bytes + size > GROUP_BYTES or len(held) == GROUP_FILES):
            yield held
            held, size_bytes = [], 0
        held.append(item)
        size_bytes += size
    if held:
        yield held


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


def links_refusal(wanted: Wanted) -> str:
    """Return why the names of a file forbid storing it, as the end of a sentence; "" if they do not."""
    if any(link.root_id != wanted.row.root_id for link in wanted.links):
        return "has hard links in another root"
    return ""
