"""What the cloud refuses, in S3's words: locked versions, keys that may not be used, conditions that do not hold."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from policies.prices import PriceBook
from tests.cloud.encryption import AWS_KEY, DENIED, DISABLED, GONE, MISSING
from tests.cloud.serving import BUCKET, DAY_S, Served, served

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
KMS: dict[str, Any] = {"ServerSideEncryption": "aws:kms"}


@pytest.fixture
def cloud(shipped_book: PriceBook) -> Iterator[Served]:
    """One whose bucket locks objects."""
    with served(shipped_book, locks=True) as made:
        yield made


def until(cloud: Served, days: float) -> datetime:
    """Return the moment in so many days."""
    return datetime.fromtimestamp(cloud.clock.now_ns() // 10**9 + days * DAY_S, UTC)


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_retained_version_goes_when_its_time_is_over_and_not_before(cloud: Served, mode: str) -> None:
    version = cloud.put("k", ObjectLockMode=mode, ObjectLockRetainUntilDate=until(cloud, 10))["VersionId"]
    with pytest.raises(ClientError) as refused:
        cloud.client.delete_object(Bucket=BUCKET, Key="k", VersionId=version)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert "protected by object lock" in refused.value.response["Error"]["Message"]
    bypassing = cloud.refusal("delete_object", Key="k", VersionId=version, BypassGovernanceRetention=True)
    assert bypassing == ("" if mode == "GOVERNANCE" else "AccessDenied")
    if mode == "COMPLIANCE":
        cloud.days(11)
        assert cloud.refusal("delete_object", Key="k", VersionId=version) == ""
    assert cloud.client.list_object_versions(Bucket=BUCKET).get("Versions") is None


def test_a_delete_without_a_version_only_hides_what_is_locked(cloud: Served) -> None:
    version = cloud.put("k", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until(cloud, 10))["VersionId"]
    assert cloud.client.delete_object(Bucket=BUCKET, Key="k")["DeleteMarker"] is True
    cloud.days(5)
    assert cloud.bill()["noncurrent"] > 0
    assert cloud.client.get_object(Bucket=BUCKET, Key="k", VersionId=version)["Body"].read() == bytes(200_000)


def test_a_legal_hold_has_no_end_of_its_own(cloud: Served) -> None:
    version = cloud.put("k", ObjectLockLegalHoldStatus="ON")["VersionId"]
    cloud.days(4000)
    assert cloud.refusal("delete_object", Key="k", VersionId=version) == "AccessDenied"
    assert cloud.client.head_object(Bucket=BUCKET, Key="k")["ObjectLockLegalHoldStatus"] == "ON"
    cloud.client.put_object_legal_hold(Bucket=BUCKET, Key="k", LegalHold={"Status": "OFF"})
    assert cloud.refusal("delete_object", Key="k", VersionId=version) == ""


def test_the_buckets_default_retention_is_given_to_new_versions(cloud: Served) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
    wanted = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    cloud.client.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=wanted)
    assert cloud.client.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"] == wanted
    cloud.put("k")
    head = cloud.client.head_object(Bucket=BUCKET, Key="k")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until(cloud, 30))
    said = cloud.client.get_object_retention(Bucket=BUCKET, Key="k")["Retention"]
    assert said["Mode"] == "GOVERNANCE"


def test_retention_can_be_made_longer_and_of_compliance_not_shorter(cloud: Served) -> None:
    cloud.put("k", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until(cloud, 10))

    def retain(days: float, mode: str = "COMPLIANCE") -> str:
        wanted = {"Mode": mode, "RetainUntilDate": until(cloud, days)}
        return cloud.refusal("put_object_retention", Key="k", Retention=wanted, BypassGovernanceRetention=True)

    assert retain(20) == ""
    assert retain(15) == "AccessDenied"
    assert retain(30, "GOVERNANCE") == "AccessDenied"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (DENIED, "AccessDenied"),
        (DISABLED, "KMS.DisabledException"),
        (GONE, "KMS.KMSInvalidStateException"),
        (MISSING, "KMS.NotFoundException"),
    ],
)
def test_a_key_that_may_not_be_used_stops_upload_reading_and_copy(cloud: Served, state: str, code: str) -> None:
    cloud.put("k", SSEKMSKeyId="key-1", **KMS)
    cloud.app.keys.states["key-1"] = state
    assert cloud.refusal("put_object", Key="n", Body=b"x", SSEKMSKeyId="key-1", **KMS) == code
    assert cloud.refusal("create_multipart_upload", Key="n", SSEKMSKeyId="key-1", **KMS) == code
    assert cloud.refusal("get_object", Key="k") == code
    assert cloud.refusal("copy_object", Key="c", CopySource={"Bucket": BUCKET, "Key": "k"}) == code
    assert cloud.refusal("head_object", Key="k") == ""
    assert cloud.refusal("head_object", Key="k", ChecksumMode="ENABLED") in {"403", "400"}
    assert cloud.refusal("put_object", Key="n", Body=b"x", **KMS) == ""  # by the account's own key
    cloud.app.keys.states[AWS_KEY] = state
    assert cloud.refusal("get_object", Key="n") == code


def test_a_delete_of_another_version_than_the_one_named_is_refused(cloud: Served) -> None:
    cloud.put("k")
    assert cloud.refusal("delete_object", Key="k", IfMatch='"other"') == "PreconditionFailed"
    assert cloud.refusal("delete_object", Key="absent", IfMatch='"other"') == "NoSuchKey"
    etag = cloud.client.head_object(Bucket=BUCKET, Key="k")["ETag"]
    assert cloud.refusal("delete_object", Key="k", IfMatch=etag) == ""


def test_locks_need_versions_and_a_bucket_made_for_them(shipped_book: PriceBook) -> None:
    with served(shipped_book) as cloud:
        assert cloud.refusal("get_object_lock_configuration") == "ObjectLockConfigurationNotFoundError"
        cloud.put("k")
        wanted = {"ObjectLockEnabled": "Enabled"}
        code = cloud.refusal("put_object_lock_configuration", ObjectLockConfiguration=wanted)
        assert code == "InvalidBucketState"
        assert cloud.refusal("put_object_legal_hold", Key="k", LegalHold={"Status": "ON"}) == "InvalidRequest"
