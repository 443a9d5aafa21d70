"""A source that tells the progress what is read of it. Used by migrate, by ingest of objects, and by estimate."""

from collections.abc import Iterable
from dataclasses import dataclass

from dedup.ingest import ByteSource
from dedup.values import Extent
from tiering.jobs.context import Progress


@dataclass(slots=True)
class Counted:
    """Another source, counted."""

    source: ByteSource
    progress: Progress
    bytes: int = 0
    """Read so far."""

    @property
    def size(self) -> int:
        """Apparent size in bytes."""
        return self.source.size

    def extents(self) -> Iterable[Extent]:
        """See ByteSource."""
        return self.source.extents()

    def readinto(self, buffer: memoryview, offset: int) -> int:
        """See ByteSource."""
        count = self.source.readinto(buffer, offset)
        self.bytes += count
        self.progress.advance(byte_count=count)
        return count
