"""The S3 store on moto: the contract, restores, parts, and what moto answers that AWS does too."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.stores.bench import Bench, RawBucket
from tests.stores.conformance import BODY, StoreConformance, put
from tests.stores.servers import S3Server, slow_restores
from tiering.clock import NS_PER_S, FakeClock, SystemClock
from tiering.errors import ChecksumRefused, ObjectArchived, ObjectExists, ObjectMissing, StoreError, StoreUnavailable
from tiering.stores.archive import ensure_readable
from tiering.stores.base import ArchiveStore, Capabilities, Readability
from tiering.stores.checksum import checksum_of
from tiering.stores.metered import Meter
from tiering.stores.open import open_provider, open_store
from tiering.stores.options import SMALLEST_PART_BYTES, StoreOptions
from tiering.stores.probe import probe
from tiering.stores.s3_class import change_class_in_parts
from tiering.stores.verified import put_verified

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]

LARGE = bytes(range(251)) * (2 * SMALLEST_PART_BYTES // 251 + 1000)  # three parts
MOTO = Capabilities(conditional_put=True, verifies_checksum=False, keeps_class=True, archives=True)


class TestWrapped(StoreConformance):
    """The store as jobs see it."""

    @pytest.fixture
    def bench(self, moto: S3Server) -> Bench:
        bucket = moto.bucket(f"b-{uuid4().hex}")
        store = open_store(f"s3://{bucket}", options=options(moto), clock=FakeClock())
        return Bench(store, RawBucket(moto, bucket, ""), verifies_checksum=False, archives=True)


class TestUnderAPrefix(StoreConformance):
    """The bare store, beside other people's objects."""

    @pytest.fixture
    def bench(self, moto: S3Server) -> Bench:
        bucket = moto.bucket(f"b-{uuid4().hex}")
        moto.client().put_object(Bucket=bucket, Key="cold/store-of-another", Body=b"x")
        store, _ = open_provider(f"s3://{bucket}/cold/store/", options=options(moto), clock=FakeClock())
        return Bench(store, RawBucket(moto, bucket, "cold/store/"), verifies_checksum=False, archives=True)


def options(server: S3Server, **changes: Any) -> StoreOptions:
    """How to reach *server*."""
    return StoreOptions(endpoint_url=server.endpoint, region="us-east-1", path_style=True, deadline_s=5, **changes)


@pytest.fixture
def bucket(moto: S3Server) -> str:
    return moto.bucket(f"b-{uuid4().hex}")


@pytest.fixture
def store(moto: S3Server, bucket: str) -> ArchiveStore:
    made, _ = open_provider(f"s3://{bucket}", options=options(moto, part_size=SMALLEST_PART_BYTES), clock=FakeClock())
    assert isinstance(made, ArchiveStore)
    return made


def put_class(store: ArchiveStore, key: str, storage_class: str) -> None:
    """Put BODY in a class."""
    store.put(key, io.BytesIO(BODY), size_bytes=len(BODY), checksum=checksum_of(BODY), storage_class=storage_class)


def test_a_large_object_goes_up_in_parts_and_comes_back(store: ArchiveStore, moto: S3Server, bucket: str) -> None:
    stored = put(store, "packs/large", LARGE)

    assert store.get("packs/large") == LARGE
    assert stored.checksum in {"", checksum_of(LARGE)}
    assert store.head("packs/large").checksum == checksum_of(LARGE)
    assert stored.etag.endswith('-3"')
    assert RawBucket(moto, bucket, "").uploads() == 0


def test_p4_a_large_upload_that_loses_the_race_leaves_no_parts(
    store: ArchiveStore, moto: S3Server, bucket: str
) -> None:
    put(store, "packs/large", b"the first")

    with pytest.raises(ObjectExists):
        put(store, "packs/large", LARGE)

    assert store.get("packs/large") == b"the first"
    assert RawBucket(moto, bucket, "").uploads() == 0


def test_p4_a_large_upload_that_fails_halfway_is_aborted(store: ArchiveStore, moto: S3Server, bucket: str) -> None:
    class FailsHalfway(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= SMALLEST_PART_BYTES + 1000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(StoreUnavailable):
        store.put(
            "packs/large",
            FailsHalfway(LARGE),
            size_bytes=len(LARGE),
            checksum=checksum_of(LARGE),
            storage_class="STANDARD",
        )

    assert RawBucket(moto, bucket, "").uploads() == 0
    with pytest.raises(ObjectMissing):
        store.head("packs/large")


def test_the_meter_counts_the_requests_that_are_billed(moto: S3Server, bucket: str) -> None:
    meter = Meter()
    small_parts = options(moto, part_size=SMALLEST_PART_BYTES)
    store = open_store(f"s3://{bucket}", options=small_parts, clock=FakeClock(), meter=meter)

    put(store, "packs/large", LARGE)
    put(store, "packs/small", BODY)
    store.get("packs/small")
    store.head("packs/small")
    list(store.list())
    usage = meter.take()

    assert usage.requests == {
        ("put", "STANDARD"): 1 + 3 + 1 + 1,
        ("get", ""): 1,
        ("head", ""): 1,
        ("list", ""): 1,
    }
    assert (usage.bytes_up, usage.bytes_down) == (len(LARGE) + len(BODY), len(BODY))
    assert meter.snapshot().is_empty


def test_a_listing_of_more_than_one_page_is_complete(moto: S3Server, bucket: str) -> None:
    raw = RawBucket(moto, bucket, "")
    keys = [f"packs/{number:04d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: raw.write(key, b""), keys))
    meter = Meter()
    store = open_store(f"s3://{bucket}", options=options(moto), clock=FakeClock(), meter=meter)

    assert [item.key for item in store.list("packs/")] == keys
    assert meter.take().count("list") == 2
    assert [item.key for item in store.list("packs/", start_after="packs/1097")] == keys[1098:]


def test_an_archived_object_says_so_when_read(store: ArchiveStore) -> None:
    put_class(store, "packs/cold", "GLACIER")

    with pytest.raises(ObjectArchived) as caught:
        store.get("packs/cold")

    assert caught.value.exit_code == 4
    assert store.head("packs/cold").readability is Readability.COLD
    assert next(iter(store.list())).readability is Readability.COLD


def test_a_restore_goes_from_cold_over_warming_to_warm(store: ArchiveStore) -> None:
    with slow_restores(looks=3):
        put_class(store, "packs/cold", "GLACIER")
        assert {store.head("packs/cold").readability for _ in range(3)} == {Readability.COLD}
        assert store.request_restore("packs/cold", days=2, speed="bulk") is Readability.WARMING
        seen = [store.head("packs/cold") for _ in range(12)]

    assert seen[0].readability is Readability.WARMING
    assert seen[-1].readability is Readability.WARM
    assert seen[-1].warm_until_ns > SystemClock().now_ns() + 86_400 * NS_PER_S
    assert store.get("packs/cold") == BODY


def test_p7_an_object_still_being_restored_is_not_taken_for_readable(store: ArchiveStore) -> None:
    with slow_restores(looks=5):
        put_class(store, "packs/cold", "DEEP_ARCHIVE")
        assert {store.head("packs/cold").readability for _ in range(5)} == {Readability.COLD}
        store.request_restore("packs/cold", days=2, speed="standard")
        with pytest.raises(ObjectArchived, match="archived"):
            ensure_readable(store, "packs/cold", MOTO)


def test_asking_to_restore_what_reads_at_once_does_nothing(store: ArchiveStore) -> None:
    put_class(store, "packs/warm", "STANDARD_IA")

    assert store.request_restore("packs/warm", days=2, speed="bulk") is Readability.INSTANT
    assert ensure_readable(store, "packs/warm", MOTO).storage_class == "STANDARD_IA"


def test_a_class_is_changed_in_place(store: ArchiveStore) -> None:
    put(store, "packs/one")

    assert store.change_class("packs/one", "GLACIER").storage_class == "GLACIER"
    assert store.head("packs/one").size_bytes == len(BODY)


def test_a_large_object_changes_class_in_parts(store: ArchiveStore, moto: S3Server, bucket: str) -> None:
    put(store, "packs/large", LARGE)
    client, target = moto.client(), {"Bucket": bucket, "Key": "packs/large"}
    attributes = {"StorageClass": "GLACIER_IR", "Tagging": "team=a"}
    change_class_in_parts(
        client, target, info=store.head("packs/large"), attributes=attributes, part_bytes=SMALLEST_PART_BYTES
    )

    assert store.head("packs/large").storage_class == "GLACIER_IR"
    assert store.get("packs/large") == LARGE
    assert client.get_object_tagging(**target)["TagSet"] == [{"Key": "team", "Value": "a"}]


def test_a_class_change_in_parts_that_fails_leaves_no_upload(store: ArchiveStore, moto: S3Server, bucket: str) -> None:
    before = put(store, "packs/large", LARGE)
    store.delete("packs/large")
    target = {"Bucket": bucket, "Key": "packs/large"}
    with pytest.raises(ClientError):
        change_class_in_parts(moto.client(), target, info=before, attributes={"StorageClass": "GLACIER_IR"})
    assert RawBucket(moto, bucket, "").uploads() == 0


def test_p1_an_archived_upload_is_read_back_before_it_turns_cold(store: ArchiveStore) -> None:
    def upload(key: str, checksum: str) -> str:
        return put_verified(
            store,
            MOTO,
            key,
            io.BytesIO(BODY),
            size_bytes=len(BODY),
            checksum=checksum,
            storage_class="GLACIER",
        ).storage_class

    assert upload("packs/right", checksum_of(BODY)) == "GLACIER"
    with pytest.raises(ChecksumRefused):
        upload("packs/wrong", checksum_of(b"other"))

    assert store.head("packs/right").readability is Readability.COLD
    with pytest.raises(ObjectMissing):
        store.head("packs/wrong")


def test_the_probe_sees_that_moto_restores_and_does_not_verify(store: ArchiveStore) -> None:
    assert probe(store, storage_classes=["STANDARD", "GLACIER"], nonce="n") == MOTO


def test_an_absent_bucket_gets_a_sentence(moto: S3Server) -> None:
    store, _ = open_provider("s3://nobodys-bucket", options=options(moto), clock=FakeClock())

    for look in (lambda: store.head("x"), lambda: list(store.list()), lambda: put(store, "x")):
        with pytest.raises(StoreError, match='no bucket "nobodys-bucket"') as caught:
            look()
        assert not isinstance(caught.value, ObjectMissing)
