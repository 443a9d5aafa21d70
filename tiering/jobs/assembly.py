"""One file being rebuilt under a hidden name, beside its placeholder or in a restore's target folder.

Takes verified chunks in any order and from several threads; complete() proves the whole before anybody sees it.
"""

import errno
import os

from blake3 import blake3

from dedup.buffers import thread_buffer
from dedup.fingerprint import FileDigest
from dedup.values import FileMeta, Recipe
from tiering.errors import FrostlineError, IntegrityError, NoSpace, SourceError
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.meta import apply_meta, apply_meta_exactly, read_xattrs
from tiering.hot.swap import unlink_if_there

_READ_BYTES = 4 << 20
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Assembly:
    """A dedup fetch target with a file under it. close() it, whatever happens."""

    def __init__(self, dir_fd: int, hidden: bytes, recipe: Recipe, shown: str) -> None:
        """Describe the file *hidden* in *dir_fd*; open() creates it. *shown* is the path for messages."""
        self.dir_fd = dir_fd
        self.hidden = hidden
        self.recipe = recipe
        self.shown = shown
        self.error: FrostlineError | None = None
        """The first thing that went wrong."""
        self.fd = -1

    @property
    def meta(self) -> FileMeta:
        """What is put back beside the bytes."""
        return self.recipe.meta

    def open(self) -> None:
        """Create the file at its full size, all holes. Raises nothing: trouble is in `error`."""
        try:
            times = KeptTimes(self.dir_fd)
            unlink_if_there(self.dir_fd, self.hidden)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self.fd = os.open(self.hidden, flags, 0o600, dir_fd=self.dir_fd)
            times.after()
            times.put_back()
            os.ftruncate(self.fd, self.recipe.size)
        except OSError as error:
            self.fail(error)

    def write(self, data: bytes, offset: int) -> None:
        """See fetch.Target. Does nothing once something went wrong."""
        if self.error is not None:
            return
        view = memoryview(data)
        while view:
            count = os.pwrite(self.fd, view, offset)
            offset += count
            view = view[count:]

    def fail(self, error: Exception) -> None:
        """See fetch.Target."""
        if self.error is not None:
            return
        if isinstance(error, FrostlineError):
            self.error = error
        elif isinstance(error, OSError) and error.errno in _NO_ROOM:
            now = "nothing at its path was changed"
            self.error = NoSpace(f"{self.shown}: {error.strerror}", now=now, hint="free space and run it again")
        else:
            self.error = SourceError(f"{self.shown} cannot be written: {getattr(error, 'strerror', None) or error}")

    def complete(self, *, exactly: bool = True) -> tuple[str, ...]:
        """Prove the whole file by its digest, give it its metadata, and make it durable under its hidden name.

        Returns the metadata that could not be given; with *exactly* that is an error. Raises what is in `error`,
        IntegrityError, SourceRefused.
        """
        if self.error is not None:
            raise self.error
        if self._digest() != self.recipe.digest:
            raise IntegrityError(
                f"{self.shown}: every chunk of recipe {self.recipe.recipe_id} verifies, the whole does not",
                now="nothing at its path was changed",
                hint="run it again: the disk may have failed; then docs/runbook.md#corrupt-pack",
            )
        left_out: tuple[str, ...] = ()
        try:
            if exactly:
                apply_meta_exactly(self.fd, self.meta, self.shown)
            else:
                left_out = apply_meta(self.fd, self.meta)
            os.fsync(self.fd)
        except OSError as error:
            self.fail(error)
        if self.error is not None:
            raise self.error
        return left_out

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

    def _digest(self) -> bytes:
        digest = FileDigest()
        position = 0
        buffer = thread_buffer(min(_READ_BYTES, max(1, self.recipe.size)))
        while count := os.preadv(self.fd, [buffer], position):
            digest.update(buffer[:count])
            position += count
        return digest.digest()


def stamp_of(fd: int) -> list[object]:
    """Return what must be equal for a file to be, but for its ctime, the one that was finished: for a journal row."""
    status = os.fstat(fd)
    xattrs = blake3(repr(read_xattrs(fd)).encode()).hexdigest()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid, xattrs]
