"""Finds out what a store really does, by doing it: real requests under "probe/<nonce>/", deleted afterwards.

Run at init (and by doctor); the answer is kept in the catalog. Nothing is believed because of a server's name.
"""

import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tiering.config.archive_access import COOLS
from tiering.errors import ChecksumRefused, ObjectExists, StoreError
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore, Capabilities, Readability, Store
from tiering.stores.checksum import checksum_of
from tiering.stores.removal import remove

_BODY = b"frostline: may I?\n"
_RACERS = 4  # enough for a server that checks before it writes to be caught


def probe(store: Store, *, storage_classes: Iterable[str], nonce: str) -> Capabilities:
    """Return what *store* was seen to do with each of *storage_classes*. *nonce* is unique to this call.

    Sends about twenty small requests. In a class with a minimum stay the probe's few bytes are billed for it; that is
    less than a thousandth of a cent. Raises StoreDenied, StoreUnavailable, or StoreError when a class is not offered.
    """
    classes = sorted(set(storage_classes)) or ["STANDARD"]
    folder = f"probe/{nonce}/"
    try:
        return Capabilities(
            conditional_put=_creates_once(store, folder),
            verifies_checksum=_verifies_checksum(store, folder),
            keeps_class=all(_keeps_class(store, folder, name) for name in classes),
            archives=_archives(store, folder, classes),
        )
    finally:
        _clean_up(store, folder)


def writer_lease(capabilities: Capabilities, store_id: str) -> str:
    """Return the name of the catalog lease that whoever writes to this store must hold; "" where none is needed.

    Without conditional creates two writers could give one key to two objects: then only one process may write at a
    time.
    """
    return "" if capabilities.conditional_put else f"writer:{store_id}"


def _put(store: Store, key: str, *, body: bytes = _BODY, storage_class: str = "STANDARD", checksum: str = "") -> None:
    store.put(
        key,
        io.BytesIO(body),
        size_bytes=len(body),
        checksum=checksum or checksum_of(body),
        storage_class=storage_class,
    )


def _creates_once(store: Store, folder: str) -> bool:
    _put(store, folder + "once")
    if _wins(store, folder + "once", b"another"):
        return False
    with ThreadPoolExecutor(_RACERS) as racers:
        won = racers.map(lambda number: _wins(store, folder + "race", b"%d" % number), range(_RACERS))
        return sum(won) == 1


def _wins(store: Store, key: str, body: bytes) -> bool:
    try:
        _put(store, key, body=body)
    except ObjectExists:
        return False
    return True


def _verifies_checksum(store: Store, folder: str) -> bool:
    try:
        _put(store, folder + "checksum", checksum=checksum_of(b"other bytes"))
    except ChecksumRefused:
        return True
    return False


def _keeps_class(store: Store, folder: str, storage_class: str) -> bool:
    key = f"{folder}class-{storage_class}"
    _put(store, key, storage_class=storage_class)
    listed = next(iter(store.list(key)), None)
    return listed is not None and listed.storage_class == storage_class == store.head(key).storage_class


def _archives(store: Store, folder: str, classes: list[str]) -> bool:
    archive_classes = [name for name in classes if name in ARCHIVE_CLASSES]
    # What cools by itself may be set to be archived: can this server restore at all?
    tried = archive_classes or (["GLACIER"] if COOLS in classes else [])
    if not tried or not isinstance(store, ArchiveStore):
        return False
    try:
        if not archive_classes:
            _put(store, f"{folder}class-{tried[0]}", storage_class=tried[0])
        answer = store.request_restore(f"{folder}class-{tried[0]}", days=1, speed="standard")
    except StoreError as error:
        if error.exit_code == StoreError.exit_code and type(error) is StoreError:
            return False  # the server knows the name of the class, and no restores: it reads at once
        raise
    return answer is not Readability.INSTANT


def _clean_up(store: Store, folder: str) -> None:
    for upload in store.list_uploads(folder):
        store.abort_upload(upload)
    remove(store, [item.key for item in store.list(folder)])
