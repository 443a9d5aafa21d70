"""The one place where a store operation is tried again.

Only what says so is retried (tiering.errors.Retry.SOON), with exponential waits under full jitter (a random wait
between zero and the bound, so that many clients do not come back together) until a deadline. Everything above treats
an error as final. A put whose answer was lost meets its own object on the next attempt: it is adopted if size and
checksum agree.
"""

from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from tiering.clock import Clock
from tiering.errors import ChecksumRefused, FrostlineError, ObjectExists, Retry, StoreUnavailable
from tiering.stores.base import ArchiveStore, ObjectInfo, Store
from tiering.stores.checksum import checksum_of
from tiering.stores.wrapper import Operation, RestoreOperations, Wrapper

T = TypeVar("T")

_FIRST_WAIT_S = 0.2  # S3 answers SlowDown for seconds: a shorter first wait only adds to it
_LONGEST_WAIT_S = 20.0
# Bytes that arrive damaged three times are damaged here, not on the way.
_DAMAGED_ATTEMPTS = 3


class RetryingStore(Wrapper):
    """See the module docstring."""

    def __init__(self, inner: Store, *, clock: Clock, deadline_s: float) -> None:
        """Retry each operation of *inner* for at most *deadline_s* seconds; 0: one attempt."""
        super().__init__(inner)
        self._clock = clock
        self._deadline_s = deadline_s

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper."""
        return self._retrying()(call)

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store."""
        start = body.tell()
        answers_lost = 0

        def attempt() -> ObjectInfo:
            nonlocal answers_lost
            body.seek(start)
            try:
                return self.inner.put(
                    key,
                    body,
                    size_bytes=size_bytes,
                    checksum=checksum,
                    storage_class=storage_class,
                    if_absent=if_absent,
                )
            except StoreUnavailable:
                answers_lost += 1
                raise
            except ObjectExists:
                if answers_lost:
                    found = self._own(key, size_bytes=size_bytes, checksum=checksum)
                    if found is not None:
                        return found
                raise

        return self._retrying()(attempt)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See Store. A listing that breaks off goes on after the last key it gave; the deadline is per page."""
        last = start_after
        items = self.inner.list(prefix, start_after=last)

        def following() -> ObjectInfo | None:
            nonlocal items
            try:
                return next(items, None)
            except StoreUnavailable:
                items = self.inner.list(prefix, start_after=last)
                raise

        while (item := self._retrying()(following)) is not None:
            last = item.key
            yield item

    def _own(self, key: str, *, size_bytes: int, checksum: str) -> ObjectInfo | None:
        found = self.inner.head(key)
        if found.size_bytes != size_bytes:
            return None
        held = found.checksum or checksum_of(self.inner.get(key))
        return found if held == checksum else None

    def _retrying(self) -> Retrying:
        return retries(self._clock, self._deadline_s)


class RetryingArchive(RestoreOperations, RetryingStore):
    """The same over an ArchiveStore."""


def retrying(store: Store, *, clock: Clock, deadline_s: float) -> Store:
    """Return *store* with retries; see the module docstring."""
    kind = RetryingArchive if isinstance(store, ArchiveStore) else RetryingStore
    return kind(store, clock=clock, deadline_s=deadline_s)


def retries(clock: Clock, deadline_s: float) -> Retrying:
    """Return what calls a function until it succeeds, fails for good, or *deadline_s* seconds from now are over."""
    started = clock.monotonic_s()

    def is_over(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ChecksumRefused) and state.attempt_number >= _DAMAGED_ATTEMPTS:
            return True
        return clock.monotonic_s() + state.upcoming_sleep > started + deadline_s

    return Retrying(
        sleep=clock.sleep,
        stop=is_over,
        wait=wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S),
        retry=retry_if_exception(_is_transient),
        reraise=True,
    )


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, FrostlineError) and error.retry is Retry.SOON
