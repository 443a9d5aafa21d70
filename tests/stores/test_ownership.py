"""Ownership: damaged records, leaving, and the lease that stands in for conditional creates."""

import json
from uuid import uuid4

import pytest

from tests.stores.bench import RawMemory
from tests.stores.conformance import put
from tests.stores.faults import FaultyStore
from tiering.errors import IntegrityError, NotOwner, ObjectMissing, StoreUnavailable
from tiering.stores import ownership
from tiering.stores.base import Capabilities
from tiering.stores.memory import MemoryStore
from tiering.stores.probe import writer_lease

NOW_NS = 1_700_000_000 * 10**9


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(uuid4().hex)


def test_the_record_is_what_the_format_says(store: MemoryStore) -> None:
    ownership.claim(store, "catalog-a", "store-01", NOW_NS)

    assert json.loads(store.get("frostline.json")) == {
        "format": 1,
        "store_id": "store-01",
        "catalog_id": "catalog-a",
        "epoch": 1,
        "claimed": "2023-11-14T22:13:20Z",
    }


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b"\xff", b'{"format": 2, "store_id": "s", "catalog_id": "c", "epoch": 1}']
)
def test_a_damaged_or_newer_record_is_never_taken_for_absent(store: MemoryStore, body: bytes) -> None:
    RawMemory(store.shelf).write("frostline.json", body)

    for look in (
        lambda: ownership.claim(store, "catalog-a", "store-01", NOW_NS),
        lambda: ownership.check(store, "catalog-a", 1),
        lambda: ownership.take_over(store, "catalog-a", NOW_NS),
    ):
        with pytest.raises(IntegrityError, match=r"frostline\.json"):
            look()
    assert store.get("frostline.json") == body


def test_a_claim_that_lost_the_race_is_refused(store: MemoryStore) -> None:
    class LosesTheRace(FaultyStore):
        """Another catalog claims between our look and our write."""

        def head_start(self) -> None:
            ownership.claim(store, "catalog-b", "store-02", NOW_NS)

        def put(self, key: str, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            self.head_start()
            return super().put(key, *args, **kwargs)  # type: ignore[arg-type]

    with pytest.raises(NotOwner, match="catalog-b"):
        ownership.claim(LosesTheRace(store), "catalog-a", "store-01", NOW_NS)


def test_a_claim_whose_answer_is_lost_can_be_repeated(store: MemoryStore) -> None:
    faulty = FaultyStore(store).plan("put", "L")

    with pytest.raises(StoreUnavailable, match="planned loss"):
        ownership.claim(faulty, "catalog-a", "store-01", NOW_NS)

    assert ownership.claim(faulty, "catalog-a", "store-01", NOW_NS).epoch == 1


def test_only_the_owner_leaves(store: MemoryStore) -> None:
    ownership.claim(store, "catalog-a", "store-01", NOW_NS)
    put(store, "packs/one")

    with pytest.raises(NotOwner):
        ownership.release(store, "catalog-b", 1)
    ownership.release(store, "catalog-a", 1)
    ownership.release(store, "catalog-a", 1)

    with pytest.raises(ObjectMissing):
        ownership.read(store)


def test_without_conditional_creates_a_writer_needs_the_lease_of_the_store() -> None:
    able = Capabilities(conditional_put=True, verifies_checksum=True, keeps_class=True, archives=False)
    unable = Capabilities(conditional_put=False, verifies_checksum=True, keeps_class=True, archives=False)

    assert writer_lease(able, "store-01") == ""
    assert writer_lease(unable, "store-01") == "writer:store-01"
