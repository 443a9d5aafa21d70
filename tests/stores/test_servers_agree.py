"""One table of what S3 does, asked of the cloud of these tests, of moto and of SeaweedFS: who is right is written down.

`aws` is what docs.aws.amazon.com says (the page is named). A server that answers otherwise stands in `otherwise` with
what it does; nothing that rests on such an answer may be tested on that server. The cloud is right in every row.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

import policies
from policies.prices import parse_book
from tests.cloud.server import cloud
from tests.stores.servers import S3Server
from tiering.clock import FakeClock, SystemClock

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
BODY = b"x" * 200_000
WRONG_CRC = "AAAAAAAAAAA="


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that S3 does."""

    name: str
    source: str
    ask: Callable[[Any, str], str]
    """(client, bucket) -> what came."""
    aws: str
    otherwise: Mapping[str, str] = field(default_factory=dict)
    """Server -> what it says instead."""


def said(call: Callable[[], Any]) -> str:
    """Return the status or the error code of a call."""
    try:
        return str(call()["ResponseMetadata"]["HTTPStatusCode"])
    except ClientError as error:
        return str(error.response["Error"]["Code"])


def archived(client: Any, bucket: str) -> dict[str, str]:
    """Put an object of GLACIER."""
    client.put_object(Bucket=bucket, Key="cold", Body=BODY, StorageClass="GLACIER")
    return {"Bucket": bucket, "Key": "cold"}


def _wrong_checksum(client: Any, bucket: str) -> str:
    put = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumCRC64NVME": WRONG_CRC}
    return said(lambda: client.put_object(Bucket=bucket, Key="k", Body=BODY, **put))


def _second_create(client: Any, bucket: str) -> str:
    client.put_object(Bucket=bucket, Key="once", Body=b"a", IfNoneMatch="*")
    return said(lambda: client.put_object(Bucket=bucket, Key="once", Body=b"b", IfNoneMatch="*"))


def _class_is_listed(client: Any, bucket: str) -> str:
    client.put_object(Bucket=bucket, Key="listed", Body=BODY, StorageClass="STANDARD_IA")
    return str(client.list_objects_v2(Bucket=bucket, Prefix="listed")["Contents"][0]["StorageClass"])


def _get_of_an_archived(client: Any, bucket: str) -> str:
    return said(lambda: client.get_object(**archived(client, bucket)))


def _copy_of_an_archived(client: Any, bucket: str) -> str:
    where = archived(client, bucket)
    return said(lambda: client.copy_object(Bucket=bucket, Key="copy", CopySource=where))


def _restore(client: Any, bucket: str) -> str:
    where = archived(client, bucket)
    order = {"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
    return said(lambda: client.restore_object(**where, RestoreRequest=order))


def _get_while_restoring(client: Any, bucket: str) -> str:
    _restore(client, bucket)
    return said(lambda: client.get_object(Bucket=bucket, Key="cold"))


def _restore_of_what_is_not_archived(client: Any, bucket: str) -> str:
    client.put_object(Bucket=bucket, Key="warm", Body=BODY)
    order = {"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
    return said(lambda: client.restore_object(Bucket=bucket, Key="warm", RestoreRequest=order))


def _class_change(client: Any, bucket: str) -> str:
    client.put_object(Bucket=bucket, Key="moved", Body=BODY)
    where = {"Bucket": bucket, "Key": "moved"}
    client.copy_object(**where, CopySource=where, StorageClass="GLACIER_IR", MetadataDirective="REPLACE")
    return str(client.head_object(**where).get("StorageClass"))


def _copy_from_another_version(client: Any, bucket: str) -> str:
    client.put_object(Bucket=bucket, Key="seen", Body=BODY)
    where = {"Bucket": bucket, "Key": "seen"}
    other = {"CopySourceIfMatch": '"00000000000000000000000000000000"'}
    return said(lambda: client.copy_object(Bucket=bucket, Key="to", CopySource=where, **other))


def _delete_of_another_version(client: Any, bucket: str) -> str:
    client.put_object(Bucket=bucket, Key="doomed", Body=BODY)
    return said(lambda: client.delete_object(Bucket=bucket, Key="doomed", IfMatch='"0000"'))


def _delete_of_nothing(client: Any, bucket: str) -> str:
    return said(lambda: client.delete_object(Bucket=bucket, Key="absent"))


def _unfinished_upload_is_listed(client: Any, bucket: str) -> str:
    client.create_multipart_upload(Bucket=bucket, Key="torn")
    return str([item["Key"] for item in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])])


def _aborted_twice(client: Any, bucket: str) -> str:
    started = client.create_multipart_upload(Bucket=bucket, Key="given-up")
    where = {"Bucket": bucket, "Key": "given-up", "UploadId": started["UploadId"]}
    client.abort_multipart_upload(**where)
    return said(lambda: client.abort_multipart_upload(**where))


def _lifecycle_too_soon(client: Any, bucket: str) -> str:
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}}
    moves = [{"Days": 1, "StorageClass": "STANDARD_IA"}]
    rules = {"Rules": [rule | {"Transitions": moves}]}
    return said(lambda: client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=rules))


def _no_lifecycle(client: Any, bucket: str) -> str:
    return said(lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket))


def _deleted_in_a_versioned_bucket(client: Any, bucket: str) -> str:
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_object(Bucket=bucket, Key="kept", Body=BODY)
    marker = client.delete_object(Bucket=bucket, Key="kept").get("DeleteMarker")
    found = client.list_object_versions(Bucket=bucket, Prefix="kept")
    return f"{marker} {len(found.get('Versions', []))} {len(found.get('DeleteMarkers', []))}"


def _whole_checksum_of_parts(client: Any, bucket: str) -> str:
    started = client.create_multipart_upload(
        Bucket=bucket, Key="parts", ChecksumAlgorithm="CRC64NVME", ChecksumType="FULL_OBJECT"
    )
    where = {"Bucket": bucket, "Key": "parts", "UploadId": started["UploadId"]}
    part = client.upload_part(**where, PartNumber=1, Body=BODY, ChecksumAlgorithm="CRC64NVME")
    named = {"PartNumber": 1, "ETag": part["ETag"]}
    if part.get("ChecksumCRC64NVME"):
        named["ChecksumCRC64NVME"] = part["ChecksumCRC64NVME"]
    whole = {"ChecksumCRC64NVME": WRONG_CRC, "ChecksumType": "FULL_OBJECT"}
    return said(lambda: client.complete_multipart_upload(**where, MultipartUpload={"Parts": [named]}, **whole))


TABLE = (
    Row("a wrong checksum is refused", "PutObject", _wrong_checksum, "BadDigest", {"moto": "200"}),
    Row("a second create is refused", "Conditional writes", _second_create, "PreconditionFailed"),
    Row("the class asked for is listed", "ListObjectsV2", _class_is_listed, "STANDARD_IA"),
    Row("an archived object is not read", "GetObject", _get_of_an_archived, "InvalidObjectState", {"seaweed": "200"}),
    Row(
        "an archived object is not copied",
        "CopyObject",
        _copy_of_an_archived,
        "ObjectNotInActiveTierError",
        {"seaweed": "200"},
    ),
    Row("a restore is accepted", "RestoreObject", _restore, "202", {"seaweed": "MethodNotAllowed"}),
    Row(
        "a restore takes its time",
        "RestoreObject",
        _get_while_restoring,
        "InvalidObjectState",
        {"moto": "200", "seaweed": "200"},
    ),
    Row(
        "only the archived is restored",
        "RestoreObject",
        _restore_of_what_is_not_archived,
        "InvalidObjectState",
        {"seaweed": "MethodNotAllowed"},
    ),
    Row("a copy onto itself changes the class", "CopyObject", _class_change, "GLACIER_IR"),
    Row(
        "another version is not copied", "CopyObject", _copy_from_another_version, "PreconditionFailed", {"moto": "200"}
    ),
    Row("another version is not deleted", "Conditional deletes", _delete_of_another_version, "PreconditionFailed"),
    Row("deleting nothing succeeds", "DeleteObject", _delete_of_nothing, "204"),
    Row("unfinished uploads are listed", "ListMultipartUploads", _unfinished_upload_is_listed, "['torn']"),
    Row("an upload is aborted once", "AbortMultipartUpload", _aborted_twice, "NoSuchUpload", {"seaweed": "204"}),
    Row("no lifecycle has a word", "GetBucketLifecycleConfiguration", _no_lifecycle, "NoSuchLifecycleConfiguration"),
    Row(
        "a rule to an infrequent class within 30 days is refused",
        "Lifecycle",
        _lifecycle_too_soon,
        "InvalidArgument",
        {"moto": "200", "seaweed": "NotImplemented"},
    ),
    Row(
        "the whole of an upload in parts is verified",
        "Multipart",
        _whole_checksum_of_parts,
        "BadDigest",
        {"moto": "200"},
    ),
    Row("a delete in a versioned bucket hides", "DeleteObject", _deleted_in_a_versioned_bucket, "True 1 1"),
)


@pytest.fixture(scope="module")
def ours(aws_keys: None) -> Iterator[S3Server]:
    """The cloud."""
    folder = Path(policies.__file__).parent / "data"
    book = parse_book(json.loads((folder / "aws-us-east-1.json").read_text()))
    with cloud(FakeClock(SystemClock().now_ns()), book) as (server, _):
        yield server


@pytest.fixture(scope="module")
def aws_keys() -> None:
    """Nothing: clients of these tests bring their own."""


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
@pytest.mark.parametrize("name", ["ours", "moto", "seaweed"])
def test_servers_do_what_s3_does_or_are_known_not_to(name: str, row: Row, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    client = server.client()
    bucket = f"b-{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    try:
        assert row.ask(client, bucket) == row.otherwise.get(name, row.aws)
    finally:
        _drop(client, bucket)


def test_the_cloud_of_these_tests_is_right_in_every_row() -> None:
    assert [row.name for row in TABLE if "ours" in row.otherwise] == []


def _drop(client: Any, bucket: str) -> None:
    for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    found = client.list_object_versions(Bucket=bucket)
    for item in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        version = {} if item["VersionId"] in {"null", ""} else {"VersionId": item["VersionId"]}
        client.delete_object(Bucket=bucket, Key=item["Key"], **version)
    client.delete_bucket(Bucket=bucket)
