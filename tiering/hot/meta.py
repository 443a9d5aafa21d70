"""Everything about a file that is not its bytes: read before it leaves, put back exactly when it returns.

Mode, owner, times and every extended attribute, among them POSIX ACLs and SELinux labels, which Linux shows as
attributes. What could not be put back is refused before release, by tiering.hot.refusal.
"""

import errno
import grp
import os
import pwd
import stat
from collections.abc import Callable
from functools import lru_cache, partial

from dedup.values import FileMeta
from tiering.errors import SourceRefused

_NO_XATTRS = frozenset({errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
# Given by the system to every new file where SELinux or Smack is on; it cannot be removed, only replaced.
_LABELS = frozenset({b"security.selinux", b"security.SMACK64"})


def read_meta(fd: int, status: os.stat_result) -> FileMeta:
    """Return the metadata of the open file *fd*; *status* is its fstat. Raises OSError if attributes cannot be
    read.
    """
    return meta_of(status, read_xattrs(fd))


def meta_of(status: os.stat_result, xattrs: tuple[tuple[bytes, bytes], ...]) -> FileMeta:
    """Return the metadata of a file of that *status*, with its attributes as read_xattrs() gives them."""
    return FileMeta(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=status.st_mtime_ns,
        atime_ns=status.st_atime_ns,
        xattrs=xattrs,
        user=_user_name(status.st_uid),
        group=_group_name(status.st_gid),
    )


def plain_meta(mode: int, uid: int, gid: int, *, mtime_ns: int, atime_ns: int) -> FileMeta:
    """Return the metadata of a file without attributes."""
    return FileMeta(mode, uid, gid, mtime_ns, atime_ns, (), _user_name(uid), _group_name(gid))


def read_xattrs(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return (name, value) of every attribute that this process can see, sorted by name.

    trusted.* attributes are shown by the kernel only to CAP_SYS_ADMIN; without it they are not there for us.
    """
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno in _NO_XATTRS:
            return ()
        raise
    if not names:
        return ()
    found = []
    for name in sorted(os.fsencode(name) for name in names):
        try:
            found.append((name, os.getxattr(fd, name)))
        except OSError as error:
            if error.errno != errno.ENODATA:  # removed since it was listed: the ctime tells
                raise
    return tuple(found)


def apply_meta(fd: int, meta: FileMeta) -> tuple[str, ...]:
    """Give the open file *fd* the metadata *meta*; return what could not be given, as phrases (none: it is exact).

    The order matters: chown clears set-id bits and capabilities, an ACL and the mode share the group bits, and times
    go last.
    """
    left_out: list[str] = []
    _attempt(left_out, f"owner {meta.uid}:{meta.gid}", lambda: _chown(fd, meta))
    _apply_xattrs(fd, meta.xattrs, left_out)
    mode = stat.S_IMODE(meta.mode)
    _attempt(left_out, f"mode {mode:04o}", lambda: os.fchmod(fd, mode))
    if stat.S_IMODE(os.fstat(fd).st_mode) != mode and not left_out:
        left_out.append(f"mode {mode:04o}")  # the kernel drops setgid in silence for a group that is not ours
    _attempt(left_out, "times", lambda: os.utime(fd, ns=(meta.atime_ns, meta.mtime_ns)))
    return tuple(left_out)


def apply_meta_exactly(fd: int, meta: FileMeta, path: str) -> None:
    """Give *fd* the metadata and prove it by reading it back. Raises SourceRefused naming what is missing."""
    left_out = apply_meta(fd, meta)
    if not left_out:
        left_out = tuple(differences(meta, read_meta(fd, os.fstat(fd))))
    if left_out:
        raise SourceRefused(
            f"{path}: cannot put back {', '.join(left_out)}",
            now="the placeholder still stands; nothing was changed",
            hint="run as root or as the file's owner, or take the bytes with frostline restore",
        )


def differences(wanted: FileMeta, found: FileMeta) -> list[str]:
    """Name what differs between two metadata, access time and user names aside."""
    pairs = {
        "mode": (stat.S_IMODE(wanted.mode), stat.S_IMODE(found.mode)),
        "owner": ((wanted.uid, wanted.gid), (found.uid, found.gid)),
        "modification time": (wanted.mtime_ns, found.mtime_ns),
    }
    names = [name for name, (left, right) in pairs.items() if left != right]
    before, after = dict(wanted.xattrs), dict(found.xattrs)
    for name in sorted(before.keys() | after.keys()):
        is_given_label = name in _LABELS and name not in before
        if before.get(name) != after.get(name) and not is_given_label:
            names.append(f"attribute {os.fsdecode(name)}")
    return names


def _chown(fd: int, meta: FileMeta) -> None:
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (meta.uid, meta.gid):
        os.fchown(fd, meta.uid, meta.gid)


def _apply_xattrs(fd: int, xattrs: tuple[tuple[bytes, bytes], ...], left_out: list[str]) -> None:
    present = dict(read_xattrs(fd))
    for name in present.keys() - dict(xattrs).keys() - _LABELS:  # e.g. an ACL inherited from the directory's default
        _attempt(left_out, f"absence of {os.fsdecode(name)}", partial(os.removexattr, fd, name))
    for name, value in xattrs:
        if present.get(name) != value:
            _attempt(left_out, f"attribute {os.fsdecode(name)}", partial(os.setxattr, fd, name, value))


def _attempt(left_out: list[str], what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        left_out.append(f"{what} ({error.strerror})")


@lru_cache(maxsize=256)
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


@lru_cache(maxsize=256)
def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
