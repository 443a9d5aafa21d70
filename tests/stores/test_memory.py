"""The memory store: the contract, bare and under every wrapper, and its clockwork archive."""

from uuid import uuid4

import pytest

from tests.stores.bench import Bench, RawMemory
from tests.stores.conformance import BODY, StoreConformance, put
from tiering.clock import NS_PER_DAY, FakeClock
from tiering.errors import ObjectArchived, StoreDenied
from tiering.stores.base import ArchiveStore, Readability
from tiering.stores.memory import MemoryStore
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions


class TestBare(StoreConformance):
    """The store itself."""

    @pytest.fixture
    def bench(self) -> Bench:
        store = MemoryStore(uuid4().hex, clock=FakeClock())
        return Bench(store, RawMemory(store.shelf), archives=True)


class TestWrapped(StoreConformance):
    """The store as jobs see it."""

    @pytest.fixture
    def bench(self) -> Bench:
        name = uuid4().hex
        store = open_store(f"memory://{name}", options=StoreOptions(), clock=FakeClock())
        return Bench(store, RawMemory(MemoryStore(name).shelf), archives=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_700_000_000 * 10**9)


@pytest.fixture
def archive(clock: FakeClock) -> MemoryStore:
    store = MemoryStore(uuid4().hex, clock=clock)
    put(store, "cold")
    store.change_class("cold", "GLACIER")
    return store


def test_a_cold_object_cannot_be_read(archive: MemoryStore) -> None:
    with pytest.raises(ObjectArchived):
        archive.get("cold")

    assert archive.head("cold").readability is Readability.COLD


def test_a_restore_takes_its_hours_and_its_copy_expires_at_midnight(archive: MemoryStore, clock: FakeClock) -> None:
    assert archive.request_restore("cold", days=1, speed="standard") is Readability.WARMING
    clock.advance(4.9 * 3600)
    with pytest.raises(ObjectArchived):
        archive.get("cold")

    clock.advance(0.2 * 3600)
    info = archive.head("cold")
    assert archive.get("cold") == BODY
    assert info.readability is Readability.WARM
    assert info.warm_until_ns % NS_PER_DAY == 0

    clock.advance((info.warm_until_ns - clock.now_ns()) / 10**9)
    assert archive.head("cold").readability is Readability.COLD
    with pytest.raises(ObjectArchived):
        archive.get("cold")


def test_a_restored_copy_can_be_extended(archive: MemoryStore, clock: FakeClock) -> None:
    archive.request_restore("cold", days=1, speed="expedited")
    clock.advance(600)
    until = archive.head("cold").warm_until_ns

    assert archive.request_restore("cold", days=5, speed="bulk") is Readability.WARM
    assert archive.head("cold").warm_until_ns > until


def test_the_speed_of_a_restore_is_raised_and_never_lowered(archive: MemoryStore, clock: FakeClock) -> None:
    archive.request_restore("cold", days=1, speed="bulk")
    archive.request_restore("cold", days=1, speed="standard")
    archive.request_restore("cold", days=1, speed="bulk")
    clock.advance(5.1 * 3600)

    assert archive.head("cold").readability is Readability.WARM


def test_deep_archive_has_no_expedited_retrieval(archive: MemoryStore) -> None:
    put(archive, "deep")
    archive.change_class("deep", "DEEP_ARCHIVE")

    with pytest.raises(StoreDenied):
        archive.request_restore("deep", days=1, speed="expedited")


def test_the_wrappers_over_an_archive_store_are_one(clock: FakeClock) -> None:
    options = StoreOptions()

    assert isinstance(open_store("memory://wrapped", options=options, clock=clock), ArchiveStore)
    assert isinstance(open_store("memory://wrapped", options=options, clock=clock, read_only=True), ArchiveStore)
