"""What migrate needs of the disk to code a model against another one: in which order they go, and their bytes again.

The choice of a reference is dedup.references'. Its bytes come from the file that still stands on the hot tier, so that
a delta costs no request and no fee; what was released meanwhile is no reference any more.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from dedup.formats.series import step_of
from dedup.references import in_order
from policies.units import unit_of
from tiering.errors import SourceError
from tiering.hot import paths
from tiering.hot.identity import Identity
from tiering.hot.source import Source
from tiering.jobs.context import Context
from tiering.jobs.outgoing import Wanted, is_model


@dataclass(frozen=True, slots=True)
class HotFile:
    """A file on the hot tier, read again in pieces as long as it is the state that was stored."""

    root: bytes
    dir: bytes
    name: bytes
    identity: Identity

    def read_at(self, offset: int, length: int) -> bytes | None:
        """Return *length* bytes from *offset* on; None once the file is another, or cannot be read."""
        try:
            with paths.opened_dir(self.root, self.dir) as folder:
                fd = paths.open_file(folder, self.name)
        except (OSError, SourceError):
            return None
        try:
            if Identity.of(os.fstat(fd)) != self.identity:
                return None
            data = os.pread(fd, length, offset)
            return data if len(data) == length else None
        except OSError:
            return None
        finally:
            os.close(fd)


@dataclass(frozen=True, slots=True)
class SourceBytes:
    """A source that is held open, as segmentation reads it: here and there."""

    source: Source

    @property
    def size(self) -> int:
        """Apparent size in bytes."""
        return self.source.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Return *length* bytes from *offset* on, fewer only at the end of the file."""
        buffer = bytearray(min(length, max(self.source.size - offset, 0)))
        filled = 0
        while filled < len(buffer):
            got = self.source.readinto(memoryview(buffer)[filled:], offset + filled)
            if got <= 0:
                break
            filled += got
        return bytes(memoryview(buffer)[:filled])


def hot_file(ctx: Context, wanted: Wanted) -> HotFile:
    """Return *wanted* as something that can be read again."""
    row = wanted.row
    return HotFile(ctx.root(row.root_id).path, row.dir, row.name, wanted.identity)


def _unit(wanted: Wanted) -> bytes:
    row = wanted.row
    return row.path if step_of(row.path) is None else unit_of(row.dir, row.name)


def models_first(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Return *wanted* with its models in front, each after those that it may be coded against; of a series a checkpoint
    at a time, whatever it has of files, so that each gets packs of its own.
    """
    models = {item.row.path: item for item in wanted if is_model(item)}
    if len(models) < 2:
        return list(wanted)
    ordered = [models[path] for path in in_order((path, item.row.mtime_ns) for path, item in models.items())]
    place: dict[bytes, int] = {}
    for item in ordered:
        place.setdefault(_unit(item), len(place))
    ordered.sort(key=lambda item: place[_unit(item)])  # newest steps come first in every series: this keeps it so
    return [*ordered, *(item for item in wanted if not is_model(item))]
