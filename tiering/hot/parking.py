"""The swap of a release: exchange, park, and let go only when nobody came.

- begin: under a write lease every name of the inode is exchanged with its placeholder, and the inode then stands
  under a hidden name in the same directory. Verified while the lease is whole; else exchanged back, so that a writer
  who came finds its file at its path.
- park: a writer that had resolved the path before the exchange has time to open the inode.
- finish: under a second write lease and with the identity unchanged the hidden names are unlinked; else the inode
  goes back.

Nothing here is durable before an fsync of the directories, which is the caller's: it does many files with one, and
never while a lease makes a writer wait. The names on disk alone tell how far an operation came (a hidden link: not
exchanged, a hidden file: parked, none: done), so every function may run again after a crash. All names of a
hard-linked inode go together.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from tiering.errors import SourceBusy
from tiering.hot import names, paths, syscalls
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.lease import Lease, LeaseUnavailable, write_lease
from tiering.hot.meta import read_xattrs
from tiering.hot.placeholder import write_placeholder
from tiering.hot.salvage import salvage
from tiering.hot.swap import give_back, is_inode, is_placeholder, put_back, remove_own_link, status_of, unlink_if_there

Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Pass; a test's stand-in kills the process here, or lets a writer come."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One name of an inode that is being released."""

    dir_fd: int
    name: bytes
    hidden: bytes
    """Where the placeholder waits and then the inode is parked."""
    target: bytes | None
    """Of the placeholder; None for a root whose files leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Parked:
    """All names are exchanged."""

    identity: Identity
    """Of the parked inode, noted under the lease."""


@dataclass(frozen=True, slots=True)
class Undone:
    """All names are as they were."""

    reason: str
    identity: Identity | None
    """The file's identity after the exchange back, noted while the lease still stood: the state that was stored.
    None if nothing moved.
    """
    is_busy: bool
    """Another process came; else the file had changed."""


class Outcome(Enum):
    """How finish() ended."""

    FREED = "freed"
    """The inode is unlinked."""
    GONE = "gone"
    """No parked inode is there any more: finished earlier, or its directory was deleted by a user."""
    REVERTED = "reverted"
    """The inode stands at its path again."""
    CONFLICT = "conflict"
    """It had changed, and a user has replaced or deleted the placeholder: it is kept under the conflict name."""
    STILL_PARKED = "still parked"
    """Somebody has it open, and a user has replaced or deleted the placeholder: ask again later."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What finish() did, and why."""

    outcome: Outcome
    reason: str = ""


def begin(
    fd: int,
    slots: Sequence[Slot],
    *,
    expected: Identity,
    op: str,
    without_lease: bool = False,
    step: Step = no_step,
) -> Parked | Undone:
    """Exchange every name of the open file *fd* with a placeholder, if it is and stays *expected*.

    The placeholders get the file's owner and times. *without_lease* compares stamps only (P1: the root must allow
    it). Raises LeaseUnavailable with nothing changed, and OSError (EINVAL: no exchange here) with hidden links left
    for undo().
    """
    status = os.fstat(fd)
    if Identity.of(status) != expected or status.st_nlink != len(slots):
        return Undone("it changed since it was stored", None, is_busy=False)
    for slot in slots:
        if slot.target is not None:
            times = KeptTimes(slot.dir_fd)
            remove_own_link(slot.dir_fd, slot.hidden)
            write_placeholder(
                slot.dir_fd,
                slot.hidden,
                slot.target,
                owner=(status.st_uid, status.st_gid),
                times=(status.st_atime_ns, status.st_mtime_ns),
            )
            times.after()
            times.put_back()
    try:
        with _held(fd, slots[0], without_lease=without_lease) as lease:
            result = _exchange_all(fd, slots, expected=expected, op=op, lease=lease, step=step)
    except SourceBusy as error:
        result = Undone(error.what, None, is_busy=True)
    except LeaseUnavailable:
        _remove_links(slots)
        raise
    if isinstance(result, Undone):
        _remove_links(slots)
    return result


def _exchange_all(
    fd: int, slots: Sequence[Slot], *, expected: Identity, op: str, lease: Lease | None, step: Step
) -> Parked | Undone:
    """The part of begin() during which writers wait: a few system calls."""
    status, xattrs = os.fstat(fd), read_xattrs(fd)
    if Identity.of(status) != expected:
        return Undone("it changed since it was stored", None, is_busy=False)
    reason = ""
    exchanged: list[Slot] = []
    for slot in slots:
        if not _exchange_one(slot, expected.inode, op):
            reason = f"{os.fsdecode(slot.name)} is not that file any more"
            break
        exchanged.append(slot)
    step("release.exchanged")
    after = os.fstat(fd)
    if not reason and (_kept(after) != _kept(status) or read_xattrs(fd) != xattrs):
        reason = "its metadata changed at this moment"
    is_busy = lease is not None and lease.is_wanted()
    if not reason and not is_busy:
        return Parked(Identity.of(after))
    for slot in exchanged:
        put_back(slot.dir_fd, slot.name, slot.hidden, target=slot.target, op=op)
    return Undone(
        reason or "another process opened it at this moment", Identity.of(os.fstat(fd)) if exchanged else None, is_busy
    )


def _exchange_one(slot: Slot, inode: tuple[int, int], op: str) -> bool:
    times = KeptTimes(slot.dir_fd)
    dir_fd, name, hidden, target = slot.dir_fd, slot.name, slot.hidden, slot.target
    if not is_inode(dir_fd, name, inode):
        return False
    try:
        if target is None:
            syscalls.rename_no_replace(dir_fd, name, hidden)
        else:
            syscalls.rename_exchange(dir_fd, name, hidden)
    except FileNotFoundError:
        return False
    is_exchanged = is_inode(dir_fd, hidden, inode)
    if not is_exchanged:  # somebody replaced the file between look and exchange
        if target is None:
            _put_free(dir_fd, name, hidden, op)
        else:
            give_back(dir_fd, name, hidden, op=op, is_ours=lambda: is_placeholder(dir_fd, hidden, target))
    times.after()
    times.put_back()
    return is_exchanged


def _put_free(dir_fd: int, name: bytes, hidden: bytes, op: str) -> None:
    """Give a user's file that was moved away by mistake its name back, or the conflict name if that is taken by
    now.
    """
    try:
        syscalls.rename_no_replace(dir_fd, hidden, name)
    except FileExistsError:
        syscalls.rename_no_replace(dir_fd, hidden, names.conflict(name, op))


def _kept(status: os.stat_result) -> tuple[int, ...]:
    """What an exchange leaves as it was; ctime it may move (ext4) or not (xfs)."""
    return (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
        status.st_size,
        status.st_mtime_ns,
        status.st_ino,
    )


def finish(
    slots: Sequence[Slot], *, parked: Identity, op: str, without_lease: bool = False, step: Step = no_step
) -> Finished:
    """Unlink the parked inode if nobody has it open and it is still *parked*; else put it back. May run again.

    Raises LeaseUnavailable with nothing changed; OSError leaves it parked.
    """
    present = [slot for slot in slots if is_inode(slot.dir_fd, slot.hidden, parked.inode)]
    if not present:
        _remove_links(slots)
        return Finished(Outcome.GONE)
    try:
        fd = paths.open_file(present[0].dir_fd, present[0].hidden)
    except BlockingIOError:
        return _revert(present, op, "another process holds a lease on it", is_changed=False)
    try:
        with _held(fd, present[0], without_lease=without_lease) as lease:
            finished = _unlink_if_untouched(fd, present, parked=parked, op=op, lease=lease, step=step)
            is_late = finished.outcome is Outcome.FREED and lease is not None and lease.is_wanted()
        if is_late:
            where = salvage(fd, present[0].dir_fd, present[0].name, target=present[0].target, op=op)
            finished = Finished(_outcome([where]), "another process opened it at the last moment")
    except SourceBusy as error:
        finished = _revert(present, op, error.what, is_changed=False)
    finally:
        os.close(fd)
    return finished


def _unlink_if_untouched(
    fd: int, present: Sequence[Slot], *, parked: Identity, op: str, lease: Lease | None, step: Step
) -> Finished:
    """The part of finish() during which writers wait: a few system calls; the blocks are freed when *fd* is
    closed.
    """
    if Identity.of(os.fstat(fd)) != parked:
        return _revert(present, op, "it changed while it was parked", is_changed=True)
    step("release.unlinking")
    if lease is not None and lease.is_wanted():
        return _revert(present, op, "another process opened it", is_changed=False)
    for slot in present:
        times = KeptTimes(slot.dir_fd)
        unlink_if_there(slot.dir_fd, slot.hidden)
        times.after()
        times.put_back()
    step("release.unlinked")
    return Finished(Outcome.FREED)


def undo(slots: Sequence[Slot], *, inode: tuple[int, int], op: str) -> Finished:
    """Put the inode back at all its names, however far begin() came, and remove our links. May run again."""
    wheres = [
        put_back(slot.dir_fd, slot.name, slot.hidden, target=slot.target, op=op)
        for slot in slots
        if is_inode(slot.dir_fd, slot.hidden, inode)
    ]
    _remove_links(slots)
    return Finished(_outcome(wheres)) if wheres else Finished(Outcome.GONE)


def _revert(present: Sequence[Slot], op: str, reason: str, *, is_changed: bool) -> Finished:
    if not is_changed and any(_is_given_up(slot) for slot in present):
        # Unchanged so far, and its path is the user's again: no reason yet to litter the directory with a conflict.
        return Finished(Outcome.STILL_PARKED, reason)
    wheres = [put_back(slot.dir_fd, slot.name, slot.hidden, target=slot.target, op=op) for slot in present]
    return Finished(_outcome(wheres), reason)


def _outcome(wheres: Sequence[str]) -> Outcome:
    return Outcome.CONFLICT if "conflict" in wheres else Outcome.REVERTED


def _is_given_up(slot: Slot) -> bool:
    """Whether a user has deleted or replaced what the release put at the path."""
    if slot.target is None:
        return status_of(slot.dir_fd, slot.name) is not None
    return not is_placeholder(slot.dir_fd, slot.name, slot.target)


def _remove_links(slots: Sequence[Slot]) -> None:
    for slot in slots:
        times = KeptTimes(slot.dir_fd)
        remove_own_link(slot.dir_fd, slot.hidden)
        times.after()
        times.put_back()


@contextmanager
def _held(fd: int, slot: Slot, *, without_lease: bool) -> Iterator[Lease | None]:
    if without_lease:
        yield None
        return
    with write_lease(fd, os.fsdecode(slot.name)) as lease:
        yield lease
