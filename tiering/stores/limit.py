"""Bounds what frostline asks of a store: requests in flight, and bytes per second up and down together.

A transfer is paid for before it is sent, not while: the average holds, one pack goes at the speed of the line.
"""

from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import BinaryIO, TypeVar

from dedup.values import Span
from tiering.clock import Clock
from tiering.stores.base import ArchiveStore, ObjectInfo, Store
from tiering.stores.wrapper import Operation, RestoreOperations, Wrapper

T = TypeVar("T")

_BURST_S = 1.0  # an idle second may be made up for: smooths the gap between two packs


class Bandwidth:
    """A token bucket: bytes become free at a constant rate, and at most one second of them is saved up."""

    def __init__(self, bytes_per_s: int, *, clock: Clock) -> None:
        """Start full. *bytes_per_s* of 0 is no limit."""
        self._rate = bytes_per_s
        self._clock = clock
        self._lock = Lock()
        self._paid_until_s = clock.monotonic_s() - _BURST_S

    def spend(self, byte_count: int) -> None:
        """Wait until *byte_count* bytes may be moved. More than a second's worth is paid for by the next caller's
        wait.
        """
        if self._rate <= 0 or byte_count <= 0:
            return
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._paid_until_s = max(self._paid_until_s, now_s - _BURST_S) + byte_count / self._rate
            wait_s = self._paid_until_s - now_s
        self._clock.sleep(wait_s)


class LimitedStore(Wrapper):
    """See the module docstring."""

    def __init__(self, inner: Store, *, max_concurrency: int, bandwidth: Bandwidth) -> None:
        """Let *max_concurrency* operations of *inner* run at once; *bandwidth* may be shared between stores."""
        super().__init__(inner)
        self._slots = BoundedSemaphore(max_concurrency)
        self._bandwidth = bandwidth

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper."""
        with self._slots:
            return call()

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store."""
        self._bandwidth.spend(size_bytes)
        return super().put(
            key,
            body,
            size_bytes=size_bytes,
            checksum=checksum,
            storage_class=storage_class,
            if_absent=if_absent,
        )

    def get(self, key: str, span: Span | None = None) -> bytes:
        """See Store."""
        if span is not None:
            self._bandwidth.spend(span.length)
            return super().get(key, span)
        data = super().get(key)
        self._bandwidth.spend(len(data))  # its size was not known: the next transfer waits for it
        return data


class LimitedArchive(RestoreOperations, LimitedStore):
    """The same over an ArchiveStore."""


def limited(store: Store, *, max_concurrency: int, bandwidth_bytes_per_s: int, clock: Clock) -> Store:
    """Return *store* bounded to *max_concurrency* requests and *bandwidth_bytes_per_s* (0: unbounded)."""
    kind = LimitedArchive if isinstance(store, ArchiveStore) else LimitedStore
    return kind(store, max_concurrency=max_concurrency, bandwidth=Bandwidth(bandwidth_bytes_per_s, clock=clock))
