"""A store that fails on demand, for tests of everything that must survive a failing store.

    store = FaultyStore(inner).plan("put", "rrE")          # two transient failures, then a refusal, then well
    store = FaultyStore(inner).plan("put", ".L").plan("get", "C")

One letter per call of that operation; when the plan is used up everything works:

    .  works
    r  StoreUnavailable, nothing was done
    L  done, but the answer is lost (StoreUnavailable)
    E  StoreDenied
    N  NoSpace
    A  ObjectArchived
    M  ObjectMissing
    B  the bytes arrive damaged (ChecksumRefused)
    H  half of a get arrives (StoreUnavailable)
    C  a get returns one damaged byte
"""

from collections import defaultdict, deque
from collections.abc import Callable
from threading import Lock
from typing import Self, TypeVar, cast

from tiering.errors import (
    ChecksumRefused,
    FrostlineError,
    NoSpace,
    ObjectArchived,
    ObjectMissing,
    StoreDenied,
    StoreUnavailable,
)
from tiering.stores.base import Store
from tiering.stores.wrapper import Operation, RestoreOperations, Wrapper

T = TypeVar("T")

_BEFORE: dict[str, type[FrostlineError]] = {
    "r": StoreUnavailable,
    "E": StoreDenied,
    "N": NoSpace,
    "H": StoreUnavailable,
    "B": ChecksumRefused,
    "A": ObjectArchived,
    "M": ObjectMissing,
}


class FaultyStore(RestoreOperations, Wrapper):
    """See the module docstring. Thread-safe; request_restore works if *inner* has it."""

    def __init__(self, inner: Store) -> None:
        """Wrap *inner*; without a plan everything works."""
        super().__init__(inner)
        self._plans: dict[str, deque[str]] = defaultdict(deque)
        self._lock = Lock()
        self.calls: list[tuple[str, str]] = []
        """(kind, key) of every call, in order."""

    def plan(self, kind: str, letters: str) -> Self:
        """Append *letters* to the plan of an operation (put, get, head, list, delete, restore, copy ...)."""
        self._plans[kind].extend(letters)
        return self

    def count(self, kind: str) -> int:
        """Return how often *kind* was called."""
        return sum(name == kind for name, _ in self.calls)

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper."""
        with self._lock:
            self.calls.append((operation.kind, operation.key))
            plan = self._plans[operation.kind]
            letter = plan.popleft() if plan else "."
        if letter in _BEFORE:
            raise _BEFORE[letter](f"planned failure {letter} of {operation.kind} {operation.key}")
        result = call()
        if letter == "L":
            raise StoreUnavailable(f"planned loss of the answer to {operation.kind} {operation.key}")
        if letter == "C" and isinstance(result, bytes) and result:
            middle = len(result) // 2
            damaged = result[:middle] + bytes([result[middle] ^ 0x40]) + result[middle + 1 :]
            return cast(T, damaged)
        return result
