"""Who takes what is read: pieces of files, and of pages that have to be wrapped again, on their way to whoever writes
them.

Used by tiering.jobs.fetch_plan and tiering.jobs.fetch. A file that comes at once is proven by its own digest, which
covers its chunks; of any other each chunk is confirmed before it is handed on, and the whole again by whoever wrote it.
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple, Protocol

from dedup.assemble import rewrapped
from dedup.errors import CorruptChunk, DedupError
from dedup.fingerprint import FileDigest
from dedup.fingerprint import digest as digest_of
from dedup.values import ChunkPart, Digest, WrappedPart
from tiering.catalog.values import BlockPlace
from tiering.errors import IntegrityError

Buffer = bytes | memoryview
Piece = tuple[int, Buffer]
"""(offset in the file, proven bytes)."""

_counting = Lock()  # of the pieces that files wait for; held for a subtraction


class Target(Protocol):
    """What takes the bytes of one file; called from several threads, never twice for one offset."""

    @property
    def whole_bytes(self) -> int:
        """Size of the file if take_whole() may be called, else -1."""

    def write(self, data: Buffer, offset: int) -> None:
        """Take *data*, whose digest was confirmed. What it raises is its own affair: it is handed to fail()."""

    def take_whole(self, pieces: list[Piece]) -> None:
        """Take all of the file but its holes, once, ascending, instead of any write(): the file's own digest was
        confirmed.
        """

    def finish(self) -> None:
        """Learn that the last write() is done, or that there is nothing to write. Raises nothing."""

    def fail(self, error: Exception) -> None:
        """Learn that a chunk of it cannot be had. May be called more than once."""


class Given(NamedTuple):
    """A run of chunks that stand one after the other in a block and in a file, decoded; the pieces of a page too."""

    offset: int
    """In the file."""
    data: Buffer
    parts: tuple[ChunkPart, ...]
    """The chunks of *data*, each still to be confirmed; none if they are."""
    place: BlockPlace
    """Where they stand; of a page, its last chunk."""

    def check(self) -> None:
        """Raise IntegrityError unless every chunk has its digest."""
        start = 0
        for part in self.parts:
            confirm(self.place, memoryview(self.data)[start : start + part.length], part.digest)
            start += part.length


@dataclass(slots=True, eq=False)
class Outlet:
    """A file on its way: runs go to its target one by one, or all at once where one task brings them all."""

    target: Target
    size: int
    digest: Digest
    """Of the whole file."""
    waiting: int = 0
    """Runs and pages still to come."""
    gathered: list[Given] | None = None
    """None: handed on one by one."""

    @property
    def proves(self) -> bool:
        """Whether the file is proven as a whole before its target sees any of it, so that its chunks need not be."""
        return self.gathered is not None

    def take(self, given: Given, found: Digest | None = None) -> None:
        """Hand on one run, or the last with all before it. *found* is the digest of the run where it is known."""
        try:
            if self.gathered is None:
                self.target.write(given.data, given.offset)
                with _counting:
                    self.waiting -= 1
                    is_last = self.waiting == 0
                if is_last:
                    self.target.finish()
                return
            self.gathered.append(given)
            self.waiting -= 1
            if self.waiting == 0:
                pieces, self.gathered = sorted(self.gathered), []
                self._hand_over(pieces, found)
        except (OSError, IntegrityError) as error:
            self.target.fail(error)

    def fail(self, error: Exception) -> None:
        """Pass on that a run cannot be had."""
        self.gathered = [] if self.gathered is not None else None
        self.target.fail(error)

    def _hand_over(self, pieces: list[Given], found: Digest | None) -> None:
        if found is None or len(pieces[0].data) != self.size:
            found = self._digest(pieces)
        if found != self.digest:
            for piece in pieces:
                piece.check()
            raise IntegrityError(
                "every chunk of the file verifies, the whole does not",
                now="nothing of it was used",
                hint="run it again: the memory may have failed; then docs/runbook.md#corrupt-pack",
            )
        self.target.take_whole([(piece.offset, piece.data) for piece in pieces])

    def _digest(self, pieces: list[Given]) -> Digest:
        whole, position = FileDigest(), 0
        for piece in pieces:
            whole.update_zeros(piece.offset - position)
            whole.update(piece.data)
            position = piece.offset + len(piece.data)
        whole.update_zeros(self.size - position)
        return whole.digest()


@dataclass(slots=True, eq=False)
class Page:
    """A wrapped part on its way: its plain form is gathered, then wrapped again and handed on."""

    part: WrappedPart
    offset: int
    """In the file."""
    outlet: Outlet
    is_apart: bool = False
    """Its chunks come in several tasks: it has one of its own, and what these bring is let go."""
    pieces: list[Given] = field(default_factory=list)

    @property
    def proves(self) -> bool:
        """Its chunks have to be confirmed one by one."""
        return False

    @property
    def size(self) -> int:
        """Of the file."""
        return self.outlet.size

    def take(self, given: Given, found: Digest | None = None) -> None:
        """Keep a chunk of the plain form; its offset is in that."""
        if self.is_apart:
            return
        self.pieces.append(given)
        if len(self.pieces) == len(self.part.inner):
            self.wrap([piece.data for piece in sorted(self.pieces)], given.place)
            self.pieces = []

    def wrap(self, plain: list[Buffer], place: BlockPlace) -> None:
        """Hand the file's bytes on, made of all chunks of the plain form in order."""
        try:
            data = rewrapped(self.part, plain[0] if len(plain) == 1 else b"".join(plain))
        except DedupError as error:
            self.outlet.fail(IntegrityError(f"a page cannot be wrapped again: {error}", hint="frostline scrub"))
            return
        self.outlet.take(Given(self.offset, data, (), place))

    def fail(self, error: Exception) -> None:
        """Pass on that a chunk cannot be had."""
        if not self.is_apart:
            self.outlet.fail(error)


Sink = Outlet | Page


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
