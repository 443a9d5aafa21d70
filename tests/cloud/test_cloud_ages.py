"""The cloud by itself as time passes: lifecycle rules, access tiers, versions, what is left lying; and its bill."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import HTTPClientError

from policies.prices import PriceBook
from tests.cloud.serving import BUCKET, Served, served

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
GIB = 2**30
SIZE = 1_000_000


@pytest.fixture
def cloud(shipped_book: PriceBook) -> Iterator[Served]:
    """A fresh one."""
    with served(shipped_book) as made:
        yield made


def rules(cloud: Served, *found: Mapping[str, Any]) -> str:
    """Set lifecycle rules; return the code of the refusal, "" where there is none."""
    every = [{"ID": f"r{n}", "Status": "Enabled", "Filter": {"Prefix": ""}} | dict(it) for n, it in enumerate(found)]
    return cloud.refusal("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": every})


def archiving(cloud: Served, *, archive: int = 0, deep: int = 0) -> None:
    """Switch archive access tiers on."""
    days = {"ARCHIVE_ACCESS": archive, "DEEP_ARCHIVE_ACCESS": deep}
    tierings = [{"AccessTier": name, "Days": wanted} for name, wanted in days.items() if wanted]
    cloud.client.put_bucket_intelligent_tiering_configuration(
        Bucket=BUCKET,
        Id="all",
        IntelligentTieringConfiguration={"Id": "all", "Status": "Enabled", "Tierings": tierings},
    )


def month(price: float, hours: float, size: int = SIZE) -> float:
    """Nano-dollars of storage."""
    return price * 1e9 * size / GIB * hours / 730


def test_rules_move_objects_down_the_waterfall_at_midnight(cloud: Served) -> None:
    down = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 90, "StorageClass": "GLACIER"}]
    assert rules(cloud, {"Transitions": down}) == ""
    cloud.put("k", SIZE)
    cloud.days(30)  # noon: it is due at the midnight after
    assert cloud.client.head_object(Bucket=BUCKET, Key="k").get("StorageClass") is None
    cloud.days(0.5)
    assert cloud.client.head_object(Bucket=BUCKET, Key="k")["StorageClass"] == "STANDARD_IA"
    cloud.days(60)
    (listed,) = cloud.client.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert listed["StorageClass"] == "GLACIER"
    assert cloud.app.bill.requests["transition", "STANDARD_IA"] == 1
    bill = cloud.bill()
    assert bill["transitions"] == round((0.01 + 0.03) / 1000 * 1e9)
    standard_ia = month(0.023, 30.5 * 24) + month(0.0125, 60 * 24)
    assert bill["storage"] == pytest.approx(standard_ia, abs=2)


def test_objects_below_128_kib_stay_unless_the_rule_names_a_size(cloud: Served) -> None:
    rules(cloud, {"Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]})
    cloud.put("small", 1000)
    cloud.put("large")
    cloud.days(2)
    cloud.bill()
    assert {key: it.storage_class for (_, key), it in cloud.app.objects.items()} == {
        "small": "STANDARD", "large": "GLACIER",
    }  # fmt: skip
    sized = {"Filter": {"ObjectSizeGreaterThan": 10}, "Transitions": [{"Days": 0, "StorageClass": "GLACIER"}]}
    rules(cloud, sized)
    cloud.bill()
    assert cloud.app.objects[BUCKET, "small"].storage_class == "GLACIER"


def test_nothing_moves_up_the_waterfall(cloud: Served) -> None:
    rules(cloud, {"Transitions": [{"Days": 0, "StorageClass": "GLACIER_IR"}]})
    cloud.put("deep", StorageClass="DEEP_ARCHIVE")
    cloud.put("zone", StorageClass="ONEZONE_IA")
    cloud.days(2)
    cloud.bill()
    classes = {it.storage_class for it in cloud.app.objects.values()}
    assert classes == {"DEEP_ARCHIVE", "ONEZONE_IA"}


@pytest.mark.parametrize(
    "moves",
    [
        [{"Days": 10, "StorageClass": "STANDARD_IA"}],
        [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 40, "StorageClass": "GLACIER"}],
        [{"Days": 1, "StorageClass": "GLACIER"}, {"Days": 60, "StorageClass": "GLACIER_IR"}],
        [{"Days": 1, "StorageClass": "DEEP_ARCHIVE"}, {"Days": 9, "StorageClass": "GLACIER"}],
    ],
)
def test_rules_that_s3_does_not_take_are_refused(cloud: Served, moves: list[dict[str, object]]) -> None:
    assert rules(cloud, {"Transitions": moves}) == "InvalidArgument"
    assert cloud.refusal("get_bucket_lifecycle_configuration") == "NoSuchLifecycleConfiguration"


def test_an_expiry_before_a_transition_and_a_class_named_twice_are_refused(cloud: Served) -> None:
    soon = {"Transitions": [{"Days": 60, "StorageClass": "GLACIER"}], "Expiration": {"Days": 30}}
    assert rules(cloud, soon) == "InvalidArgument"
    twice = [{"Days": 60, "StorageClass": "GLACIER"}, {"Days": 90, "StorageClass": "GLACIER"}]
    assert rules(cloud, {"Transitions": twice}) == "InvalidRequest"


def test_old_versions_and_markers_are_billed_until_a_rule_ends_them(cloud: Served) -> None:
    cloud.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    cloud.put("k", SIZE)
    cloud.days(10)
    cloud.put("k", SIZE)
    cloud.days(10)
    gone = cloud.client.delete_object(Bucket=BUCKET, Key="k")
    assert gone["DeleteMarker"] is True
    assert cloud.refusal("get_object", Key="k") == "NoSuchKey"
    cloud.days(10)
    bill = cloud.bill()
    assert bill["storage"] == pytest.approx(month(0.023, 20 * 24), abs=1)
    assert bill["noncurrent"] == pytest.approx(month(0.023, 30 * 24), abs=1)
    assert "delete_markers" in bill
    listed = cloud.client.list_object_versions(Bucket=BUCKET)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)

    rules(cloud, {"NoncurrentVersionExpiration": {"NoncurrentDays": 15}})
    cloud.days(10)
    bill = cloud.bill()
    assert cloud.client.list_object_versions(Bucket=BUCKET).get("Versions") is None
    # noncurrent from day 10 and day 20 on, each until the midnight after 15 days; found out at day 30
    assert bill["noncurrent"] == pytest.approx(month(0.023, (20 + 15.5) * 24), abs=2)


def test_a_version_that_is_deleted_lets_the_one_before_be_current(cloud: Served) -> None:
    cloud.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    cloud.client.put_object(Bucket=BUCKET, Key="k", Body=b"first")
    second = cloud.client.put_object(Bucket=BUCKET, Key="k", Body=b"second")
    cloud.client.delete_object(Bucket=BUCKET, Key="k", VersionId=second["VersionId"])
    assert cloud.client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"first"
    assert cloud.app.objects[BUCKET, "k"].size == 5
    marker = cloud.client.delete_object(Bucket=BUCKET, Key="k")
    assert (BUCKET, "k") not in cloud.app.objects
    cloud.client.delete_object(Bucket=BUCKET, Key="k", VersionId=marker["VersionId"])
    assert cloud.app.objects[BUCKET, "k"].size == 5


def test_intelligent_tiering_cools_and_is_warm_again_when_it_is_read(cloud: Served) -> None:
    cloud.put("k", SIZE, StorageClass="INTELLIGENT_TIERING")
    cloud.put("small", 1000, StorageClass="INTELLIGENT_TIERING")
    cloud.days(100)
    cloud.client.head_object(Bucket=BUCKET, Key="k")  # looking is not reading
    cloud.client.list_objects_v2(Bucket=BUCKET)
    assert cloud.app.objects[BUCKET, "k"].step(cloud.clock.now_ns()).name == "archive instant"
    cloud.client.get_object(Bucket=BUCKET, Key="k", Range="bytes=0-9")
    cloud.days(40)
    bill = cloud.bill()
    frequent = month(0.023, (30 + 30) * 24) + month(0.023, 140 * 24, 1000)
    expected = frequent + month(0.0125, (60 + 10) * 24) + month(0.004, 10 * 24)
    watching = 0.0025 / 1000 * 1e9 * 140 * 24 / 730
    assert bill["storage"] == pytest.approx(expected + watching, abs=2)
    assert bill.get("retrieval", 0) == 0


def test_archive_access_tiers_need_a_restore_without_days_that_costs_nothing(cloud: Served) -> None:
    archiving(cloud, archive=90, deep=180)
    cloud.put("k", SIZE, StorageClass="INTELLIGENT_TIERING")
    cloud.days(91)
    assert cloud.client.head_object(Bucket=BUCKET, Key="k")["ArchiveStatus"] == "ARCHIVE_ACCESS"
    assert cloud.refusal("get_object", Key="k") == "InvalidObjectState"
    days = {"Days": 3, "GlacierJobParameters": {"Tier": "Standard"}}
    assert cloud.refusal("restore_object", Key="k", RestoreRequest=days) == "InvalidArgument"
    order = {"GlacierJobParameters": {"Tier": "Standard"}}
    assert cloud.refusal("restore_object", Key="k", RestoreRequest=order) == ""
    assert cloud.refusal("restore_object", Key="k", RestoreRequest=order) == "RestoreAlreadyInProgress"
    cloud.clock.advance(5 * 3600)
    assert cloud.client.get_object(Bucket=BUCKET, Key="k")["Body"].read() == bytes(SIZE)
    assert "ArchiveStatus" not in cloud.client.head_object(Bucket=BUCKET, Key="k")
    cloud.days(181)
    assert cloud.client.head_object(Bucket=BUCKET, Key="k")["ArchiveStatus"] == "DEEP_ARCHIVE_ACCESS"
    bill = cloud.bill()
    assert bill.get("retrieval", 0) == 0
    frequent, instant = (30 + 30) * 24 + 0, 0  # archived after 90 days: never in the instant archive
    archive = 24 + 5 + 90 * 24
    expected = month(0.023, frequent) + month(0.0125, 2 * 60 * 24) + month(0.004, instant)
    expected += month(0.0036, archive, SIZE + 32 * 1024) + month(0.023, archive + 24, 8 * 1024)
    expected += month(0.00099, 24, SIZE + 32 * 1024)
    watching = 0.0025 / 1000 * 1e9 * (91 + 181 + 5 / 24) * 24 / 730
    assert bill["storage"] == pytest.approx(expected + watching, abs=3)


def test_parts_of_an_upload_that_was_torn_are_billed_until_it_is_aborted(cloud: Served) -> None:
    started = cloud.client.create_multipart_upload(Bucket=BUCKET, Key="k", StorageClass="DEEP_ARCHIVE")
    where = {"Bucket": BUCKET, "Key": "k", "UploadId": started["UploadId"]}
    cloud.app.plan("part", ".t")
    cloud.client.upload_part(**where, PartNumber=1, Body=bytes(SIZE))
    with pytest.raises(HTTPClientError):  # the connection is torn in the middle of the second part
        cloud.client.upload_part(**where, PartNumber=2, Body=bytes(SIZE))
    cloud.days(10)
    assert cloud.bill()["unfinished_uploads"] == pytest.approx(month(0.023, 240), abs=1)  # parts are STANDARD
    (listed,) = cloud.client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    assert listed["UploadId"] == started["UploadId"]
    assert [part["Size"] for part in cloud.client.list_parts(**where)["Parts"]] == [SIZE]
    rules(cloud, {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 12}})
    cloud.days(10)
    assert cloud.bill()["unfinished_uploads"] == pytest.approx(month(0.023, 12.5 * 24), abs=1)
    assert "Uploads" not in cloud.client.list_multipart_uploads(Bucket=BUCKET)


def test_replication_is_only_taken_with_versions_and_is_seen(cloud: Served) -> None:
    rule = {
        "ID": "r", "Status": "Enabled", "Priority": 1, "Filter": {"Prefix": ""},
        "DeleteMarkerReplication": {"Status": "Disabled"}, "Destination": {"Bucket": "arn:aws:s3:::there"},
    }  # fmt: skip
    wanted = {"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule]}
    assert cloud.refusal("put_bucket_replication", ReplicationConfiguration=wanted) == "InvalidRequest"
    assert cloud.refusal("get_bucket_replication") == "ReplicationConfigurationNotFoundError"
    cloud.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    cloud.client.put_bucket_replication(Bucket=BUCKET, ReplicationConfiguration=wanted)
    said = cloud.client.get_bucket_replication(Bucket=BUCKET)["ReplicationConfiguration"]
    assert said["Rules"][0]["Destination"]["Bucket"] == "arn:aws:s3:::there"
