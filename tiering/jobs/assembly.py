"""One file being rebuilt under a hidden name, beside its placeholder or in a restore's target folder.

Takes verified chunks in any order and from several threads, or all at once; complete() proves the whole before anybody
sees it. It is durable when its caller has synced it: many files at once cost no more than one.
"""

import errno
import os
from threading import Lock

from blake3 import blake3

from dedup.buffers import thread_buffer
from dedup.fingerprint import FileDigest
from dedup.values import FileMeta, Recipe
from tiering.errors import FrostlineError, IntegrityError, NoSpace, SourceError
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.meta import apply_meta, apply_meta_exactly, read_xattrs
from tiering.hot.swap import unlink_if_there
from tiering.jobs.fetch_plan import Piece

WHOLE_BYTES = 4 << 20
"""Up to this size a file may be taken in one piece; a larger one is written as its pieces come."""
_READ_BYTES = 4 << 20
_READ_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_RESERVING = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Assembly:
    """A fetch target with a file under it. close() it, whatever happens."""

    def __init__(self, dir_fd: int, hidden: bytes, recipe: Recipe, shown: str, *, exactly: bool = True) -> None:
        """Describe the file *hidden* in *dir_fd*, made with its first bytes. *shown* is the path for messages; with
        *exactly* it must get all of its metadata, its folder keeps its times, and it stays open until close(); without,
        only a large file does, and only until it is complete.
        """
        self.dir_fd = dir_fd
        self.hidden = hidden
        self.recipe = recipe
        self.shown = shown
        self.error: FrostlineError | None = None
        """The first thing that went wrong."""
        self.fd = -1
        self.left_out: tuple[str, ...] = ()
        """Metadata that could not be given; known after complete()."""
        self._exactly = exactly
        self.is_complete = False
        """Whether complete() has gone well."""
        self._is_made = False
        self._is_proven = False
        self._is_kept = exactly or recipe.size > WHOLE_BYTES
        self._lock = Lock()

    @property
    def meta(self) -> FileMeta:
        """What is put back beside the bytes."""
        return self.recipe.meta

    @property
    def whole_bytes(self) -> int:
        """See fetch_plan.Target."""
        return self.recipe.size if self.recipe.size <= WHOLE_BYTES else -1

    def open(self) -> None:
        """Create the file at its full size, all holes; once. Raises nothing: trouble is in `error`."""
        with self._lock:
            if self._is_made or self.error is not None:
                return
            try:
                times = KeptTimes(self.dir_fd) if self._exactly else None
                self.fd = self._created()
                self._is_made = True
                if times is not None:
                    times.after()
                    times.put_back()
                _size(self.fd, self.recipe)
                if not self._is_kept:
                    self.close()
            except OSError as error:
                self._fail(error)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """See fetch_plan.Target. Does nothing once something went wrong."""
        self.open()
        if self.error is not None:
            return
        if self._is_kept:
            _write_at(self.fd, data, offset)
            return
        fd = os.open(self.hidden, _READ_WRITE, dir_fd=self.dir_fd)
        try:
            _write_at(fd, data, offset)
        finally:
            os.close(fd)

    def take_whole(self, pieces: list[Piece]) -> None:
        """See fetch_plan.Target: the file is written, proven and given its metadata in one go."""
        if self.error is not None:
            return
        digest = FileDigest()
        position = 0
        for offset, data in pieces:
            digest.update_zeros(offset - position)
            digest.update(data)
            position = offset + len(data)
        digest.update_zeros(self.recipe.size - position)
        self._is_proven = digest.digest() == self.recipe.digest
        self._is_kept = True  # by this thread alone, until it is complete
        self.open()
        try:
            if self.error is None:
                for offset, data in pieces:
                    _write_at(self.fd, data, offset)
            self.complete()
        except FrostlineError as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """See fetch_plan.Target."""
        with self._lock:
            self._fail(error)

    def complete(self) -> None:
        """Prove the whole file by its digest and give it its metadata; once. Sync it before it is shown to anybody.

        Raises what is in `error`, IntegrityError, and SourceRefused where it must get all of its metadata.
        """
        if self.is_complete:
            return
        self.open()
        try:
            if self.error is None and self.fd < 0:
                self.fd = os.open(self.hidden, _READ_WRITE, dir_fd=self.dir_fd)
            if self.error is None:
                self._prove()
        except OSError as error:
            self.fail(error)
        if self.error is not None:
            raise self.error
        self.is_complete = True
        if not self._exactly:
            self.close()

    def _prove(self) -> None:
        if not self._is_proven and self._digest() != self.recipe.digest:
            raise IntegrityError(
                f"{self.shown}: every chunk of recipe {self.recipe.recipe_id} verifies, the whole does not",
                now="nothing at its path was changed",
                hint="run it again: the disk may have failed; then docs/runbook.md#corrupt-pack",
            )
        if self._exactly:
            apply_meta_exactly(self.fd, self.meta, self.shown)
        else:
            self.left_out = apply_meta(self.fd, self.meta)

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
        times = KeptTimes(self.dir_fd) if self._exactly else None
        unlink_if_there(self.dir_fd, self.hidden)
        if times is not None:
            times.after()
            times.put_back()

    def _created(self) -> int:
        try:
            return os.open(self.hidden, _READ_WRITE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self.dir_fd)
        except FileExistsError:  # an earlier attempt of ours
            unlink_if_there(self.dir_fd, self.hidden)
            return os.open(self.hidden, _READ_WRITE | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self.dir_fd)

    def _fail(self, error: Exception) -> None:
        if self.error is not None:
            return
        if isinstance(error, FrostlineError):
            self.error = error
        elif isinstance(error, OSError) and error.errno in _NO_ROOM:
            now = "nothing at its path was changed"
            self.error = NoSpace(f"{self.shown}: {error.strerror}", now=now, hint="free space and run it again")
        else:
            self.error = SourceError(f"{self.shown} cannot be written: {getattr(error, 'strerror', None) or error}")

    def _digest(self) -> bytes:
        digest = FileDigest()
        position = 0
        buffer = thread_buffer(min(_READ_BYTES, max(1, self.recipe.size)))
        while count := os.preadv(self.fd, [buffer], position):
            digest.update(buffer[:count])
            position += count
        return digest.digest()


def _size(fd: int, recipe: Recipe) -> None:
    """Give the file its size; a large one without holes its blocks too, at once: laid out in one piece, and a full disk
    says so now.
    """
    if recipe.size:
        os.ftruncate(fd, recipe.size)
    if recipe.size <= WHOLE_BYTES or recipe.hole_bytes:
        return
    try:
        os.posix_fallocate(fd, 0, recipe.size)
    except OSError as error:
        if error.errno not in _NO_RESERVING:
            raise


def _write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        offset += count
        view = view[count:]


def stamp_of(fd: int) -> list[object]:
    """Return what must be equal for a file to be, but for its ctime, the one that was finished: for a journal row."""
    status = os.fstat(fd)
    xattrs = blake3(repr(read_xattrs(fd)).encode()).hexdigest()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode, status.st_uid, status.st_gid, xattrs]
