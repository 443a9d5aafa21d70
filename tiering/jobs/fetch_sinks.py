"""Who takes the files that are read, and what is handed to them.

Used by tiering.jobs.fetch and by whoever writes what it reads. A file is proven by its own digest, which covers its
chunks: before its target sees anything where it is handed over whole, before it is finished where it is written as it
comes. Only where that digest is wrong are the chunks looked at one by one, to say which of them is damaged.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from dedup.errors import CorruptChunk, DedupError
from dedup.fingerprint import digest as digest_of
from dedup.values import ChunkPart, Digest
from tiering.catalog.values import BlockPlace
from tiering.errors import IntegrityError

Buffer = bytes | memoryview
Piece = tuple[int, Buffer]
"""(offset in the file, bytes)."""


class Target(Protocol):
    """What takes the bytes of one file; called from several threads, never twice for one offset."""

    @property
    def whole_bytes(self) -> int:
        """Size of the file if take_whole() may be called, else -1."""

    def write(self, pieces: list[Piece]) -> None:
        """Take some of the file, ascending. Nothing of it is proven yet: nobody may see it before finish().

        What it raises is its own affair: it is handed to fail().
        """

    def read(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer* with what was written from *offset* on; return how much, fewer only where the file ends.
        Raises OSError.
        """

    def take_whole(self, pieces: list[Piece]) -> None:
        """Take all of the file but its holes, once, ascending, instead of any write(): the file's own digest was
        confirmed.
        """

    def finish(self) -> None:
        """Learn that all of the file was written, and its own digest confirmed. Raises nothing."""

    def fail(self, error: Exception) -> None:
        """Learn that the file cannot be had. May be called more than once."""


Whole = tuple[Target, list[Piece]]
"""A file whose own digest was confirmed, and what Target.take_whole() is to be given."""
Taking = Callable[[list[Whole]], None]
"""Takes several whole files at once. Raises nothing: what goes wrong with one is handed to its fail()."""


def one_by_one(wholes: list[Whole]) -> None:
    """Hand each file to its own target: for whoever can do nothing better with many at once."""
    for target, pieces in wholes:
        try:
            target.take_whole(pieces)
        except (OSError, IntegrityError) as error:
            target.fail(error)


class Given(NamedTuple):
    """A run of chunks that stand one after the other in a block and in a file, decoded; or a page."""

    offset: int
    """In the file; of a chunk of a page, in its plain form."""
    data: Buffer
    parts: tuple[ChunkPart, ...]
    """The chunks of *data*; none where they are confirmed."""
    place: BlockPlace
    """Where they stand; of a page, its last chunk."""

    def check(self) -> None:
        """Raise IntegrityError unless every chunk has its digest."""
        start = 0
        for part in self.parts:
            confirm(self.place, memoryview(self.data)[start : start + part.length], part.digest)
            start += part.length


def confirm(place: BlockPlace, data: Buffer, digest: Digest) -> None:
    """Raise IntegrityError unless *data*, decoded of the block at *place*, has *digest*."""
    found = digest_of(data)
    if found != digest:
        raise damaged(place, CorruptChunk(f"chunk hashes to {found.hex()[:16]}..., expected {digest.hex()[:16]}..."))


def damaged(place: BlockPlace, error: DedupError) -> IntegrityError:
    """Return the error for a block that does not hold what the catalog says."""
    return IntegrityError(
        f"pack {place.key}, offset {place.offset}: {error}",
        now="nothing of it was used; the placeholder or the file at its path is untouched",
        hint="frostline scrub, then docs/runbook.md#corrupt-pack",
    )


def not_the_whole() -> IntegrityError:
    """Return the error for a file whose chunks are all right and whose own digest is not."""
    return IntegrityError(
        "every chunk of the file verifies, the whole does not",
        now="nothing of it was used",
        hint="run it again: the memory or the disk may have failed; then docs/runbook.md#corrupt-pack",
    )
