"""Whether there is room to bring bytes back: free space, the reserve that must stay free, and the owner's quota.

Asked before a recall fetches anything, so that a full disk is a sentence and not half a file.
"""

import os

from tiering.errors import NoSpace
from tiering.hot import syscalls

# A file's blocks, its new inode and its directory's growth are counted with this on top of its bytes.
_SLACK_BYTES = 64 * 1024


def free_bytes(path: bytes) -> int:
    """Return what an ordinary user may still write to the file system of *path*."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def check_room(
    path: bytes, need_bytes: int, *, uid: int, gid: int | None = None, reserve_fraction: float = 0.02, shown: str = ""
) -> None:
    """Raise NoSpace unless *need_bytes* fit on the file system of *path* and into the quota of *uid* (and *gid*).

    Afterwards at least *reserve_fraction* of the file system must still be free. Quotas that are off, or that this
    process may not read, do not count. *path* must exist; *shown* is what messages call it.
    """
    need_bytes += _SLACK_BYTES
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    reserve = int(status.f_blocks * status.f_frsize * reserve_fraction)
    shown = shown or os.fsdecode(path)
    now = "nothing was fetched; the placeholder still stands"
    if free - need_bytes < reserve:
        raise NoSpace(
            f"{shown}: {need_bytes} bytes are needed and {free} are free, of which {reserve} are kept in reserve",
            now=now,
            hint="free space, release something else, or lower recall.reserve_fraction",
        )
    if status.f_files and status.f_favail == 0:
        raise NoSpace(f"{shown}: the file system has no free inode", now=now, hint="delete something")
    for who, kind, ident in (("user", syscalls.USER_QUOTA, uid), ("group", syscalls.GROUP_QUOTA, gid)):
        left = None if ident is None else quota_left(path, kind, ident)
        if left is not None and left < need_bytes:
            raise NoSpace(
                f"{shown}: {need_bytes} bytes are needed and the quota of {who} {ident} has {left} left",
                now=now,
                hint="raise the quota, or free some of it",
            )


def quota_left(path: bytes, kind: int, ident: int) -> int | None:
    """Return the bytes that a quota (syscalls.USER_QUOTA or GROUP_QUOTA) leaves to *ident*; None if there is none to
    be seen.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        limit, used = syscalls.quota(fd, kind, ident)
    except OSError:
        return None
    finally:
        os.close(fd)
    return max(0, limit - used) if limit else None
