"""The base of every wrapper: a store that hands each operation to the store inside, through one method that can be
overridden.

A wrapper keeps the contract of what it wraps: over an ArchiveStore it is one. That is why each comes in two classes,
the second with RestoreOperations; wrap functions (retrying(), limited(), ...) choose.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeVar, cast

from dedup.values import Span
from tiering.stores.base import ArchiveStore, ObjectInfo, Readability, Store, Upload

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Operation:
    """What is being done, as far as a wrapper cares."""

    kind: str
    """put, get, head, list, delete, list_uploads, abort_upload, restore or copy."""
    key: str
    """The prefix for the two lists."""
    size_bytes: int = 0
    """Bytes that go up (put) or are asked for (ranged get); 0 where it is not known."""
    storage_class: str = ""
    """Of a put or copy."""


class Runs(Protocol):
    """What RestoreOperations needs of the class it is mixed into."""

    inner: Store

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper."""


class Wrapper:
    """Passes everything on. Subclasses override run(), and put() or list() where bytes or pages matter."""

    def __init__(self, inner: Store) -> None:
        """Wrap *inner*."""
        self.inner = inner
        self.url = inner.url

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """Do *call*, which is *operation* on the store inside, and return its result."""
        return call()

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store."""
        return self.run(
            Operation("put", key, size_bytes, storage_class),
            lambda: self.inner.put(
                key,
                body,
                size_bytes=size_bytes,
                checksum=checksum,
                storage_class=storage_class,
                if_absent=if_absent,
            ),
        )

    def get(self, key: str, span: Span | None = None) -> bytes:
        """See Store."""
        return self.run(Operation("get", key, span.length if span else 0), lambda: self.inner.get(key, span))

    def head(self, key: str) -> ObjectInfo:
        """See Store."""
        return self.run(Operation("head", key), lambda: self.inner.head(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See Store. Each step of the iteration is one run(), so that nothing is held while the caller works."""
        items = self.inner.list(prefix, start_after=start_after)
        while (item := self.run(Operation("list", prefix), lambda: next(items, None))) is not None:
            yield item

    def delete(self, key: str, *, etag: str = "", version_id: str = "") -> None:
        """See Store."""
        self.run(Operation("delete", key), lambda: self.inner.delete(key, etag=etag, version_id=version_id))

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """See Store."""
        # Uploads are few (gc aborts them): they are gathered at once, so that a retry starts over.
        yield from self.run(Operation("list_uploads", prefix), lambda: [*self.inner.list_uploads(prefix)])

    def abort_upload(self, upload: Upload) -> None:
        """See Store."""
        self.run(Operation("abort_upload", upload.key), lambda: self.inner.abort_upload(upload))


class RestoreOperations:
    """The operations of an ArchiveStore, for wrappers around one."""

    def request_restore(self: Runs, key: str, *, days: int, speed: str) -> Readability:
        """See ArchiveStore."""
        inner = cast(ArchiveStore, self.inner)
        return self.run(Operation("restore", key), lambda: inner.request_restore(key, days=days, speed=speed))

    def change_class(self: Runs, key: str, storage_class: str) -> ObjectInfo:
        """See ArchiveStore."""
        inner = cast(ArchiveStore, self.inner)
        return self.run(
            Operation("copy", key, storage_class=storage_class), lambda: inner.change_class(key, storage_class)
        )
