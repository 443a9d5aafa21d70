"""One file of the user's, held still while it is read for storing.

The identity is taken under a read lease and compared at every read; a writer that arrives is let in at once (P10)
and the read is given up. Where no lease can be had the stamps alone are compared, `has_lease` is False, and the file
is not released later (P1) unless its root allows it.

What is in the page cache is read from there; a long file that is not is read past it, so that it pushes nothing out.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from dedup.values import Extent, FileMeta, Span
from tiering import direct
from tiering.errors import SourceBusy, SourceChanged, SourceRefused
from tiering.hot import paths, syscalls
from tiering.hot.identity import Identity
from tiering.hot.lease import Lease, LeaseUnavailable, read_lease
from tiering.hot.meta import read_meta
from tiering.hot.refusal import refusal


class Source:
    """An open file; a dedup ByteSource. Made by open_source()."""

    def __init__(
        self, fd: int, path: str, lease: Lease | None, lease_problem: str = "", *, ahead: direct.Ahead | None = None
    ) -> None:
        """Describe the open *fd*, under *lease* or, for *lease_problem*, without; *ahead* reads it if it is long and
        cold. Nothing else does.
        """
        self.fd = fd
        self.path = path
        """For messages."""
        self.status = os.fstat(fd)
        self.identity = Identity.of(self.status)
        self.size = self.status.st_size
        self.lease_problem = lease_problem
        """Why there is no lease; "" if there is one."""
        self._lease = lease
        self._was_cached = is_mostly_cached(fd, self.size)
        self._is_direct = not self._was_cached and self.size >= direct.LEAST_BYTES and direct.turn_on(fd)
        self._ahead = ahead

    @property
    def has_lease(self) -> bool:
        """Whether a lease was granted: together with a passing check() it proves that the bytes read are one
        state.
        """
        return self._lease is not None

    def check(self) -> None:
        """Make sure that everything read so far is one state of the file.

        Raises SourceBusy if another process wants to write (it has been let in), SourceChanged if the stamps moved.
        """
        if self._lease is not None and not self._lease.is_whole():
            raise SourceBusy(f"{self.path} was opened for writing while it was read", now="its writer was not held up")
        if Identity.of(os.fstat(self.fd)) != self.identity:
            raise SourceChanged(f"{self.path} changed while it was read")

    def extents(self) -> Iterator[Extent]:
        """Yield data and holes in order, together exactly [0, size)."""
        return layout(self.fd, self.size)

    def readinto(self, buffer: memoryview | bytearray, offset: int) -> int:
        """Fill *buffer* from *offset*; return the bytes read, fewer only at the end of the file. Raises OSError."""
        view = memoryview(buffer)
        if self._is_direct:
            return self._ahead.readinto(view, offset) if self._ahead else direct.readinto(self.fd, view, offset)
        done = 0
        while done < len(view):
            count = os.preadv(self.fd, [view[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def meta(self) -> FileMeta:
        """Return the metadata of this identity; raises as check() if it moved meanwhile."""
        found = read_meta(self.fd, self.status)
        self.check()
        return found

    def refusal(self, *, names_known: int | None = None) -> str:
        """See tiering.hot.refusal."""
        return refusal(self.fd, self.status, names_known=names_known)

    def drop_cache(self) -> None:
        """Take our own reading out of the page cache; what was cached before we came stays (P10)."""
        if not self._was_cached:
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)


def layout(fd: int, size: int) -> Iterator[Extent]:
    """Yield data and holes of an open file in order, together exactly [0, size)."""
    position = 0
    while position < size:
        start = _seek(fd, size, position, os.SEEK_DATA)
        if start > position:
            yield Extent(Span(position, start - position), is_hole=True)
        if start >= size:
            return
        end = _seek(fd, size, start, os.SEEK_HOLE)
        yield Extent(Span(start, end - start), is_hole=False)
        position = end


def _seek(fd: int, size: int, position: int, whence: int) -> int:
    try:
        return min(os.lseek(fd, position, whence), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data behind position
            return size
        if error.errno != errno.EINVAL:
            raise
        return position if whence == os.SEEK_DATA else size  # a file system without holes: all is data


@contextmanager
def open_source(root: bytes, directory: bytes, name: bytes, *, expect: Identity | None = None) -> Iterator[Source]:
    """Hold the file open for reading, under a read lease where one can be had.

    The path is resolved below *root* without following any link. With *expect*, SourceChanged is raised unless it is
    still that state of that file. Also raises SourceBusy (open for writing elsewhere) and SourceRefused (unreadable,
    or not a regular file).
    """
    path = paths.display(root, directory, name)
    with ExitStack() as stack:
        try:
            dir_fd = stack.enter_context(paths.opened_dir(root, directory))
            # Looked at before it is opened: opening a device can do things.
            if not stat.S_ISREG(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
                raise SourceRefused(f"{path} is not a regular file")
            fd = paths.open_file(dir_fd, name)
        except OSError as error:
            raise paths.as_source_error(error, path) from error
        stack.callback(os.close, fd)
        ahead = direct.Ahead(fd)
        stack.callback(ahead.close)  # when the lease is given up: a writer does not wait for what is under way
        lease, problem = None, ""
        try:
            lease = stack.enter_context(read_lease(fd, path))
        except LeaseUnavailable as error:
            problem = error.what
        source = Source(fd, path, lease, problem, ahead=ahead)
        if expect is not None and source.identity != expect:
            raise SourceChanged(f"{path} is not the file that was scanned: it changed since")
        yield source


def is_mostly_cached(fd: int, size: int) -> bool:
    """Return whether more than half of an open file is in the page cache; False where nobody can tell."""
    try:
        return syscalls.cached_pages(fd) * os.sysconf("SC_PAGESIZE") * 2 > size
    except OSError:
        return False  # before Linux 6.5 nobody can tell cheaply
