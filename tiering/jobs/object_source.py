"""Objects of a bucket as sources of bytes: read by ranged requests that all name one version, a few ahead of need.

Used by object_reading. A long object is a dedup ByteSource (in order, parts read ahead) and a RandomSource (here and
there, for its format). Memory is bounded: AHEAD parts and BLOCKS blocks an object, and as many objects as threads.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

from dedup.values import Extent, Span
from tiering.clock import Clock
from tiering.errors import ObjectArchived, ObjectExists, ObjectMissing, SourceChanged, SourceRefused, StoreDenied
from tiering.jobs.object_identity import PART_BYTES
from tiering.stores.originals import Fetched, Originals
from tiering.stores.s3_bucket import Look

AHEAD = 4  # one part in 100 ms from four requests is 320 MB/s, more than one thread codes
BLOCK_BYTES = 256 << 10  # headers and trailers of formats, read here and there
BLOCKS = 32
_MD5_CHARS = 32

T = TypeVar("T")


@dataclass(slots=True)
class Fetcher:
    """The way to a bucket, for all threads of a run: requests side by side, and not too many a second."""

    remote: Originals
    pool: ThreadPoolExecutor
    clock: Clock
    objects_per_s: float
    url: str
    denied: list[StoreDenied] = field(default_factory=list)
    """Objects that may not be read: if it is all of them, the credentials are wrong."""
    _lock: Lock = field(default_factory=Lock)
    _next_s: float = 0.0

    def begin_object(self) -> None:
        """Wait until one more object may be asked for."""
        with self._lock:
            now_s = self.clock.monotonic_s()
            wait_s = self._next_s - now_s
            self._next_s = max(self._next_s, now_s) + 1 / self.objects_per_s
        if wait_s > 0:
            self.clock.sleep(wait_s)

    def fetch(self, key: str, etag: str, span: Span | None = None) -> Fetched:
        """Return an object, or a range of it. Raises SourceError for what is that object's trouble, StoreUnavailable
        for what is not.
        """
        return self._own_trouble(key, lambda: self.remote.fetch(key, etag, span))

    def tags(self, look: Look) -> tuple[tuple[str, str], ...]:
        """Return the tags of an object that was looked at; asks only where there are some."""
        return self._own_trouble(look.key, lambda: self.remote.tags_of(look.key)) if look.tags else ()

    def _own_trouble(self, key: str, call: Callable[[], T]) -> T:
        shown = f"{self.url}/{key}"
        try:
            return call()
        except ObjectMissing as error:
            raise SourceChanged(f"{shown} is gone") from error
        except ObjectExists as error:
            raise SourceChanged(f"{shown} changed since the scan") from error
        except ObjectArchived as error:
            raise SourceRefused(f"{shown} is archived: it must be restored in its bucket first") from error
        except StoreDenied as error:
            self.denied.append(error)
            raise SourceRefused(f"{shown} may not be read: {error.what}") from error


class ObjectBytes:
    """One version of a long object; see the module docstring. One thread reads; close() it."""

    def __init__(self, fetcher: Fetcher, key: str, etag: str, size: int) -> None:
        """Nothing is asked for yet."""
        self.size = size
        self.look: Look | None = None
        """What it said of itself; known after the first read."""
        self._fetcher = fetcher
        self._key = key
        self._etag = etag
        self._parts: dict[int, Future[Fetched]] = {}
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._hashed = 0

    def extents(self) -> Iterator[Extent]:
        """Yield all of it as data: objects have no holes."""
        if self.size:
            yield Extent(Span(0, self.size), is_hole=False)

    def readinto(self, buffer: memoryview | bytearray, offset: int) -> int:
        """Fill *buffer* from *offset*; return the bytes read, fewer only at the end of a part. Offsets ascend."""
        number = offset // PART_BYTES
        for done in [held for held in self._parts if held < number]:
            del self._parts[done]
        for ahead in range(number, min(number + AHEAD, -(-self.size // PART_BYTES))):
            self._part(ahead)
        part = self._data(number)
        view = memoryview(part)[offset - number * PART_BYTES :][: len(buffer)]
        buffer[: len(view)] = view
        if offset == self._hashed:
            self._md5.update(view)
            self._hashed += len(view)
        return len(view)

    def read_at(self, offset: int, length: int) -> bytes:
        """Return *length* bytes from *offset* on, fewer only at the end of the object."""
        end = min(offset + length, self.size)
        pieces = []
        while offset < end:
            number = offset // PART_BYTES
            if number == 0 or number in self._parts:  # the first part is wanted anyway
                self._part(number)
                start, data = number * PART_BYTES, self._data(number)
            else:
                start, data = self._block(offset // BLOCK_BYTES)
            pieces.append(data[offset - start : end - start])
            offset = min(start + len(data), end)
        return b"".join(pieces)

    def md5(self) -> str:
        """Return the MD5 of the whole object, which was read in order."""
        assert self._hashed == self.size
        return self._md5.hexdigest()

    def close(self) -> None:
        """Ask for nothing more."""
        for part in self._parts.values():
            part.cancel()
        self._parts.clear()

    def _part(self, number: int) -> None:
        if number not in self._parts:
            start = number * PART_BYTES
            span = Span(start, min(PART_BYTES, self.size - start))
            self._parts[number] = self._fetcher.pool.submit(self._fetcher.fetch, self._key, self._etag, span)

    def _data(self, number: int) -> bytes:
        fetched = self._parts[number].result()
        self.look = self.look or fetched.look
        return self._whole(fetched, Span(number * PART_BYTES, min(PART_BYTES, self.size - number * PART_BYTES)))

    def _block(self, number: int) -> tuple[int, bytes]:
        start = number * BLOCK_BYTES
        if number not in self._blocks:
            span = Span(start, min(BLOCK_BYTES, self.size - start))
            self._blocks[number] = self._whole(self._fetcher.fetch(self._key, self._etag, span), span)
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(number)
        return start, self._blocks[number]

    def _whole(self, fetched: Fetched, span: Span) -> bytes:
        if len(fetched.data) != span.length or fetched.look.size_bytes != self.size:
            raise SourceChanged(f"{self._fetcher.url}/{self._key} has not the size that the scan saw")
        return fetched.data


@dataclass(frozen=True, slots=True)
class ObjectAgain:
    """An object that was read, to be read again in pieces: what others may be coded against."""

    fetcher: Fetcher
    key: str
    etag: str

    def read_at(self, offset: int, length: int) -> bytes | None:
        """Return *length* bytes from *offset* on; None once the object is another, or cannot be read."""
        try:
            data = self.fetcher.fetch(self.key, self.etag, Span(offset, length)).data
        except (SourceChanged, SourceRefused):
            return None
        return data if len(data) == length else None


def check_md5(look: Look, found: str) -> None:
    """Raise SourceChanged where the ETag is the MD5 of the bytes (plain uploads, not encrypted by KMS) and *found* is
    another.
    """
    etag = look.etag.strip('"')
    is_md5 = len(etag) == _MD5_CHARS and not str(look.words.get("ServerSideEncryption", "")).startswith("aws:")
    if is_md5 and etag != found:
        raise SourceChanged(f"{look.key}: the bytes that came have the MD5 {found}, its ETag is {etag}")


def threads() -> int:
    """Return how many threads read and code: one more than there are cores, since some wait for answers."""
    return len(os.sched_getaffinity(0)) + 1
