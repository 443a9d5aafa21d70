"""The contract every store keeps, and the values it speaks in.

A store maps keys to immutable objects. Jobs see only this; which provider is behind it, and how many
wrappers are stacked on it, is decided once in tiering.stores.open. The conformance suite (tests/stores) is
the definition; this is its prose:

- Durability: when put() returns, the object survives a power cut of this machine (local) or is acknowledged (remote).
- Atomicity: a reader sees a whole object or none.
- Read after write, and list after write, are consistent.
- Immutability: a key is written once. put(if_absent=True) on a taken key raises ObjectExists and changes nothing.
- Idempotency: delete() of an absent key succeeds. put() may be retried by its caller after StoreUnavailable, and
  may then meet its own object: ObjectExists, to be told from another's by head().
- Errors are tiering.errors.StoreError and below; StoreUnavailable alone is worth retrying.
- Thread safety: every method may be called from several threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO, Protocol, runtime_checkable

from dedup.values import Span


class Readability(Enum):
    """Whether an object can be read now. (S3: class and x-amz-restore.)"""

    INSTANT = "instant"
    """Of a class that reads at once."""
    COLD = "cold"
    """Archived, no restore under way."""
    WARMING = "warming"
    """Archived, a restore has been requested."""
    WARM = "warm"
    """Archived, a restored copy is readable until warm_until_ns."""


FOREVER_NS = 2**62
"""Later than anything: about the year 2116."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of one object."""

    key: str
    size_bytes: int
    storage_class: str
    """As the provider names it; "STANDARD" where there are no classes."""
    checksum: str
    """Full-object checksum as the *store* reports it, "algorithm:hex"; "" where it does not."""
    etag: str
    """Opaque version for conditional deletes; "" where there is none."""
    modified_ns: int
    readability: Readability = Readability.INSTANT
    warm_until_ns: int = 0
    """When a restored copy goes; 0 unless WARM."""
    version_id: str = ""
    """Of a store that keeps old versions, from head(); "" elsewhere, and in listings."""
    locked_until_ns: int = 0
    """Before then the store refuses to delete this version (Object Lock), from head(); FOREVER_NS: a legal hold."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multipart upload: billed, invisible, debris unless someone is still sending."""

    key: str
    upload_id: str
    started_ns: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this store was *seen* to do, probed with real requests at init and kept in the catalog."""

    conditional_put: bool
    """Of two concurrent creates of one key exactly one wins."""
    verifies_checksum: bool
    """A put with a wrong checksum is refused. If not, every upload is read back."""
    keeps_class: bool
    """The storage class asked for is the class listed."""
    archives: bool
    """Has classes that must be restored before reading, and request_restore()."""


class Store(Protocol):
    """See the module docstring."""

    url: str
    """As configured, without secrets; for messages."""

    def put(
        self,
        key: str,
        body: BinaryIO,
        *,
        size_bytes: int,
        checksum: str,
        storage_class: str,
        if_absent: bool = True,
    ) -> ObjectInfo:
        """Create *key* from *body* (seekable, read from its current position, exactly *size_bytes*).

        *checksum* is "algorithm:hex" of the whole body, sent for the server to verify. Raises ChecksumRefused,
        ObjectExists, StoreUnavailable, StoreDenied, NoSpace.
        """

    def get(self, key: str, span: Span | None = None) -> bytes:
        """Return the object, or exactly *span* of it. A span of length 0 is not sent to the store.

        Raises ObjectMissing; ObjectArchived; StoreUnavailable when the answer broke off; IntegrityError when the object
        has no such bytes: it is shorter than what was stored.
        """

    def head(self, key: str) -> ObjectInfo:
        """Return what the store knows of *key*. Raises ObjectMissing."""

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Yield objects in ascending key order (UTF-8 bytes), paged; memory is bounded by a page.

        Readability may read COLD for a restored object where the server does not list restores: head() is the
        authority.
        """

    def delete(self, key: str, *, etag: str = "", version_id: str = "") -> None:
        """Delete *key*; with *etag*, only that version (else ObjectExists), where the store can tell.

        A store that keeps old versions only hides what is deleted, and bills it still; with *version_id* that version
        goes for good. Raises ObjectLocked where it may not go yet.

        Absent is fine.
        """

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """Yield unfinished multipart uploads (for a local store: leftover temporary files)."""

    def abort_upload(self, upload: Upload) -> None:
        """Drop an unfinished upload. Absent is fine."""


@runtime_checkable
class ArchiveStore(Store, Protocol):
    """A store some of whose classes must be restored before reading."""

    def request_restore(self, key: str, *, days: int, speed: str) -> Readability:
        """Ask for a readable copy for *days*; *speed* is bulk, standard or expedited. Idempotent meanwhile.

        Returns WARMING, WARM (already readable; extended) or INSTANT (nothing to do).
        """

    def change_class(self, key: str, storage_class: str) -> ObjectInfo:
        """Move *key* to another class by a server-side copy onto itself; bytes and key stay, etag may change.

        Billed as a transition, and as an early deletion where the old class has a minimum stay. Raises ObjectArchived
        when the object would have to be restored first.
        """


def split_key(key: str) -> tuple[str, str]:
    """Return (folder, name) of a key; the folder has no trailing slash and may be empty."""
    folder, _, name = key.rpartition("/")
    return folder, name
