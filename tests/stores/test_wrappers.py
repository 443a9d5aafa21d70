"""The wrappers: what is retried and what is not, lost answers, limits, meters, read-only."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import TypeVar
from uuid import uuid4

import pytest

from dedup.values import Span
from tests.stores.conformance import BODY, put
from tests.stores.faults import FaultyStore
from tiering.clock import FakeClock
from tiering.errors import ChecksumRefused, ConfigError, ObjectExists, StoreDenied, StoreError, StoreUnavailable
from tiering.stores.base import ArchiveStore, Capabilities
from tiering.stores.checksum import checksum_of
from tiering.stores.limit import Bandwidth, LimitedStore, limited
from tiering.stores.memory import MemoryStore
from tiering.stores.metered import Meter, metered
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions
from tiering.stores.readonly import read_only
from tiering.stores.retry import RetryingStore, retrying
from tiering.stores.verified import put_verified
from tiering.stores.wrapper import Operation, Wrapper

T = TypeVar("T")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memory(clock: FakeClock) -> MemoryStore:
    return MemoryStore(uuid4().hex, clock=clock)


@pytest.fixture
def faulty(memory: MemoryStore) -> FaultyStore:
    return FaultyStore(memory)


@pytest.fixture
def retried(faulty: FaultyStore, clock: FakeClock) -> RetryingStore:
    return RetryingStore(faulty, clock=clock, deadline_s=60)


def test_what_is_transient_is_retried(retried: RetryingStore, faulty: FaultyStore) -> None:
    faulty.plan("put", "rrr").plan("get", "rH").plan("head", "r").plan("delete", "r")

    put(retried, "a")
    assert retried.get("a") == BODY
    assert retried.head("a").size_bytes == len(BODY)
    retried.delete("a")

    assert [faulty.count(kind) for kind in ("put", "get", "head", "delete")] == [4, 3, 2, 2]


def test_what_is_refused_is_not_retried(retried: RetryingStore, faulty: FaultyStore) -> None:
    faulty.plan("put", "rE")

    with pytest.raises(StoreDenied):
        put(retried, "a")

    assert faulty.count("put") == 2


def test_retries_end_at_the_deadline_with_the_stores_own_error(
    retried: RetryingStore, faulty: FaultyStore, clock: FakeClock
) -> None:
    faulty.plan("get", "r" * 10_000)
    started = clock.monotonic_s()

    with pytest.raises(StoreUnavailable, match="planned failure"):
        retried.get("a")

    assert clock.monotonic_s() - started <= 60
    assert 3 <= faulty.count("get") <= 1000


def test_without_a_deadline_there_is_one_attempt(faulty: FaultyStore, clock: FakeClock) -> None:
    faulty.plan("get", "r")

    with pytest.raises(StoreUnavailable):
        RetryingStore(faulty, clock=clock, deadline_s=0).get("a")

    assert faulty.count("get") == 1


def test_p4_a_put_whose_answer_was_lost_adopts_its_own_object(
    retried: RetryingStore, faulty: FaultyStore, memory: MemoryStore
) -> None:
    faulty.plan("put", "L")

    stored = put(retried, "packs/one")

    assert stored == memory.head("packs/one")
    assert faulty.count("put") == 2


def test_p4_an_adopted_object_without_a_reported_checksum_is_read(
    retried: RetryingStore, faulty: FaultyStore, memory: MemoryStore
) -> None:
    class Silent(Wrapper):
        """Reports no checksums, as a FAT disk or an old server does not."""

        def run(self, operation: Operation, call: Callable[[], T]) -> T:
            result = call()
            if operation.kind == "head":
                held = memory.shelf.held["packs/one"]
                return type(result)("packs/one", len(held.body), "STANDARD", "", held.etag, 1)  # type: ignore[call-arg]
            return result

    silent = FaultyStore(Silent(memory)).plan("put", "L")
    adopted = put(RetryingStore(silent, clock=FakeClock(), deadline_s=60), "packs/one")

    assert adopted.checksum == ""
    assert silent.count("get") == 1


def test_p4_another_writers_object_is_not_adopted(
    retried: RetryingStore, faulty: FaultyStore, memory: MemoryStore
) -> None:
    put(memory, "packs/one", bytes(reversed(BODY)))
    faulty.plan("put", "r")

    with pytest.raises(ObjectExists):
        put(retried, "packs/one")

    assert memory.get("packs/one") == bytes(reversed(BODY))


def test_an_object_that_stood_there_before_is_not_adopted(retried: RetryingStore, memory: MemoryStore) -> None:
    put(memory, "packs/one")

    with pytest.raises(ObjectExists):
        put(retried, "packs/one")


def test_every_attempt_sends_the_whole_body(retried: RetryingStore, faulty: FaultyStore, memory: MemoryStore) -> None:
    class ReadsHalf(Wrapper):
        """Fails after it has read a part of the body."""

        attempts = 0

        def put(self, key: str, body: io.BytesIO, **rest: object) -> object:  # type: ignore[override]
            ReadsHalf.attempts += 1
            if ReadsHalf.attempts < 3:
                body.read(100)
                raise StoreUnavailable("the connection broke")
            return self.inner.put(key, body, **rest)  # type: ignore[arg-type]

    body = io.BytesIO(b"skipped" + BODY)
    body.seek(7)
    RetryingStore(ReadsHalf(memory), clock=FakeClock(), deadline_s=60).put(
        "a", body, size_bytes=len(BODY), checksum=checksum_of(BODY), storage_class="STANDARD"
    )

    assert memory.get("a") == BODY


def test_bytes_that_keep_arriving_damaged_are_given_up_soon(retried: RetryingStore, faulty: FaultyStore) -> None:
    faulty.plan("put", "B" * 100)

    with pytest.raises(ChecksumRefused):
        put(retried, "a")

    assert faulty.count("put") == 3


def test_a_listing_that_breaks_off_goes_on_where_it_was(
    retried: RetryingStore, faulty: FaultyStore, memory: MemoryStore
) -> None:
    keys = [f"k{number:02d}" for number in range(20)]
    for key in keys:
        put(memory, key, b"x")
    faulty.plan("list", "r...rr.......r")

    assert [item.key for item in retried.list()] == keys


def test_p1_where_checksums_are_not_verified_damage_on_the_way_back_is_seen(faulty: FaultyStore) -> None:
    blind = Capabilities(conditional_put=True, verifies_checksum=False, keeps_class=True, archives=True)
    faulty.plan("get", "C")

    with pytest.raises(ChecksumRefused, match="reads back"):
        put_verified(
            faulty, blind, "a", io.BytesIO(BODY), size_bytes=len(BODY), checksum=checksum_of(BODY), storage_class="X"
        )

    assert faulty.count("delete") == 1


def test_no_more_than_so_many_operations_run_at_once(memory: MemoryStore, clock: FakeClock) -> None:
    together = Barrier(3)

    class Meets(Wrapper):
        """Waits for two others inside the operation: with two slots nobody ever comes."""

        def run(self, operation: Operation, call: Callable[[], T]) -> T:
            together.wait(timeout=0.2)
            return call()

    store = LimitedStore(Meets(memory), max_concurrency=2, bandwidth=Bandwidth(0, clock=clock))
    with ThreadPoolExecutor(3) as pool, pytest.raises(BrokenBarrierError):
        list(pool.map(lambda number: put(store, f"k{number}"), range(3)))


def test_a_throttling_store_is_asked_by_fewer_and_then_by_more_again(memory: MemoryStore, clock: FakeClock) -> None:
    faulty = FaultyStore(memory).plan("head", "rrrrrr")
    store = LimitedStore(faulty, max_concurrency=16, bandwidth=Bandwidth(0, clock=clock))
    put(store, "a")
    seen = [store.slots.bound]

    for _ in range(6):
        with pytest.raises(StoreUnavailable):
            store.head("a")
        seen.append(store.slots.bound)
    assert seen == [16, 8, 4, 2, 1, 1, 1]

    for _ in range(200):
        store.head("a")
    assert store.slots.bound == 16


def test_a_refusal_is_no_reason_to_slow_down(memory: MemoryStore, clock: FakeClock) -> None:
    store = LimitedStore(FaultyStore(memory).plan("head", "EM"), max_concurrency=4, bandwidth=Bandwidth(0, clock=clock))

    for _ in range(2):
        with pytest.raises(StoreError):
            store.head("a")

    assert store.slots.bound == 4


def test_the_bandwidth_holds_on_average(memory: MemoryStore, clock: FakeClock) -> None:
    store = limited(memory, max_concurrency=4, bandwidth_bytes_per_s=1000, clock=clock)
    started = clock.monotonic_s()

    for number in range(10):
        put(store, f"k{number}", b"x" * 2000)
    for number in range(10):
        store.get(f"k{number}", Span(0, 500))

    assert clock.monotonic_s() - started == pytest.approx(25 - 1, abs=0.01)  # a second's worth was saved up


def test_an_idle_hour_is_not_made_up_for(memory: MemoryStore, clock: FakeClock) -> None:
    store = limited(memory, max_concurrency=4, bandwidth_bytes_per_s=1000, clock=clock)
    clock.advance(3600)
    started = clock.monotonic_s()

    for number in range(5):
        put(store, f"k{number}", b"x" * 1000)

    assert clock.monotonic_s() - started == pytest.approx(4, abs=0.01)


def test_failed_attempts_are_metered_too(faulty: FaultyStore, clock: FakeClock) -> None:
    meter = Meter()
    faulty.plan("put", "rr")
    put(retrying(metered(faulty, meter=meter), clock=clock, deadline_s=60), "a")

    assert meter.snapshot().requests == {("put", "STANDARD"): 3}
    assert meter.snapshot().bytes_up == 3 * len(BODY)


def test_a_meter_is_taken_once_and_can_be_given_back(memory: MemoryStore) -> None:
    meter = Meter()
    store = metered(memory, meter=meter)
    put(store, "a")
    store.get("a", Span(0, 10))

    usage = meter.take()
    assert meter.take().is_empty
    meter.give_back(usage)

    assert meter.take() == usage
    assert (usage.count("put"), usage.count("get"), usage.bytes_down) == (1, 1, 10)


def test_a_read_only_store_changes_nothing(memory: MemoryStore) -> None:
    put(memory, "a")
    store = read_only(memory)
    assert isinstance(store, ArchiveStore)

    assert store.get("a") == BODY
    assert [item.key for item in store.list()] == ["a"]
    assert store.head("a").size_bytes == len(BODY)
    assert list(store.list_uploads()) == []
    for change in (
        lambda: put(store, "b"),
        lambda: store.delete("a"),
        lambda: store.request_restore("a", days=1, speed="bulk"),
        lambda: store.change_class("a", "GLACIER"),
    ):
        with pytest.raises(StoreDenied, match="reading only"):
            change()
    assert list(memory.shelf.held) == ["a"]


@pytest.mark.parametrize(
    "url",
    ["", "/srv/x", "ftp://host/x", "file://host/x", "file:///", "file:///a/../b", "s3://", "s3://b/x?colour=blue"],
)
def test_a_url_that_is_no_store_gets_a_sentence(url: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigError):
        open_store(url, options=StoreOptions(), clock=clock)


def test_credentials_in_a_url_are_refused_and_not_repeated(clock: FakeClock) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store("s3://AKIAEXAMPLE:topsecret@bucket/x", options=StoreOptions(), clock=clock)

    assert "topsecret" not in caught.value.sentence()
