"""The S3 store on SeaweedFS, which verifies checksums and decides races: the contract, and the refusals."""

from uuid import uuid4

import pytest

from tests.stores.bench import Bench, RawBucket
from tests.stores.conformance import StoreConformance, put
from tests.stores.servers import S3Server
from tests.stores.test_s3_moto import LARGE, options
from tiering.clock import FakeClock
from tiering.errors import ChecksumRefused, ObjectMissing, StoreDenied
from tiering.stores.base import Capabilities, Readability, Store
from tiering.stores.checksum import checksum_of
from tiering.stores.open import open_provider, open_store
from tiering.stores.options import SMALLEST_PART_BYTES
from tiering.stores.probe import probe

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]


class TestWrapped(StoreConformance):
    """The store as jobs see it."""

    @pytest.fixture
    def bench(self, seaweed: S3Server, bucket: str, prefix: str) -> Bench:
        store = open_store(f"s3://{bucket}/{prefix}", options=options(seaweed), clock=FakeClock())
        return Bench(store, RawBucket(seaweed, bucket, prefix), orders_by_component=True)


# One bucket for all: SeaweedFS sets several volumes aside for each.
@pytest.fixture(scope="module")
def bucket(seaweed: S3Server) -> str:
    return seaweed.bucket(f"b-{uuid4().hex}")


@pytest.fixture
def prefix() -> str:
    return f"p-{uuid4().hex}/"


@pytest.fixture
def store(seaweed: S3Server, bucket: str, prefix: str) -> Store:
    chosen = options(seaweed, part_size=SMALLEST_PART_BYTES)
    made, _ = open_provider(f"s3://{bucket}/{prefix}", options=chosen, clock=FakeClock())
    return made


def test_a_large_object_is_verified_as_a_whole(store: Store, seaweed: S3Server, bucket: str, prefix: str) -> None:
    stored = put(store, "packs/large", LARGE)

    assert stored.checksum == checksum_of(LARGE) == store.head("packs/large").checksum
    assert store.get("packs/large") == LARGE
    assert RawBucket(seaweed, bucket, prefix).uploads() == 0


def test_p1_a_large_object_with_a_wrong_checksum_is_refused_and_leaves_no_parts(
    store: Store, seaweed: S3Server, bucket: str, prefix: str
) -> None:
    with pytest.raises(ChecksumRefused):
        put(store, "packs/large", LARGE, checksum=checksum_of(b"other"))

    with pytest.raises(ObjectMissing):
        store.head("packs/large")
    assert RawBucket(seaweed, bucket, prefix).uploads() == 0


def test_an_archive_class_without_restores_is_only_a_label(store: Store) -> None:
    assert probe(store, storage_classes=["STANDARD", "GLACIER"], nonce="n") == Capabilities(
        conditional_put=True, verifies_checksum=True, keeps_class=True, archives=False
    )
    assert Readability.COLD is not Readability.INSTANT


def test_wrong_credentials_get_a_sentence(seaweed: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value, symptom in (
        ("AWS_SECRET_ACCESS_KEY", "wrong", "credentials"),
        ("AWS_ACCESS_KEY_ID", "nobody", "credentials"),
    ):
        monkeypatch.setenv(name, value)
        store, _ = open_provider(f"s3://{bucket}", options=options(seaweed), clock=FakeClock())
        with pytest.raises(StoreDenied, match=symptom) as caught:
            list(store.list())
        assert "AWS_ACCESS_KEY_ID" in caught.value.sentence()
        with pytest.raises(StoreDenied):
            store.head("x")
        with pytest.raises(StoreDenied):
            put(store, "x")
