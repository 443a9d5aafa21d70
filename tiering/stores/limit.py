"""Bounds what frostline asks of a store: requests in flight, and bytes per second up and down together.

A store that throttles or fails is asked by fewer at once: the bound is halved by each failure and grows back by one for
every full round of successes (additive increase, multiplicative decrease, as TCP does), never above the configured one.
A transfer is paid for before it is sent, not while: the average holds, one pack goes at the speed of the line.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock
from typing import BinaryIO, TypeVar

from dedup.values import Span
from tiering.clock import Clock
from tiering.errors import StoreUnavailable
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


class Slots:
    """How many operations may run at once; see the module docstring."""

    def __init__(self, most: int) -> None:
        """Start with all *most* (at least 1)."""
        self._most = most
        self._bound = float(most)
        self._running = 0
        self._changed = Condition()

    @property
    def bound(self) -> int:
        """Operations that may run at once now."""
        return int(self._bound)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Wait for a slot and hold it for the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._running < int(self._bound))
            self._running += 1
        growth = 0.0
        try:
            yield
            growth = 1.0
        except StoreUnavailable:
            growth = -1.0
            raise
        finally:
            with self._changed:
                self._running -= 1
                if growth > 0:
                    self._bound = min(self._most, self._bound + 1 / self._bound)
                elif growth < 0:
                    self._bound = max(1.0, self._bound / 2)
                self._changed.notify_all()


class LimitedStore(Wrapper):
    """See the module docstring."""

    def __init__(self, inner: Store, *, max_concurrency: int, bandwidth: Bandwidth) -> None:
        """Let *max_concurrency* operations of *inner* run at once; *bandwidth* may be shared between stores."""
        super().__init__(inner)
        self.slots = Slots(max_concurrency)
        self._bandwidth = bandwidth

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper."""
        with self.slots.one():
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
