"""Opening directories and files below a root without following links and without a limit on the path's length.

Every function takes raw bytes; `dir` is b"" for the root itself, else "a/b/" with its trailing slash, as in the
catalog.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tiering.errors import SourceBusy, SourceChanged, SourceError, SourceRefused
from tiering.hot import syscalls

# One step of openat2 takes a path below PATH_MAX (4096 with its NUL); longer ones are walked in several steps.
_STEP_BYTES = 4000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RESOLVE = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS


def display(root: bytes, directory: bytes, name: bytes) -> str:
    """Return an absolute path for messages."""
    return os.fsdecode(os.path.join(root, directory, name))


def split(path: bytes) -> tuple[bytes, bytes]:
    """Return (dir, name) of a path relative to its root."""
    head, slash, name = path.rpartition(b"/")
    return head + slash, name


def open_dir(root_fd: int, directory: bytes, *, cross_mounts: bool = True) -> int:
    """Return a readable descriptor of *directory* below *root_fd*. The caller closes it.

    Raises OSError: ELOOP or ENOTDIR when a component is (now) a symbolic link or a file, ENOENT when it is gone,
    EXDEV when it is another mount and *cross_mounts* is False.
    """
    fd = os.open(".", _DIRECTORY, dir_fd=root_fd)
    for step in _steps(directory):
        try:
            below = _open_step(fd, step, cross_mounts=cross_mounts)
        finally:
            os.close(fd)
        fd = below
    return fd


def open_folder(root: bytes, directory: bytes) -> int:
    """Return a readable descriptor of *directory* below the absolute path *root*; the caller closes it. Raises as
    open_dir().
    """
    root_fd = os.open(root, _DIRECTORY)
    try:
        return open_dir(root_fd, directory)
    finally:
        os.close(root_fd)


@contextmanager
def opened_dir(root: bytes, directory: bytes) -> Iterator[int]:
    """Hold *directory* below the absolute path *root* open. Raises as open_dir()."""
    fd = open_folder(root, directory)
    try:
        yield fd
    finally:
        os.close(fd)


def open_file(dir_fd: int, name: bytes) -> int:
    """Open a file for reading: no link followed, atime left alone where the kernel lets us, never blocking on a
    lease or a FIFO.

    Raises OSError: EPERM never (O_NOATIME is dropped for other users' files), EAGAIN when someone holds a lease on
    it.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags | os.O_NOATIME, dir_fd=dir_fd)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        return os.open(name, flags, dir_fd=dir_fd)


def as_source_error(error: OSError, path: str) -> SourceError:
    """Return the error of our tree that says what *error* means for the file at *path*."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}:
        return SourceChanged(f"{path} is not there any more")
    if error.errno == errno.ELOOP:
        return SourceChanged(f"{path} is now a symbolic link, or is reached through one")
    if error.errno in {errno.EAGAIN, errno.ETXTBSY, errno.EBUSY}:
        return SourceBusy(f"{path} is in use: {error.strerror}")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return SourceRefused(
            f"{path} cannot be read: {error.strerror}", hint="run as its owner, or give frostline CAP_DAC_READ_SEARCH"
        )
    return SourceError(f"{path} cannot be read: {error.strerror}")


def _steps(directory: bytes) -> Iterator[bytes]:
    while len(directory) > _STEP_BYTES:
        cut = directory.rindex(b"/", 0, _STEP_BYTES) + 1
        yield directory[:cut]
        directory = directory[cut:]
    if directory:
        yield directory


def _open_step(dir_fd: int, step: bytes, *, cross_mounts: bool) -> int:
    resolve = _RESOLVE | (0 if cross_mounts else syscalls.RESOLVE_NO_XDEV)
    try:
        return syscalls.openat2(dir_fd, step, _DIRECTORY, resolve)
    except OSError as error:
        # ENOSYS: before Linux 5.6. EPERM: older container sandboxes answer so to calls they do not know.
        if error.errno not in {errno.ENOSYS, errno.EPERM}:
            raise
    return _open_components(dir_fd, step, cross_mounts=cross_mounts)


def _open_components(dir_fd: int, step: bytes, *, cross_mounts: bool) -> int:
    fd = os.dup(dir_fd)
    device = os.fstat(fd).st_dev
    for component in step.split(b"/"):
        if component in {b"", b"."}:
            continue
        try:
            if component == b"..":
                raise OSError(errno.EXDEV, "a path may not climb", component)
            below = os.open(component, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
        if not cross_mounts and os.fstat(fd).st_dev != device:
            os.close(fd)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), component)
    return fd
