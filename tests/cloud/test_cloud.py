"""The fake S3 against S3's documentation, botocore's model of the service, and arithmetic by hand."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from awscrt import checksums
from botocore.exceptions import ClientError, HTTPClientError

import policies
from policies.prices import PriceBook, parse_book
from tests.cloud.answers import ERRORS
from tests.cloud.server import Cloud, cloud
from tests.stores.servers import S3Server
from tiering.clock import FakeClock

pytestmark = pytest.mark.s3
HOUR_S, DAY_S = 3600, 86_400
MIB = 1 << 20
MIDNIGHT_S = 20_000 * DAY_S


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """The book that ships."""
    folder = Path(policies.__file__).parent / "data"
    return parse_book(json.loads((folder / "aws-us-east-1.json").read_text()))


@pytest.fixture
def clock() -> FakeClock:
    """Noon of some day."""
    return FakeClock((MIDNIGHT_S + 12 * HOUR_S) * 10**9)


@pytest.fixture
def served(clock: FakeClock, book: PriceBook) -> Iterator[tuple[S3Server, Cloud]]:
    """A fresh cloud with one bucket, empty again afterwards: moto's memory outlives its servers."""
    with cloud(clock, book) as (server, app):
        client = server.client()
        client.create_bucket(Bucket="bucket")
        yield server, app
        for key in [key for _, key in app.objects]:
            client.delete_object(Bucket="bucket", Key=key)


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    """Return S3's word for a failure."""
    return str(error.value.response["Error"]["Code"])


def restore(client: Any, speed: str, days: int = 2) -> int:
    """Ask for a restore of bucket/k; return the status."""
    order = {"Days": days, "GlacierJobParameters": {"Tier": speed}}
    answer = client.restore_object(Bucket="bucket", Key="k", RestoreRequest=order)
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def test_a_wrong_checksum_is_refused_and_nothing_is_stored(served: tuple[S3Server, Cloud]) -> None:
    server, app = served
    wrong = base64.b64encode(checksums.crc64nvme(b"other").to_bytes(8, "big")).decode()
    with pytest.raises(ClientError) as error:
        server.client().put_object(
            Bucket="bucket", Key="k", Body=b"bytes", ChecksumAlgorithm="CRC64NVME", ChecksumCRC64NVME=wrong
        )
    assert code(error) == "BadDigest"
    assert app.objects == {}


def test_an_archived_object_is_read_only_between_restore_and_expiry(
    served: tuple[S3Server, Cloud], clock: FakeClock
) -> None:
    client = served[0].client()
    client.put_object(Bucket="bucket", Key="k", Body=b"x" * 100, StorageClass="GLACIER")
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket="bucket", Key="k")
    assert code(error) == "InvalidObjectState"
    with pytest.raises(ClientError) as error:
        client.copy_object(Bucket="bucket", Key="c", CopySource={"Bucket": "bucket", "Key": "k"})
    assert code(error) == "ObjectNotInActiveTierError"

    assert restore(client, "Bulk") == 202
    assert client.head_object(Bucket="bucket", Key="k")["Restore"] == 'ongoing-request="true"'
    with pytest.raises(ClientError) as error:
        client.get_object(Bucket="bucket", Key="k")  # moto would serve it
    assert code(error) == "InvalidObjectState"
    with pytest.raises(ClientError) as error:
        restore(client, "Bulk")
    assert code(error) == "RestoreAlreadyInProgress"

    clock.advance(12 * HOUR_S)  # ready at midnight of day 1: two days later is a midnight already
    assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"x" * 100
    until = client.head_object(Bucket="bucket", Key="k")["Restore"]
    assert until.startswith('ongoing-request="false", expiry-date=')
    assert restore(client, "Bulk", days=5) == 200
    assert client.head_object(Bucket="bucket", Key="k")["Restore"] != until
    clock.advance(5 * DAY_S)
    assert "Restore" not in client.head_object(Bucket="bucket", Key="k")
    with pytest.raises(ClientError):
        client.get_object(Bucket="bucket", Key="k")
    assert client.head_object(Bucket="bucket", Key="k")["StorageClass"] == "GLACIER"


def test_speed_can_be_raised_and_not_lowered(served: tuple[S3Server, Cloud], clock: FakeClock) -> None:
    server, app = served
    client = server.client()
    client.put_object(Bucket="bucket", Key="k", Body=b"x", StorageClass="GLACIER")
    restore(client, "Bulk")
    assert restore(client, "Standard") == 202
    with pytest.raises(ClientError):
        restore(client, "Bulk")
    app.expedited_available = False
    with pytest.raises(ClientError) as error:
        restore(client, "Expedited")
    assert code(error) == "GlacierExpeditedRetrievalNotAvailable"
    clock.advance(5 * HOUR_S)
    assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"x"


def test_deep_archive_offers_no_expedited_speed(served: tuple[S3Server, Cloud]) -> None:
    client = served[0].client()
    client.put_object(Bucket="bucket", Key="k", Body=b"x", StorageClass="DEEP_ARCHIVE")
    with pytest.raises(ClientError) as error:
        restore(client, "Expedited")
    assert code(error) == "InvalidArgument"


def test_a_listing_says_how_restores_stand(served: tuple[S3Server, Cloud], clock: FakeClock) -> None:
    client = served[0].client()
    for key in ("a", "k"):
        client.put_object(Bucket="bucket", Key=key, Body=b"x", StorageClass="DEEP_ARCHIVE")
    restore(client, "Standard")

    def status() -> list[Any]:
        listed = client.list_objects_v2(Bucket="bucket", OptionalObjectAttributes=["RestoreStatus"])
        return [item.get("RestoreStatus") for item in listed["Contents"]]

    assert status() == [None, {"IsRestoreInProgress": True}]
    clock.advance(12 * HOUR_S)
    cold, warm = status()
    assert cold is None
    assert warm["IsRestoreInProgress"] is False
    assert warm["RestoreExpiryDate"].timestamp() == MIDNIGHT_S + 3 * DAY_S


def test_the_bill_is_what_the_price_list_says(served: tuple[S3Server, Cloud], clock: FakeClock) -> None:
    server, app = served
    client = server.client()
    size = 512 * MIB // 64  # 8 MiB
    client.put_object(Bucket="bucket", Key="k", Body=bytes(size), StorageClass="GLACIER")
    clock.advance(10 * DAY_S)
    client.delete_object(Bucket="bucket", Key="k")
    kinds = app.settle().by_kind()
    gib_months = (size + 32 * 1024) / 2**30 * 10 * 24 / 730
    standard = 8 * 1024 / 2**30 * 10 * 24 / 730 * 0.023
    assert kinds["storage"] == pytest.approx((gib_months * 0.0036 + standard) * 1e9, abs=1)
    assert kinds["early_delete"] == pytest.approx(gib_months * 8 * 0.0036 * 1e9, abs=1)  # 80 days of 90 are left
    assert kinds["requests"] == 30_000  # one PUT at $0.03 per thousand; the delete is free


def test_a_restore_is_billed_by_speed_and_its_copy_until_it_expires(
    served: tuple[S3Server, Cloud], clock: FakeClock
) -> None:
    server, app = served
    client = server.client()
    client.put_object(Bucket="bucket", Key="k", Body=bytes(MIB), StorageClass="GLACIER")
    restore(client, "Standard", days=1)  # ready at 17:00, so readable until the midnight after 17:00 tomorrow
    clock.advance(10 * DAY_S)
    kinds = app.settle().by_kind()
    assert kinds["retrieval"] == round(0.05 / 1000 * 1e9 + 0.01 / 1024 * 1e9)
    assert kinds["restored_copies"] == pytest.approx(0.023 / 1024 * (24 + 7) / 730 * 1e9, abs=1)


def test_a_multipart_upload_is_billed_as_s3_does(served: tuple[S3Server, Cloud]) -> None:
    server, app = served
    client = server.client()
    started = client.create_multipart_upload(Bucket="bucket", Key="k", StorageClass="GLACIER")
    parts = []
    for number in (1, 2):
        sent = client.upload_part(
            Bucket="bucket", Key="k", UploadId=started["UploadId"], PartNumber=number, Body=bytes(5 * MIB)
        )
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    client.complete_multipart_upload(
        Bucket="bucket", Key="k", UploadId=started["UploadId"], MultipartUpload={"Parts": parts}
    )
    assert app.bill.requests == {("put", "STANDARD"): 3, ("put", "GLACIER"): 1}
    assert app.objects["bucket", "k"].size == 10 * MIB


def test_planned_failures_come_once_each(served: tuple[S3Server, Cloud]) -> None:
    server, app = served
    client = server.client()
    app.plan("put", "sLt")
    for expected in ("SlowDown", "InternalError"):
        with pytest.raises(ClientError) as error:
            client.put_object(Bucket="bucket", Key=expected, Body=b"x")
        assert code(error) == expected
    with pytest.raises(HTTPClientError):
        client.put_object(Bucket="bucket", Key="torn", Body=b"x")
    client.put_object(Bucket="bucket", Key="well", Body=b"x")
    assert {key for _, key in app.objects} == {"InternalError", "well"}


def test_error_codes_are_those_of_the_service_model() -> None:
    model = botocore.session.get_session().get_service_model("s3")
    modelled = {shape.error_code or shape.name for shape in model.error_shapes}
    assert {"InvalidObjectState", "ObjectNotInActiveTierError"} <= modelled & ERRORS.keys()
    status = model.shape_for("RestoreStatus")
    assert set(status.members) == {"IsRestoreInProgress", "RestoreExpiryDate"}
    assert set(model.shape_for("Tier").enum) == {"Standard", "Bulk", "Expedited"}
