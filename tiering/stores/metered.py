"""Counts what a store is asked, for the ledger: requests by kind and class, and bytes up and down.

Closest to the provider, under retry: an attempt that fails is billed too.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import BinaryIO, TypeVar

from dedup.values import Span
from tiering.clock import NS_PER_S, Clock
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore, ObjectInfo, Store
from tiering.stores.options import COPY_PART_BYTES, ONE_COPY_BYTES
from tiering.stores.wrapper import Operation, RestoreOperations, Wrapper

T = TypeVar("T")

_PAGE = 1000  # objects in one answer of ListObjectsV2

# What a provider bills each operation as. Deletes and aborts are free on S3 and counted all the same.
_BILLED_AS = {"list_uploads": "list", "abort_upload": "delete"}

# An S3 store looks at the object before it requests a restore or changes a class (and after that once more).
_HEADS_WITH = frozenset({"restore", "copy"})

METADATA = "metadata"
"""Stands for a class: that of recipes, segments and the ownership file, whatever the tier's own is."""
_PACKS = "packs/"
_HOUR_NS = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked of a store over some time."""

    requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(kind, storage class) -> how many; kinds are put, get, head, list, delete, restore, copy. The class is "" where
    the operation does not name one: then it is that of the tier, or METADATA.
    """
    bytes_up: int = 0
    down: Mapping[str, int] = field(default_factory=dict)
    """Storage class -> bytes; the same two names."""

    @property
    def bytes_down(self) -> int:
        """Return the bytes that came down, of all classes."""
        return sum(self.down.values())

    def count(self, kind: str) -> int:
        """Return the requests of one kind, of all classes."""
        return sum(times for (name, _), times in self.requests.items() if name == kind)

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was asked at all."""
        return not self.requests and not self.bytes_up and not self.bytes_down


class Meter:
    """Adds up what the stores it was given to are asked. Thread-safe."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._up = 0
        self._down: Counter[str] = Counter()
        self._reads: dict[tuple[str, int], int] = {}

    def read(self, key: str, at_ns: int) -> None:
        """Note that a pack was read."""
        with self._lock:
            self._reads[key, at_ns // _HOUR_NS] = at_ns

    def take_reads(self) -> list[tuple[str, int]]:
        """Return (key, last time) for each pack and hour in which it was read since the last call."""
        with self._lock:
            found = [(key, at_ns) for (key, _), at_ns in self._reads.items()]
            self._reads.clear()
            return found

    def add(self, kind: str, *, storage_class: str = "", times: int = 1, up: int = 0, down: int = 0) -> None:
        """Count *times* requests of *kind* and the bytes they moved."""
        with self._lock:
            if times:
                self._requests[_BILLED_AS.get(kind, kind), storage_class] += times
            self._up += up
            if down:
                self._down[storage_class] += down

    def snapshot(self) -> Usage:
        """Return what was counted so far, and go on."""
        with self._lock:
            return Usage(dict(self._requests), self._up, dict(self._down))

    def take(self) -> Usage:
        """Return what was counted since the last take() and start again at zero, in one step."""
        with self._lock:
            usage = Usage(dict(self._requests), self._up, dict(self._down))
            self._requests.clear()
            self._down.clear()
            self._up = 0
            return usage

    def give_back(self, usage: Usage) -> None:
        """Add *usage* again: it was taken, but could not be booked."""
        for (kind, storage_class), times in usage.requests.items():
            self.add(kind, storage_class=storage_class, times=times)
        self.add("", times=0, up=usage.bytes_up)
        for storage_class, down in usage.down.items():
            self.add("", storage_class=storage_class, times=0, down=down)


class MeteredStore(Wrapper):
    """See the module docstring."""

    def __init__(self, inner: Store, *, meter: Meter, part_size: int, clock: Clock | None) -> None:
        """Count into *meter*. *part_size* is above what size a put goes up in parts, each of them a request; 0:
        never. *clock*: by which reads of packs are noted.
        """
        super().__init__(inner)
        self._meter = meter
        self._clock = clock
        self._part_size = part_size

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        """See Wrapper."""
        storage_class = operation.storage_class or _class_of(operation.kind, operation.key)
        self._meter.add(operation.kind, storage_class=storage_class)
        if operation.kind in _HEADS_WITH:
            self._meter.add("head")
        return call()

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store."""
        self._count_put(size_bytes, storage_class)
        return self.inner.put(
            key,
            body,
            size_bytes=size_bytes,
            checksum=checksum,
            storage_class=storage_class,
            if_absent=if_absent,
        )

    def get(self, key: str, span: Span | None = None) -> bytes:
        """See Store."""
        data = super().get(key, span)
        self._meter.add("get", storage_class=_class_of("get", key), times=0, down=len(data))
        if self._clock is not None and key.startswith(_PACKS):
            self._meter.read(key, self._clock.now_ns())
        return data

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See Store."""
        for number, item in enumerate(self._pages(prefix, start_after)):
            if number % _PAGE == 0 and number:
                self._meter.add("list")
            yield item

    def _pages(self, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        self._meter.add("list")
        yield from self.inner.list(prefix, start_after=start_after)

    def _count_put(self, size_bytes: int, storage_class: str) -> None:
        self._meter.add("put", storage_class=storage_class, up=size_bytes)
        if self._part_size and size_bytes > self._part_size:
            # The completion is the put; before it the beginning, and the parts.
            self._count_parts(-(-size_bytes // self._part_size), storage_class)

    def _count_parts(self, parts: int, storage_class: str) -> None:
        """Count beginning and parts of a multipart upload: for archive classes billed as STANDARD (aws.amazon.com,
        "Amazon S3 pricing", requests; docs.aws.amazon.com, "Multipart upload and pricing").
        """
        billed_as = "STANDARD" if storage_class in ARCHIVE_CLASSES else storage_class
        self._meter.add("put", storage_class=billed_as, times=1 + parts)


class MeteredArchive(RestoreOperations, MeteredStore):
    """The same over an ArchiveStore."""

    def change_class(self, key: str, storage_class: str) -> ObjectInfo:
        """See ArchiveStore."""
        info = super().change_class(key, storage_class)
        self._meter.add("head", storage_class=storage_class)
        self._meter.add("copy", times=0, down=info.size_bytes)  # read in its old class, and billed like a get's bytes
        if info.size_bytes > ONE_COPY_BYTES:  # the completion is the copy; and its metadata is looked up
            self._count_parts(-(-info.size_bytes // COPY_PART_BYTES), storage_class)
            self._meter.add("head")
        return info


def _class_of(kind: str, key: str) -> str:
    """Return METADATA for a look at, or the reading of, what is no pack of data; else "": the tier's own class."""
    return METADATA if kind in {"get", "head"} and not key.startswith(_PACKS) else ""


def metered(store: Store, *, meter: Meter, part_size: int = 0, clock: Clock | None = None) -> Store:
    """Return *store*, counting into *meter*; with a *clock*, noting when packs are read."""
    kind = MeteredArchive if isinstance(store, ArchiveStore) else MeteredStore
    return kind(store, meter=meter, part_size=part_size, clock=clock)
