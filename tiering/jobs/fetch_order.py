"""The digest of a file that is written as its pieces come: made of the bytes at hand where they come in order.

Used by tiering.jobs.fetch_outlets. Threads take neighbouring blocks at the same time, so that pieces come a little out
of order: those that come early are kept as long as there is room, and read back from the file otherwise.
"""

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

from dedup.fingerprint import FileDigest
from dedup.values import Digest
from tiering import direct
from tiering.jobs.fetch_sinks import Buffer, Given

Read = Callable[[memoryview, int], int]
"""Target.read."""
_READ_BYTES = 256 << 10  # what stays in a core's own cache from the copy to the digest


class Room:
    """Memory that the files of a fetch share for what waits. Thread-safe."""

    __slots__ = ("_left", "_lock")

    def __init__(self, size_bytes: int) -> None:
        """Begin with all of it free."""
        self._left = size_bytes
        self._lock = Lock()

    def take(self, size_bytes: int) -> bool:
        """Take some of it; False if there is not as much."""
        with self._lock:
            if size_bytes > self._left:
                return False
            self._left -= size_bytes
            return True

    def give_back(self, size_bytes: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += size_bytes

    def keep(self, run: Given) -> int:
        """Take the room for a run as it is; return its bytes, or -1 where it has to go.

        A view of a block keeps all of the block: one that is less than half of it is not worth that.
        """
        cost = run.place.raw_len if isinstance(run.data, memoryview) else len(run.data)
        return cost if cost <= 2 * len(run.data) and self.take(cost) else -1


class DigestInOrder:
    """The digest of one file. Several threads may add what they have written; one of them digests at a time, what the
    others add in the meantime too.
    """

    __slots__ = ("_digest", "_early", "_is_busy", "_kept", "_lock", "_position", "_size")

    def __init__(self, size: int, holes: Iterable[tuple[int, int]]) -> None:
        """Begin; *holes* are (offset, length)."""
        self._digest = FileDigest()
        self._size = size
        self._position = 0
        self._early: dict[int, Buffer | int] = {offset: -length for offset, length in holes}
        """By offset, what is not digested yet: the bytes, or how many of them can be read back, or minus the length of
        a hole."""
        self._kept: dict[int, int] = {}
        """By offset, the room that is taken."""
        self._lock = Lock()
        self._is_busy = False

    def add(self, runs: Sequence[Given], read: Read, room: Room) -> bool:
        """Digest *runs*, ascending, which were written, or leave them to the thread that is at it or to a later call.

        Return whether this call came to the end of the file: one call does. Raises what *read* raises; then the digest
        is of no use.
        """
        number = 0
        with self._lock:
            if self._is_busy:
                self._leave(runs, room)
                return False
            self._is_busy = True
        while True:
            while number < len(runs) and runs[number].offset == self._position:
                self._digest.update(runs[number].data)
                self._position += len(runs[number].data)
                number += 1
            with self._lock:
                found = self._next(room)
                if found is None:
                    self._leave(runs[number:], room)
                    self._is_busy = False
                    return self._position == self._size
            if not isinstance(found, int):
                self._digest.update(found)
                self._position += len(found)
            elif found < 0:
                self._digest.update_zeros(-found)
                self._position -= found
            else:
                self._read_back(found, read)

    def digest(self) -> Digest:
        """Return the digest of the whole, when add() has come to its end."""
        return self._digest.digest()

    def _next(self, room: Room) -> Buffer | int | None:
        """Return what stands at the position, taken out; of what has to be read back all that adjoins."""
        found = self._early.pop(self._position, None)
        if not isinstance(found, int):
            if found is not None:
                room.give_back(self._kept.pop(self._position))
            return found
        while found > 0 and isinstance(more := self._early.get(self._position + found), int) and more > 0:
            del self._early[self._position + found]
            found += more
        return found

    def _leave(self, runs: Sequence[Given], room: Room) -> None:
        """Keep *runs*, which are too early, while there is room; of the others remember where they are."""
        for run in runs:
            cost = room.keep(run)
            if cost >= 0:
                self._early[run.offset] = run.data
                self._kept[run.offset] = cost
            else:
                self._early[run.offset] = len(run.data)

    def _read_back(self, length: int, read: Read) -> None:
        end = self._position + length
        with direct.borrowed() as whole:
            while self._position < end:
                count = read(whole[: min(_READ_BYTES, end - self._position)], self._position)
                if count <= 0:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))  # somebody has cut it
                self._digest.update(whole[:count])
                self._position += count
