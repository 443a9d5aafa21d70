"""A store in this process's memory, with archive classes that take their hours on a Clock.

For tests and for simulated days: it keeps the whole contract, and of S3's archives what frostline relies on: a get of
a cold object fails, restores take the documented time for their speed, restored copies expire at the next midnight
UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Lock
from typing import BinaryIO

from dedup.values import Span
from tiering.clock import NS_PER_DAY, NS_PER_S, Clock, SystemClock
from tiering.errors import ChecksumRefused, ObjectExists, StoreDenied
from tiering.stores.archive import ARCHIVE_CLASSES, SPEEDS, archived, restore_hours
from tiering.stores.base import ObjectInfo, Readability, Upload
from tiering.stores.checksum import checksum_of
from tiering.stores.failures import missing, other_version, too_short
from tiering.stores.keys import check_key


@dataclass(frozen=True, slots=True)
class Held:
    """One object as it is held."""

    body: bytes
    storage_class: str
    checksum: str
    etag: str
    modified_ns: int
    ready_ns: int = 0
    """When the restore is through; 0: none was asked for."""
    warm_until_ns: int = 0
    speed: str = ""


@dataclass(slots=True)
class Shelf:
    """What several MemoryStores of one name share. Tests look into it to bypass the store."""

    held: dict[str, Held] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    puts: int = 0


_SHELVES: dict[str, Shelf] = {}


def shelf(name: str) -> Shelf:
    """Return the process-wide shelf of that name, made on first use."""
    return _SHELVES.setdefault(name, Shelf())


def clear_shelves() -> None:
    """Let go of all that is held under any name; stores that are open keep what they have."""
    _SHELVES.clear()


class MemoryStore:
    """See tiering.stores.base.ArchiveStore."""

    def __init__(self, name: str, *, clock: Clock | None = None) -> None:
        """Open the shelf *name*; the same name is the same store in this process."""
        self.url = f"memory://{name}"
        self.shelf = shelf(name)
        self._clock: Clock = clock or SystemClock()

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store."""
        check_key(key)
        data = body.read(size_bytes)
        if len(data) != size_bytes or checksum_of(data) != checksum:
            raise ChecksumRefused(
                f"{key}: {len(data)} bytes with {checksum_of(data)} arrived instead of {size_bytes} with {checksum}",
                now="nothing was stored",
                hint="try again; if it persists, test this machine's memory",
            )
        with self.shelf.lock:
            if if_absent and key in self.shelf.held:
                raise ObjectExists(f"{key} already exists in {self.url}", now="it was left as it is")
            self.shelf.puts += 1
            etag = sha256(data).hexdigest()[:16] + f"-{self.shelf.puts}"
            self.shelf.held[key] = Held(data, storage_class, checksum, etag, self._clock.now_ns())
        return self.head(key)

    def get(self, key: str, span: Span | None = None) -> bytes:
        """See Store."""
        held = self._held(key)
        info = self._info(key, held)
        if info.readability in {Readability.COLD, Readability.WARMING}:
            raise archived(self.url, key, info.readability)
        if span is None:
            return held.body
        if span.end > len(held.body):
            raise too_short(self.url, key, span, len(held.body))
        return held.body[span.start : span.end]

    def head(self, key: str) -> ObjectInfo:
        """See Store."""
        return self._info(key, self._held(key))

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See Store. A snapshot of the moment of the call."""
        with self.shelf.lock:
            held = dict(self.shelf.held)
        for key in sorted(held, key=str.encode):
            if key.startswith(prefix) and key.encode() > start_after.encode():
                yield self._info(key, held[key])

    def delete(self, key: str, *, etag: str = "", version_id: str = "") -> None:
        """See Store."""
        check_key(key)
        with self.shelf.lock:
            held = self.shelf.held.get(key)
            if held is not None and etag and held.etag != etag:
                raise other_version(self.url, key)
            self.shelf.held.pop(key, None)

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """See Store. A test puts them on the shelf: this store itself finishes or leaves nothing."""
        yield from sorted(
            (upload for upload in self.shelf.uploads.values() if upload.key.startswith(prefix)), key=lambda it: it.key
        )

    def abort_upload(self, upload: Upload) -> None:
        """See Store."""
        self.shelf.uploads.pop(upload.upload_id, None)

    def request_restore(self, key: str, *, days: int, speed: str) -> Readability:
        """See ArchiveStore."""
        info = self.head(key)
        if info.readability is Readability.INSTANT:
            return Readability.INSTANT
        if speed not in SPEEDS or (info.storage_class, speed) == ("DEEP_ARCHIVE", "expedited"):
            raise StoreDenied(f"{info.storage_class} offers no {speed} retrieval", hint="choose bulk or standard")
        now_ns = self._clock.now_ns()
        with self.shelf.lock:
            held = self.shelf.held[key]
            if info.readability is Readability.WARM:
                until = _midnight_after(now_ns + days * NS_PER_DAY)
                self.shelf.held[key] = replace(held, warm_until_ns=max(until, held.warm_until_ns))
                return Readability.WARM
            ready = now_ns + int(restore_hours(info.storage_class, speed) * 3600 * NS_PER_S)
            raised = bool(held.speed) and SPEEDS.index(speed) > SPEEDS.index(held.speed)
            if info.readability is Readability.COLD or raised:
                until = _midnight_after(ready + days * NS_PER_DAY)
                self.shelf.held[key] = replace(held, ready_ns=ready, warm_until_ns=until, speed=speed)
        return Readability.WARMING

    def change_class(self, key: str, storage_class: str) -> ObjectInfo:
        """See ArchiveStore."""
        info = self.head(key)
        if info.readability in {Readability.COLD, Readability.WARMING}:
            raise archived(self.url, key, info.readability)
        with self.shelf.lock:
            held = self.shelf.held[key]
            self.shelf.held[key] = Held(held.body, storage_class, held.checksum, held.etag + "c", self._clock.now_ns())
        return self.head(key)

    def _held(self, key: str) -> Held:
        check_key(key)
        held = self.shelf.held.get(key)
        if held is None:
            raise missing(self.url, key)
        return held

    def _info(self, key: str, held: Held) -> ObjectInfo:
        readability = self._readability(held)
        return ObjectInfo(
            key=key,
            size_bytes=len(held.body),
            storage_class=held.storage_class,
            checksum=held.checksum,
            etag=held.etag,
            modified_ns=held.modified_ns,
            readability=readability,
            warm_until_ns=held.warm_until_ns if readability is Readability.WARM else 0,
        )

    def _readability(self, held: Held) -> Readability:
        if held.storage_class not in ARCHIVE_CLASSES:
            return Readability.INSTANT
        now_ns = self._clock.now_ns()
        if not held.ready_ns or now_ns >= held.warm_until_ns:
            return Readability.COLD
        return Readability.WARM if now_ns >= held.ready_ns else Readability.WARMING


def _midnight_after(at_ns: int) -> int:
    return -(-at_ns // NS_PER_DAY) * NS_PER_DAY
