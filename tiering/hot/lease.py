"""File leases: the kernel's word that nobody has a file open for writing, and its call when somebody wants to.

A read lease (F_RDLCK) is granted while no one has the file open or mapped for writing; a write lease (F_WRLCK) while
no one but us has it open at all. Whoever then opens it is held in open(2) until the lease is given up; one that came
with O_NONBLOCK gets EAGAIN. The kernel would wait 45 s and then break the lease by force: we give it up at once.
facts: docs/design.md, "The swap".
"""

import errno
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self

from tiering.errors import SourceBusy, SourceError

# P10: a writer must not wait 200 ms; several polls fit into that even on a busy machine.
POLL_S = 0.02


class LeaseUnavailable(SourceError):
    """No lease can be had here: a network or FUSE file system, or another user's file without CAP_LEASE."""


def ignore_sigio() -> None:
    """Ignore SIGIO, which the kernel sends when a lease is wanted by another and whose default is to kill. Main
    thread only.

    Every process that takes leases calls it at its start. Leases are polled, so the signal is not needed.
    """
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def lease_state(fd: int) -> int:
    """Return F_RDLCK, F_WRLCK or F_UNLCK; anything but what was taken means that another process waits."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE)


class Lease:
    """One lease on one descriptor; broken once another process asked for the file."""

    def __init__(self, fd: int, kind: int) -> None:
        """Describe a lease of *kind* that take() is going to ask for on *fd*."""
        self._fd = fd
        self._kind = kind
        self._broken = False
        self._lock = threading.Lock()

    def take(self, path: str) -> None:
        """Ask the kernel. Raises SourceBusy if others have the file open in a way that forbids it,
        LeaseUnavailable.
        """
        # SIGURG, ignored by default, instead of SIGIO: even a process that forgot ignore_sigio() is not killed.
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, self._kind)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EBUSY}:
                how = "open for writing" if self._kind == fcntl.F_RDLCK else "open"
                raise SourceBusy(f"{path} is {how} in another process") from error
            if error.errno == errno.EACCES:
                raise LeaseUnavailable(
                    f"{path} belongs to another user, and without CAP_LEASE no lease on it can be had"
                ) from error
            raise LeaseUnavailable(f"the file system of {path} grants no leases: {error.strerror}") from error

    def is_whole(self) -> bool:
        """Return whether nobody has asked for the file since take(). A broken lease is given up here, at once."""
        with self._lock:
            if not self._broken and lease_state(self._fd) != self._kind:
                self._broken = True
                _give_up(self._fd)
            return not self._broken

    def is_wanted(self) -> bool:
        """Return whether another process waits, without giving the lease up: the caller has something to undo
        first.
        """
        with self._lock:
            return self._broken or lease_state(self._fd) != self._kind

    def give_up(self) -> None:
        """Let everybody in. May be called twice."""
        with self._lock:
            self._broken = True
            _give_up(self._fd)

    def look(self) -> bool:
        """See Watched."""
        return self.is_whole()


def _give_up(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        pass  # EAGAIN: the kernel has already taken it away


class Watched(Protocol):
    """What LeaseWatch polls."""

    def look(self) -> bool:
        """Give the lease up if it is broken; return whether to look again."""


class OneLease:
    """The read lease of one thread on one small file after another; watched while watching() lasts.

    Closing the descriptor is what gives a lease up, so that a file costs no call for it.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._fd = -1
        self._broken = False
        self._lock = threading.Lock()

    @contextmanager
    def watching(self) -> Iterator[Self]:
        """Let the watch look at the lease in hand, whichever file it is on."""
        _watch.add(self)
        try:
            yield self
        finally:
            _watch.discard(self)

    def begin(self, fd: int) -> bool:
        """Take a lease on *fd*; False where none can be had. Raises OSError EAGAIN or EBUSY when somebody writes."""
        try:
            fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # as Lease.take() does, for its reasons
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EBUSY}:
                raise
            return False
        with self._lock:
            self._fd, self._broken = fd, False
        return True

    def is_whole(self) -> bool:
        """Return whether nobody has asked for the file since begin(). A broken lease is given up here, at once."""
        with self._lock:
            if self._fd >= 0 and not self._broken and lease_state(self._fd) != fcntl.F_RDLCK:
                self._broken = True
                _give_up(self._fd)
            return not self._broken

    def look(self) -> bool:
        """See Watched."""
        self.is_whole()
        return True

    def end(self) -> None:
        """Look at the descriptor no more; the caller closes it. May be called without begin()."""
        with self._lock:
            self._fd = -1


class LeaseWatch:
    """Polls leases that are held for long and gives broken ones up, so that a writer waits one poll and not one
    upload.

    One daemon thread, started with the first lease; it sleeps while none was taken for a whole poll. Thousands of
    small files a second each hold a lease for less than a poll: waking the thread for every one of them costs more than
    reading them, so it ticks by the clock and looks at those it finds.
    """

    def __init__(self, poll_s: float = POLL_S) -> None:
        """Watch nothing yet; poll every *poll_s* seconds."""
        self._poll_s = poll_s
        self._leases: set[Watched] = set()
        self._change = threading.Condition()
        self._is_idle = False
        self._was_used = False
        self._runner: threading.Thread | None = None

    def add(self, lease: Watched) -> None:
        """Poll *lease* until discard()."""
        with self._change:
            self._leases.add(lease)
            self._was_used = True
            if self._runner is None:
                self._runner = threading.Thread(target=self._poll, name="frostline-leases", daemon=True)
                self._runner.start()
            elif self._is_idle:
                self._change.notify()

    def forget_all(self) -> None:
        """Begin anew in a forked child: the leases stay the parent's, and its lock may have been held at the fork."""
        self._leases = set()
        self._change = threading.Condition()
        self._is_idle = False
        self._was_used = False
        self._runner = None

    def discard(self, lease: Watched) -> None:
        """Stop polling *lease*. On return its descriptor may be closed."""
        with self._change:
            self._leases.discard(lease)

    def _poll(self) -> None:
        while True:
            with self._change:
                while not (self._leases or self._was_used):
                    self._is_idle = True
                    self._change.wait()
                self._is_idle = self._was_used = False
                for lease in tuple(self._leases):
                    if not lease.look():
                        self._leases.discard(lease)
                self._change.wait(self._poll_s)


_watch = LeaseWatch()
os.register_at_fork(after_in_child=_watch.forget_all)


@contextmanager
def read_lease(fd: int, path: str) -> Iterator[Lease]:
    """Hold a watched read lease on *fd* (opened read-only). Raises SourceBusy or LeaseUnavailable."""
    lease = Lease(fd, fcntl.F_RDLCK)
    lease.take(path)
    _watch.add(lease)
    try:
        yield lease
    finally:
        _watch.discard(lease)
        lease.give_up()


@contextmanager
def write_lease(fd: int, path: str) -> Iterator[Lease]:
    """Hold a write lease on *fd*; every open of the file by others waits, so hold it for microseconds.

    Raises SourceBusy (somebody has it open, mapped, or executes it) or LeaseUnavailable.
    """
    lease = Lease(fd, fcntl.F_WRLCK)
    lease.take(path)
    try:
        yield lease
    finally:
        lease.give_up()
