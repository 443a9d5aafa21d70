"""Linux system calls that the os module does not offer, each as one function that raises OSError.

Used only inside tiering.hot. Numbers above 423 are the same on every architecture that Python 3.11 is built for.
"""

import ctypes
import errno
import fcntl
import os
import struct

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08

# include/uapi/linux/fs.h
FS_IMMUTABLE_FL = 0x00000010
FS_APPEND_FL = 0x00000020
FS_VERITY_FL = 0x00100000
FS_IOC_GETFLAGS = 0x80086601 if struct.calcsize("l") == 8 else 0x80046601

USER_QUOTA = 0
GROUP_QUOTA = 1

_OPENAT2 = 437
_QUOTACTL_FD = 443
_CACHESTAT = 451
_Q_GETQUOTA = 0x800007

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def _fail(code: int, name: bytes = b"") -> OSError:
    return OSError(code, os.strerror(code), name or None)


def _checked(result: int, name: bytes = b"") -> int:
    if result < 0:
        raise _fail(ctypes.get_errno(), name)
    return result


def sync_file_system(fd: int) -> None:
    """Write everything that waits on the file system of *fd* to its disk, as fsync does for one file.

    Errors of the disk since *fd* was opened are raised from Linux 5.8 on; before, they are not seen here.
    """
    _checked(_libc.syncfs(fd))


def rename_exchange(dir_fd: int, first: bytes, second: bytes) -> None:
    """Swap two names of one directory in one step. OSError EINVAL or ENOSYS: this file system cannot."""
    _renameat2(dir_fd, first, second, RENAME_EXCHANGE, dir_fd)


def rename_no_replace(dir_fd: int, old: bytes, new: bytes, to_fd: int = -1) -> None:
    """Rename inside one directory, or to the directory *to_fd* of the same file system; FileExistsError if *new* is
    taken, and nothing has changed.
    """
    if to_fd < 0:
        to_fd = dir_fd
    try:
        _renameat2(dir_fd, old, new, RENAME_NOREPLACE, to_fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS}:
            raise
        # link(2) refuses a taken name everywhere; between the two calls the file has both names, which loses nothing.
        os.link(old, new, src_dir_fd=dir_fd, dst_dir_fd=to_fd, follow_symlinks=False)
        os.unlink(old, dir_fd=dir_fd)


def _renameat2(dir_fd: int, old: bytes, new: bytes, flags: int, to_fd: int) -> None:
    if not hasattr(_libc, "renameat2"):  # glibc before 2.28
        raise _fail(errno.ENOSYS)
    _checked(_libc.renameat2(dir_fd, ctypes.c_char_p(old), to_fd, ctypes.c_char_p(new), flags), old)


def openat2(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
    """Return a descriptor of *path* below *dir_fd*, resolved under *resolve*. OSError ENOSYS before Linux 5.6."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    result = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(dir_fd),
        ctypes.c_char_p(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    return _checked(result, path)


def inode_flags(fd: int) -> int:
    """Return the FS_*_FL flags of an open file; 0 where the file system has none."""
    buffer = bytearray(8)
    try:
        fcntl.ioctl(fd, FS_IOC_GETFLAGS, buffer)
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}:
            return 0
        raise
    return int.from_bytes(buffer[:4], "little" if struct.pack("=I", 1)[0] else "big")


def cached_pages(fd: int) -> int:
    """Return how many pages of the file are in the page cache. OSError ENOSYS before Linux 6.5."""
    whole = (ctypes.c_uint64 * 2)(0, 0)
    answer = (ctypes.c_uint64 * 5)()
    result = _libc.syscall(
        ctypes.c_long(_CACHESTAT), ctypes.c_int(fd), ctypes.byref(whole), ctypes.byref(answer), ctypes.c_uint(0)
    )
    _checked(result)
    return int(answer[0])


def quota(fd: int, kind: int, ident: int) -> tuple[int, int]:
    """Return (hard or else soft limit, used) in bytes for the file system of *fd*; a limit of 0 means none.

    OSError ESRCH, ENOSYS, EPERM and others where quotas are off, unknown or not ours to read.
    """
    answer = (ctypes.c_uint64 * 9)()  # struct if_dqblk; eight 64-bit fields and one 32-bit, padded
    result = _libc.syscall(
        ctypes.c_long(_QUOTACTL_FD),
        ctypes.c_uint(fd),
        ctypes.c_uint((_Q_GETQUOTA << 8) | kind),
        ctypes.c_int(ident),
        ctypes.byref(answer),
    )
    _checked(result)
    hard_blocks, soft_blocks, used_bytes = int(answer[0]), int(answer[1]), int(answer[2])
    return (hard_blocks or soft_blocks) * 1024, used_bytes  # QIF_DQBLKSIZE = 1024


def handle_of(dir_fd: int) -> tuple[int, bytes]:
    """Return the (type, bytes) of the file handle of an open directory or file: it survives renames."""
    room = 128  # MAX_HANDLE_SZ
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", room, 0) + b"\0" * room)
    mount_id = ctypes.c_int()
    at_empty_path = 0x1000
    _checked(
        _libc.name_to_handle_at(
            dir_fd, ctypes.c_char_p(b""), ctypes.byref(buffer), ctypes.byref(mount_id), at_empty_path
        )
    )
    length, kind = struct.unpack_from("=Ii", buffer.raw)
    return kind, buffer.raw[8 : 8 + length]


def open_handle(mount_fd: int, handle: tuple[int, bytes], flags: int) -> int:
    """Open what *handle* names on the file system of *mount_fd*. Needs CAP_DAC_READ_SEARCH; OSError ESTALE if it is
    gone.
    """
    kind, body = handle
    buffer = ctypes.create_string_buffer(struct.pack("=Ii", len(body), kind) + body)
    return _checked(_libc.open_by_handle_at(mount_fd, ctypes.byref(buffer), flags | os.O_CLOEXEC))


def fanotify_init(flags: int, event_flags: int) -> int:
    """Return a new fanotify group."""
    return _checked(_libc.fanotify_init(ctypes.c_uint(flags), ctypes.c_uint(event_flags)))


def fanotify_mark(group_fd: int, flags: int, mask: int, path: bytes) -> None:
    """Add or change a mark on *path*."""
    at_fdcwd = -100
    _checked(
        _libc.fanotify_mark(
            ctypes.c_int(group_fd), ctypes.c_uint(flags), ctypes.c_uint64(mask), at_fdcwd, ctypes.c_char_p(path)
        ),
        path,
    )
