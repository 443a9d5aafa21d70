"""One file being rebuilt under a hidden name beside its placeholder, with all of its metadata.

Used by recall. Takes pieces in any order and from several threads, or all at once; nobody sees it before the whole is
proven. It is durable when its caller has synced it: many files at once cost no more than one.
"""

import os
from threading import Lock

from blake3 import blake3

from dedup.values import FileMeta, Recipe
from tiering.errors import FrostlineError, IntegrityError
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.meta import apply_meta_exactly, read_xattrs
from tiering.hot.swap import unlink_if_there
from tiering.jobs.fetch_sinks import Piece
from tiering.jobs.hidden_files import (
    WHOLE_BYTES,
    created,
    reserve,
    trouble,
    write_pieces,
)


class Assembly:
    """A fetch target with a file under it. close() it, whatever happens."""

    def __init__(self, dir_fd: int, hidden: bytes, recipe: Recipe, shown: str) -> None:
        """Describe the file *hidden* in *dir_fd*, made with its first bytes. *shown* is the path for messages. It stays
        open until close(), and its folder keeps its times.
        """
        self.dir_fd = dir_fd
        self.hidden = hidden
        self.recipe = recipe
        self.shown = shown
        self.error: FrostlineError | None = None
        """The first thing that went wrong."""
        self.fd = -1
        self.is_complete = False
        """Whether its bytes are proven and it has its metadata."""
        self._lock = Lock()

    @property
    def meta(self) -> FileMeta:
        """What is put back beside the bytes."""
        return self.recipe.meta

    @property
    def whole_bytes(self) -> int:
        """See fetch_sinks.Target."""
        return self.recipe.size if self.recipe.size <= WHOLE_BYTES else -1

    def open(self) -> None:
        """Create the file at its full size, all holes; once. Raises nothing: trouble is in `error`."""
        with self._lock:
            if self.fd >= 0 or self.error is not None:
                return
            try:
                times = KeptTimes(self.dir_fd)
                self.fd = created(self.dir_fd, self.hidden, 0o600)
                times.after()
                times.put_back()
                reserve(self.fd, self.recipe.size, self.recipe.hole_bytes)
            except OSError as error:
                self._fail(error)

    def write(self, pieces: list[Piece]) -> None:
        """See fetch_sinks.Target. Does nothing once something went wrong."""
        self.open()
        if self.error is None:
            write_pieces(self.fd, pieces)

    def read(self, buffer: memoryview, offset: int) -> int:
        """See fetch_sinks.Target."""
        return os.preadv(self.fd, [buffer], offset)

    def take_whole(self, pieces: list[Piece]) -> None:
        """See fetch_sinks.Target: the file is written and given its metadata in one go."""
        self.open()
        if self.error is None:
            write_pieces(self.fd, pieces)
        self.finish()

    def finish(self) -> None:
        """See fetch_sinks.Target: the file gets its metadata, all of it."""
        self.open()
        if self.error is not None:
            return
        try:
            apply_meta_exactly(self.fd, self.meta, self.shown)
            self.is_complete = True
        except (FrostlineError, OSError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """See fetch_sinks.Target."""
        with self._lock:
            self._fail(error)

    def check(self) -> None:
        """Raise what went wrong, unless the file is complete. Sync it before it is shown to anybody."""
        if self.error is not None:
            raise self.error
        if not self.is_complete:
            raise IntegrityError(
                f"{self.shown}: not all of it was brought",
                now="nothing at its path was changed",
                hint="run it again; this should not happen: please report it",
            )

    def identity(self) -> Identity:
        """Return the identity of the finished file."""
        return Identity.of(os.fstat(self.fd))

    def close(self) -> None:
        """Close the file; under whatever name it stands it stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def discard(self) -> None:
        """Close the file and remove its hidden name."""
        self.close()
        times = KeptTimes(self.dir_fd)
        unlink_if_there(self.dir_fd, self.hidden)
        times.after()
        times.put_back()

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = trouble(error, self.shown)


def stamp_of(fd: int) -> list[object]:
    """Return what must be equal for a file to be, but for its ctime, the one that was finished: for a journal row."""
    status = os.fstat(fd)
    xattrs = blake3(repr(read_xattrs(fd)).encode()).hexdigest()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid, xattrs]
