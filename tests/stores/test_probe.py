"""The probe believes what a store does, not what it says: lying stores are found out."""

import io
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from tests.stores.conformance import BODY
from tests.stores.faults import FaultyStore
from tiering.clock import FakeClock
from tiering.errors import StoreError, StoreUnavailable
from tiering.stores.archive import ensure_readable
from tiering.stores.base import ArchiveStore, Capabilities, ObjectInfo, Readability
from tiering.stores.checksum import checksum_of
from tiering.stores.memory import MemoryStore
from tiering.stores.probe import probe
from tiering.stores.verified import put_verified
from tiering.stores.wrapper import Operation, RestoreOperations, Wrapper

T = TypeVar("T")


class Lying(RestoreOperations, Wrapper):
    """A store that changes what it is asked to put."""

    def __init__(self, inner: MemoryStore, **changes: Any) -> None:
        super().__init__(inner)
        self.changes = changes

    def put(self, key: str, body: Any, **wanted: Any) -> ObjectInfo:
        if self.changes.get("checksum") == "ignored":
            start = body.tell()
            wanted["checksum"] = checksum_of(body.read(wanted["size_bytes"]))
            body.seek(start)
        known = {name: value for name, value in self.changes.items() if name != "checksum"}
        return self.inner.put(key, body, **(wanted | known))


class NeverRestores(Lying):
    """Knows the names of archive classes, and no restores (SeaweedFS)."""

    def run(self, operation: Operation, call: Callable[[], T]) -> T:
        if operation.kind == "restore":
            raise StoreError("could not request the restore: MethodNotAllowed")
        return super().run(operation, call)


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore(uuid4().hex, clock=FakeClock())


def seen(store: Any, *classes: str) -> Capabilities:
    return probe(store, storage_classes=classes or ("STANDARD",), nonce="n")


def test_a_store_that_overwrites_is_found_out(memory: MemoryStore) -> None:
    assert not seen(Lying(memory, if_absent=False)).conditional_put


def test_a_store_that_ignores_checksums_is_found_out(memory: MemoryStore) -> None:
    assert not seen(Lying(memory, checksum="ignored")).verifies_checksum


def test_a_store_that_forgets_the_class_is_found_out(memory: MemoryStore) -> None:
    lying = Lying(memory, storage_class="STANDARD")

    assert seen(lying, "STANDARD").keeps_class
    assert not seen(lying, "STANDARD_IA").keeps_class


def test_a_store_that_only_knows_the_names_of_archive_classes_is_found_out(memory: MemoryStore) -> None:
    assert seen(memory, "GLACIER").archives
    assert not seen(NeverRestores(memory), "GLACIER").archives


def test_what_looks_archived_is_readable_where_nothing_is_restored(memory: MemoryStore) -> None:
    store = NeverRestores(memory)
    capabilities = seen(store, "GLACIER")

    info = put_verified(
        store,
        capabilities,
        "a",
        io.BytesIO(BODY),
        size_bytes=len(BODY),
        checksum=checksum_of(BODY),
        storage_class="GLACIER",
    )

    assert info.readability is Readability.COLD
    assert ensure_readable(store, "a", capabilities).storage_class == "GLACIER"


def test_the_probe_cleans_up_after_a_failure(memory: MemoryStore) -> None:
    faulty = FaultyStore(memory).plan("put", "......r")

    with pytest.raises(StoreUnavailable):
        seen(faulty)

    assert memory.shelf.held == {}


def test_a_class_that_is_not_offered_is_an_error_and_not_a_capability(memory: MemoryStore) -> None:
    class WithoutClasses(Lying):
        def put(self, key: str, body: Any, **wanted: Any) -> ObjectInfo:
            if wanted["storage_class"] != "STANDARD":
                raise StoreError("could not store: InvalidStorageClass")
            return super().put(key, body, **wanted)

    with pytest.raises(StoreError, match="InvalidStorageClass"):
        seen(WithoutClasses(memory), "STANDARD", "GLACIER")
    assert isinstance(memory, ArchiveStore)
    assert memory.shelf.held == {}
