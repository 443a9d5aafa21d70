"""Files read and written past the page cache (O_DIRECT), where the cache would only cost: what is written once and
proven from the device, and long files that nobody reads again soon.

Used by stores, hot and jobs on descriptors that they opened. Every file system may refuse, at the descriptor or only at
the first transfer; all of it then goes through the page cache, with the same result. Nothing here opens or flushes.
"""

import errno
import fcntl
import io
import mmap
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

# Nearly every disk wants 512 or 4096; one with larger blocks refuses the first transfer.
ALIGN_BYTES = 4096
# 2 MiB: one huge page, which the kernel hands to the disk in one piece. 1 MiB of small pages costs four times the CPU.
STEP_BYTES = 2 << 20
# 256 KiB: what the kernel reads ahead by itself. Less is as cheap through the page cache, and may be wanted again.
LEAST_BYTES = 256 << 10

_REFUSED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})
# asm-generic/mman-common.h; the mmap module does not name it. A buffer under transfer must not be shared with a child:
# whoever wrote to such a page first would get a copy, and the disk's bytes the other one (open(2), NOTES).
_MADV_WIPEONFORK = 18

_free: list[mmap.mmap] = []
"""Buffers that nobody uses: fresh pages cost more than the transfer. As many as were ever in use at once."""


def turn_on(descriptor: int) -> bool:
    """Let transfers on an open file go past the page cache; False where its file system refuses at once.

    From then on only functions of this module may read or write it, on any descriptor that shares its open(2).
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return False
    return True


def turn_off(descriptor: int) -> None:
    """Let transfers go through the page cache again."""
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)


def runs(descriptor: int, start: int, length: int) -> Iterator[memoryview]:
    """Yield the bytes of a range in order, fewer only at the end of the file; each is good until the next is asked for.

    *descriptor* may be turned on or not. Raises OSError.
    """
    done = 0
    with borrowed() as buffer:
        while done < length:
            at = start + done
            skip = at % ALIGN_BYTES
            room = min(STEP_BYTES, _rounded_up(skip + length - done))
            useful = min(_transferred(descriptor, buffer[:room], at - skip) - skip, length - done)
            if useful <= 0:
                return
            yield buffer[skip : skip + useful]
            done += useful


def readinto(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Fill *buffer* from *offset* and return how much came, fewer only at the end of the file. Raises OSError."""
    done = 0
    for run in runs(descriptor, offset, len(buffer)):
        buffer[done : done + len(run)] = run
        done += len(run)
    return done


def read(descriptor: int, start: int, length: int) -> bytes:
    """Return a range, shorter only at the end of the file. Raises OSError."""
    whole = io.BytesIO()
    if length > STEP_BYTES:
        whole.seek(length - 1)
        whole.write(b"\0")  # all of its room at once: growing costs more than the transfer
        whole.seek(0)
    done = 0
    for run in runs(descriptor, start, length):
        done += whole.write(run)
    whole.truncate(done)
    return whole.getvalue()  # no copy: the object and the bytes share it


class Ahead:
    """Reads an open file that is turned on, mostly from its beginning to its end: while a block is used the next one is
    fetched. Past the page cache nobody else reads ahead.

    Costs nothing before the first read. Ends with close(); the descriptor must not be closed before. Thread-safe.
    """

    def __init__(self, descriptor: int) -> None:
        """Prepare to read *descriptor*."""
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._start = -STEP_BYTES
        """Where the block that is held begins; that of a first one follows."""
        self._count = 0
        self._buffer: mmap.mmap | None = None
        self._next: tuple[int, Future[int], mmap.mmap] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def readinto(self, buffer: memoryview, offset: int) -> int:
        """See readinto() of this module."""
        done = 0
        with self._lock:
            while done < len(buffer):
                at = offset + done
                start = at - at % STEP_BYTES
                # Short reads look here and there at what a file is: a block for each would be too much.
                if start != self._start and (len(buffer) >= LEAST_BYTES or self._is_next(start)):
                    self._hold(start)
                count = min(self._start + self._count - at, len(buffer) - done)
                if start != self._start or count <= 0 or self._buffer is None:
                    return done + readinto(self._descriptor, buffer[done:], at)
                with memoryview(self._buffer) as block:
                    buffer[done : done + count] = block[at - start : at - start + count]
                done += count
        return done

    def close(self) -> None:
        """Wait for what is under way and give it up; once is enough."""
        with self._lock:
            self._forget()
            if self._buffer is not None:
                _free.append(self._buffer)
                self._buffer, self._count = None, 0
            if self._pool is not None:
                self._pool.shutdown()
                self._pool = None

    def _hold(self, start: int) -> None:
        """Hold the block at *start*; have the one behind it fetched if blocks are asked for in order."""
        is_in_order = start == self._start + STEP_BYTES
        buffer, self._buffer = self._buffer or _taken(), None
        try:
            self._start, self._count = start, 0
            if self._next is not None and self._next[0] == start:
                _, ended, fetched = self._next
                ended.exception()  # who is interrupted here leaves it under way
                self._next = None
                _free.append(buffer)
                buffer = fetched
                self._count = ended.result()
            else:
                self._forget()
                self._count = _block(self._descriptor, buffer, start)
        finally:
            self._buffer = buffer
        if is_in_order and self._count == STEP_BYTES:
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="frostline-ahead")
            following, room = start + STEP_BYTES, _taken()
            self._next = (following, self._pool.submit(_block, self._descriptor, room, following), room)

    def _is_next(self, start: int) -> bool:
        return self._next is not None and self._next[0] == start

    def _forget(self) -> None:
        """Wait for the block that is being fetched, and drop it."""
        if self._next is not None:
            self._next[1].exception()
            _free.append(self._next[2])
            self._next = None


class Appender:
    """Writes an open file from its beginning to its end, in aligned blocks past the page cache. One thread at a time.

    Ends with close(), after finish() if the file is wanted; the descriptor must not be closed before. Nothing is
    flushed: what the disk was given may still be in its own cache.
    """

    def __init__(self, descriptor: int, writer: Executor | None = None) -> None:
        """Prepare to write *descriptor*, which may be refused: then as ever.

        With *writer* a block is written while the next is filled, and its error is raised with that one.
        """
        self._descriptor = descriptor
        self._writer = writer
        self._written = 0
        self._held = 0
        self._buffer = _taken() if turn_on(descriptor) else None
        self._under_way: tuple[Future[int], mmap.mmap] | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append *data* (contiguous). Raises OSError; the file is worthless then."""
        view = memoryview(data).cast("B")
        if self._buffer is None:
            self._written = _written_all(self._descriptor, view, self._written)
            return
        while view:
            count = min(len(view), STEP_BYTES - self._held)
            self._buffer[self._held : self._held + count] = view[:count]
            self._held += count
            view = view[count:]
            if self._held == STEP_BYTES:
                self._hand_over()

    def finish(self) -> None:
        """Write what is left and let the descriptor go through the page cache again. Raises OSError.

        The last bytes, which fill no block, go through the page cache: padded and cut off again, they would too. So
        does all of a short file.
        """
        if self._buffer is None:
            return
        self._await()
        whole = self._held - self._held % ALIGN_BYTES
        if self._written + whole >= LEAST_BYTES:
            self._flush(whole)
        turn_off(self._descriptor)
        self._flush(self._held)
        self.close()

    def close(self) -> None:
        """Wait for what is under way and give up what is not; once is enough."""
        with suppress(OSError):
            self._await()
        if self._buffer is not None:
            _free.append(self._buffer)
            self._buffer = None

    def _hand_over(self) -> None:
        """Have a full buffer written."""
        if self._writer is None or self._buffer is None:
            self._flush(self._held)
            return
        self._await()
        block = memoryview(self._buffer)
        self._under_way = (self._writer.submit(_written_all, self._descriptor, block, self._written), self._buffer)
        self._buffer = _taken()
        self._written += self._held
        self._held = 0

    def _await(self) -> None:
        if self._under_way is None:
            return
        ended, buffer = self._under_way
        error = ended.exception()  # who is interrupted here leaves it under way: its buffer is nobody else's yet
        self._under_way = None
        _free.append(buffer)
        if error is not None:
            raise error

    def _flush(self, count: int) -> None:
        """Write the first *count* bytes that are held."""
        if self._buffer is None:
            return
        with memoryview(self._buffer) as view:
            self._written = _written_all(self._descriptor, view[:count], self._written)
            self._held -= count
            view[: self._held] = view[count : count + self._held]


@contextmanager
def borrowed() -> Iterator[memoryview]:
    """Lend an aligned buffer of STEP_BYTES, of any content."""
    buffer = _taken()
    try:
        yield memoryview(buffer)
    finally:
        _free.append(buffer)


def _taken() -> mmap.mmap:
    try:
        return _free.pop()
    except IndexError:
        buffer = mmap.mmap(-1, STEP_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            buffer.madvise(_MADV_WIPEONFORK)
        except OSError:
            return mmap.mmap(-1, STEP_BYTES)  # in pages that a child shares for good: as safe, twice as dear
        with suppress(OSError):  # a kernel without huge pages
            buffer.madvise(mmap.MADV_HUGEPAGE)
        return buffer


def _rounded_up(count: int) -> int:
    return -(-count // ALIGN_BYTES) * ALIGN_BYTES


def _block(descriptor: int, buffer: mmap.mmap, start: int) -> int:
    """Fill *buffer* from *start* and return how much came; less than all of it is not only the end of the file."""
    with memoryview(buffer) as view:
        return _transferred(descriptor, view, start)


def _transferred(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read once, through the page cache if the file system will not have it otherwise."""
    try:
        return os.preadv(descriptor, [buffer], offset)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
    turn_off(descriptor)  # larger blocks than ours
    return os.preadv(descriptor, [buffer], offset)


def _written_all(descriptor: int, view: memoryview, offset: int) -> int:
    """Write all of *view* at *offset* and return where it ends."""
    while view:
        try:
            count = os.pwrite(descriptor, view, offset)
        except OSError as error:
            if error.errno not in _REFUSED or not _is_on(descriptor):
                raise
            turn_off(descriptor)  # larger blocks than ours, or a short write ended within one
            continue
        view = view[count:]
        offset += count
    return offset


def _is_on(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
