"""Which files are not tiered, and why: those whose bytes or metadata could not be put back exactly, or that the
system is using.

Asked before a file is read for storing, and again before it is released.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterable
from functools import partial

from tiering.hot import syscalls
from tiering.hot.meta import read_xattrs

# Effective capabilities by bit number, include/uapi/linux/capability.h
_CAP_SYS_ADMIN = 21
_CAP_SETFCAP = 31
# Signed over the inode's own number and metadata: worthless on any other inode.
_BOUND_TO_INODE = frozenset({b"security.ima", b"security.evm"})
_LABELS = frozenset({b"security.selinux", b"security.SMACK64"})
_ACLS = frozenset({b"system.posix_acl_access"})
_REFUSED_FLAGS = syscalls.FS_IMMUTABLE_FL | syscalls.FS_APPEND_FL | syscalls.FS_VERITY_FL


def refusal(
    fd: int,
    status: os.stat_result,
    *,
    names_known: int | None = None,
    surroundings: "Surroundings | None" = None,
) -> str:
    """Return why the open file may not be tiered, as the end of a sentence ("is immutable"); "" if it may.

    With *names_known*, a file that has more hard links than that is refused: releasing some of its names would free
    nothing and part them.
    """
    reason = refusal_by_stat(status, names_known=names_known)
    if reason:
        return reason
    try:
        xattrs = read_xattrs(fd)
    except OSError as error:
        return f"has extended attributes that cannot be read ({error.strerror})"
    return (surroundings or Surroundings()).refusal(fd, status, xattrs)


class Surroundings:
    """What the system was using at one moment. Asking is dear, so one serves the files of a moment: a few milliseconds.

    Nothing is lost by a program started since: release asks again, under a lease that no running program grants.
    """

    __slots__ = ("_programs", "_swapped")

    def __init__(self) -> None:
        """Ask for nothing before it is needed."""
        self._swapped: frozenset[tuple[int, int]] | None = None
        self._programs: frozenset[tuple[int, int]] | None = None

    def refusal(self, fd: int, status: os.stat_result, xattrs: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the part of refusal() that refusal_by_stat() cannot tell; *xattrs* are those of the file."""
        flags = syscalls.inode_flags(fd)
        if flags & _REFUSED_FLAGS:
            if flags & syscalls.FS_IMMUTABLE_FL:
                return "is immutable (chattr +i)"
            return "is append-only (chattr +a)" if flags & syscalls.FS_APPEND_FL else "is sealed with fs-verity"
        reason = self.use_of((status.st_dev, status.st_ino), status.st_mode)
        return reason or (_refused_attribute(name for name, _ in xattrs) if xattrs else "")

    def in_use(self, inodes: Collection[tuple[int, int]], *, may_run: bool) -> Collection[tuple[int, int]]:
        """Return those of *inodes*, (dev, ino) each, of which use_of() has something to say; with *may_run* some of
        them may be executed, by their modes.
        """
        if self._swapped is None:
            self._swapped = swap_files()
        found = self._swapped.intersection(inodes)
        if may_run:
            if self._programs is None:
                self._programs = running_programs()
            found |= self._programs.intersection(inodes)
        return found

    def use_of(self, inode: tuple[int, int], mode: int) -> str:
        """Return what the system was using the file of that (dev, ino) and mode for, as refusal() does."""
        if mode & 0o111:
            if self._programs is None:
                self._programs = running_programs()
            if inode in self._programs:
                return "is being executed"
        if self._swapped is None:
            self._swapped = swap_files()
        return "is a swap file in use" if inode in self._swapped else ""


def refusal_by_stat(status: os.stat_result, *, names_known: int | None = None) -> str:
    """The part of refusal() that needs no open file."""
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_mode & stat.S_ISUID:
        return "is setuid"
    if status.st_mode & stat.S_ISGID and status.st_mode & stat.S_IXGRP:
        return "is setgid"
    if names_known is not None and status.st_nlink != names_known:
        return f"has {status.st_nlink} hard links, of which {names_known} are known under the roots"
    return ""


def swap_files() -> frozenset[tuple[int, int]]:
    """Return (dev, ino) of the files that are swapped to now."""
    found = set()
    try:
        table = os.open("/proc/swaps", os.O_RDONLY | os.O_CLOEXEC)  # open() makes twice as many calls of its own
        try:
            text = b"".join(iter(partial(os.read, table, 1 << 16), b""))
        finally:
            os.close(table)
    except OSError:
        return frozenset()
    for line in text.splitlines()[1:]:
        path = line.split()[0].decode("unicode_escape").encode("latin-1")  # the kernel escapes blanks as \040
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def running_programs() -> frozenset[tuple[int, int]]:
    """Return (dev, ino) of the programs of those processes that we may look at. Others are found out by the write
    lease of release.
    """
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            program = os.stat(f"/proc/{name}/exe")
        except OSError:
            continue
        found.add((program.st_dev, program.st_ino))
    return frozenset(found)


def _refused_attribute(names: Iterable[bytes]) -> str:
    for name in names:
        shown = os.fsdecode(name)
        if name in _BOUND_TO_INODE:
            return f"carries {shown}, which is valid on this very inode only"
        namespace = name.split(b".", 1)[0]
        if name == b"security.capability":
            needed = _CAP_SETFCAP
        elif namespace in {b"user", b"btrfs"} or name in _ACLS or name in _LABELS:
            continue
        elif namespace in {b"trusted", b"security"}:
            needed = _CAP_SYS_ADMIN
        else:
            return f"carries {shown}, a kind of attribute that cannot be written back"
        if not _effective_capabilities() >> needed & 1:
            return f"carries {shown}, which this process has no capability to write back"
    return ""


def _effective_capabilities() -> int:
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"CapEff:"):
                    return int(line.split()[1], 16)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
    return 0
