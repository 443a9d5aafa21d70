"""Steps that exchange two names of one directory and can be repeated, verified and taken back.

A rename over a file is not safe for its writers: one that resolved the path before and opens after it writes into an
unlinked inode. So names are exchanged, what came out is looked at, and exchanged back if it was not what was meant.
The sequence of a release is in tiering.hot.parking; recall uses swap_in().
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dedup.values import FileMeta
from tiering.errors import SourceBusy, SourceChanged
from tiering.hot import names, syscalls
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.lease import LeaseUnavailable, write_lease
from tiering.hot.placeholder import read_link

_CANNOT_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def status_of(dir_fd: int, name: bytes) -> os.stat_result | None:
    """Return the stat of *name* itself; None if nothing is there."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_inode(dir_fd: int, name: bytes, inode: tuple[int, int]) -> bool:
    """Return whether *name* is the regular file with that (dev, ino)."""
    status = status_of(dir_fd, name)
    return status is not None and stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) == inode


def is_placeholder(dir_fd: int, name: bytes, target: bytes) -> bool:
    """Return whether *name* is a link with exactly that target."""
    return read_link(dir_fd, name) == target


def unlink_if_there(dir_fd: int, name: bytes) -> None:
    """Unlink; absent is fine."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        pass


def remove_own_link(dir_fd: int, hidden: bytes) -> None:
    """Remove the hidden name if it is a symbolic link; anything else, or nothing, is left."""
    if read_link(dir_fd, hidden) is not None:
        unlink_if_there(dir_fd, hidden)


def put_back(dir_fd: int, name: bytes, hidden: bytes, *, target: bytes | None, op: str) -> str:
    """Give the inode under *hidden* its name again. Return where it stands then: "path" or "conflict".

    *target* is the placeholder that was put at *name*: if it still stands there, the inode takes its place. If a
    user has put something else there, or has deleted the placeholder, that stays so, and the inode gets the conflict
    name beside it. With None no placeholder was put there, and the name is taken if it is free. Nothing is ever
    overwritten. Durable after an fsync of the directory, which is the caller's: it must not happen while a lease
    makes writers wait.
    """
    if target is None or not is_placeholder(dir_fd, name, target):
        return _take_free_name(dir_fd, name, hidden, target, op)
    status = os.stat(hidden, dir_fd=dir_fd, follow_symlinks=False)
    inode = (status.st_dev, status.st_ino)
    times = KeptTimes(dir_fd)
    try:
        syscalls.rename_exchange(dir_fd, name, hidden)
    except FileNotFoundError:  # deleted in this very moment
        return _take_free_name(dir_fd, name, hidden, target, op)
    is_placed = is_placeholder(dir_fd, hidden, target)
    if is_placed:
        unlink_if_there(dir_fd, hidden)
    else:
        # False: the inode stood at its path for a moment, and a user put something else over it. That was theirs to
        # do.
        is_placed = not give_back(dir_fd, name, hidden, op=op, is_ours=lambda: is_inode(dir_fd, hidden, inode))
    times.after()
    times.put_back()
    return "path" if is_placed else _take_free_name(dir_fd, name, hidden, target, op)


def give_back(dir_fd: int, name: bytes, hidden: bytes, *, op: str, is_ours: Callable[[], bool]) -> bool:
    """Exchange again: what came to *hidden* is a user's, who replaced *name* in the moment of our exchange.

    *is_ours* tells whether *hidden* now has what we had there. If not (False is returned), the user was at it a
    second time in between: the newer of theirs stays at *name*, the older is kept under the conflict name.
    """
    try:
        syscalls.rename_exchange(dir_fd, name, hidden)
    except FileNotFoundError:  # deleted meanwhile; theirs returns rather than be lost
        syscalls.rename_no_replace(dir_fd, hidden, name)
        return False
    if is_ours():
        return True
    syscalls.rename_exchange(dir_fd, name, hidden)
    syscalls.rename_no_replace(dir_fd, hidden, names.conflict(name, op))
    return False


def _take_free_name(dir_fd: int, name: bytes, hidden: bytes, target: bytes | None, op: str) -> str:
    candidates = [(names.conflict(name, op), "conflict")]
    if target is None:
        candidates.insert(0, (name, "path"))
    times = KeptTimes(dir_fd)
    for candidate, where in candidates:
        times.before()
        try:
            syscalls.rename_no_replace(dir_fd, hidden, candidate)
        except FileExistsError:
            continue
        finally:
            times.after()
            times.put_back()
        return where
    raise SourceChanged(
        f"the conflict name of {os.fsdecode(name)} is taken",
        now=f"the other version is kept as {os.fsdecode(hidden)}",
        hint="rename one of them; the next start goes on from there",
    )


@dataclass(frozen=True, slots=True)
class Place:
    """One name at which a finished file is put."""

    dir_fd: int
    name: bytes
    temp: bytes
    """The hidden name of the file in that directory."""
    target: bytes | None
    """Of the placeholder that stands at *name*; None where nothing may stand."""


@dataclass(frozen=True, slots=True)
class SwappedIn:
    """What swap_in() did."""

    identity: Identity
    """Of the file as it is known to hold the bytes written. If somebody changed it in the same moment: an identity
    that it has no more, so that the next scan sees a changed file."""
    refused: tuple[int, ...]
    """Indices of the places where something else stands; the file still has its hidden name there."""


def swap_in(places: Sequence[Place], *, fd: int, meta: FileMeta | None) -> SwappedIn:
    """Put the finished file, open as *fd*, durable, and present under every hidden name, at all its places.

    Not durable before an fsync of the directories. Raises SourceChanged, with everything as it was, if something
    else than the placeholder stands at all of them.
    """
    before = Identity.of(os.fstat(fd))
    try:
        with write_lease(fd, os.fsdecode(places[0].name)):
            refused = _place_all(places)
            status = os.fstat(fd)
    except (LeaseUnavailable, SourceBusy):
        refused = _place_all(places)
        status = os.fstat(fd)
    if len(refused) == len(places):
        raise _replaced(places[0].name)
    for index, place in enumerate(places):
        if place.target is not None and index not in refused:
            times = KeptTimes(place.dir_fd)
            remove_own_link(place.dir_fd, place.temp)
            times.after()
            times.put_back()
    after = Identity.of(status)
    is_untouched = meta is None or _attributes(meta) == (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    return SwappedIn(after if is_untouched and after.same_content_stamps(before) else before, tuple(refused))


def _attributes(meta: FileMeta) -> tuple[int, int, int]:
    return stat.S_IMODE(meta.mode), meta.uid, meta.gid


def _place_all(places: Sequence[Place]) -> list[int]:
    refused = []
    for index, place in enumerate(places):
        times = KeptTimes(place.dir_fd)
        try:
            _exchange_in(place, times)
        except SourceChanged:
            refused.append(index)
        times.put_back()
    return refused


def _exchange_in(place: Place, times: KeptTimes) -> None:
    dir_fd, name, temp, target = place.dir_fd, place.name, place.temp, place.target
    status = os.stat(temp, dir_fd=dir_fd, follow_symlinks=False)
    inode = (status.st_dev, status.st_ino)
    try:
        if target is None:
            _rename_in(dir_fd, name, temp)
            return
        if not is_placeholder(dir_fd, name, target):
            raise _replaced(name)
        try:
            syscalls.rename_exchange(dir_fd, name, temp)
        except OSError as error:
            if error.errno in _CANNOT_EXCHANGE:
                _move_aside_in(dir_fd, name, temp, target)
                return
            raise
        if not is_placeholder(dir_fd, temp, target):
            give_back(
                dir_fd,
                name,
                temp,
                op=names.operation_of(temp) or "recall",
                is_ours=lambda: is_inode(dir_fd, temp, inode),
            )
            raise _replaced(name)
    except FileNotFoundError as error:
        raise _replaced(name) from error
    finally:
        times.after()


def _rename_in(dir_fd: int, name: bytes, temp: bytes) -> None:
    try:
        syscalls.rename_no_replace(dir_fd, temp, name)
    except FileExistsError as error:
        raise _replaced(name) from error


def _move_aside_in(dir_fd: int, name: bytes, temp: bytes, target: bytes) -> None:
    """Do it on file systems without exchange: for two system calls nothing stands at *name*; nothing is
    overwritten.
    """
    aside = temp + b".aside"
    os.rename(name, aside, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    if not is_placeholder(dir_fd, aside, target):
        syscalls.rename_no_replace(dir_fd, aside, name)
        raise _replaced(name)
    _rename_in(dir_fd, name, temp)
    unlink_if_there(dir_fd, aside)


def _replaced(name: bytes) -> SourceChanged:
    return SourceChanged(
        f"{os.fsdecode(name)} is no longer the placeholder of this file",
        now="what stands there was left alone",
        hint="if the stored version is wanted as well: frostline restore",
    )
