"""The one way jobs upload what must not be lost (P1a): the store verified the checksum itself, or the object was read
back.
"""

from typing import BinaryIO

from dedup.values import Span
from tiering.errors import ChecksumRefused, StoreError, UsageError
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore, Capabilities, ObjectInfo, Store
from tiering.stores.checksum import Checksum

_READ_BACK_BYTES = 8 << 20  # 8 MiB a request: a pack is read back in a handful, in little memory


def put_verified(
    store: Store,
    capabilities: Capabilities,
    key: str,
    body: BinaryIO,
    *,
    size_bytes: int,
    checksum: str,
    storage_class: str,
) -> ObjectInfo:
    """Create *key* and return its info once the stored bytes are proven to have *checksum*.

    Where the store does not verify, the object is read back. An archive class cannot be: there the object goes up as
    STANDARD, is read back, and changes class by a server-side copy.

    Raises what put() raises; ChecksumRefused, with the damaged object deleted again, if the read-back differs.
    """
    stage = storage_class
    if not capabilities.verifies_checksum and capabilities.archives and storage_class in ARCHIVE_CLASSES:
        stage = "STANDARD"
    info = store.put(key, body, size_bytes=size_bytes, checksum=checksum, storage_class=stage)
    if capabilities.verifies_checksum:
        return info
    _read_back(store, info, size_bytes=size_bytes, checksum=checksum)
    if stage == storage_class:
        return info
    if not isinstance(store, ArchiveStore):
        raise UsageError(f"{store.url} has no archive classes", hint="choose another storage_class for the tier")
    return store.change_class(key, storage_class)


def _read_back(store: Store, info: ObjectInfo, *, size_bytes: int, checksum: str) -> None:
    held = Checksum()
    for start in range(0, size_bytes, _READ_BACK_BYTES):
        held.update(store.get(info.key, Span(start, min(_READ_BACK_BYTES, size_bytes - start))))
    if held.text() == checksum and info.size_bytes == size_bytes:
        return
    try:
        store.delete(info.key)
        now = "the damaged object was deleted again"
    except StoreError:
        now = "the damaged object is still there; nothing refers to it and gc deletes it"
    raise ChecksumRefused(
        f"{info.key} in {store.url} reads back as {held.text()}, {checksum} was sent",
        now=now,
        hint="try again; if it persists, do not trust this store",
    )
