"""Buckets under care on the cloud: what a change of class keeps, what is skipped, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from tests.cloud.lake import MIB, Lake
from tiering.catalog import objects
from tiering.errors import UsageError
from tiering.jobs.object_plan import plan_bucket

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]


def test_a_change_of_class_keeps_bytes_headers_metadata_and_tags(lake: Lake) -> None:
    lake.put(
        "a/ü b.bin", MIB, Metadata={"run": "7"}, ContentType="application/x-thing", CacheControl="max-age=9",
        ContentEncoding="identity", ContentDisposition="inline", ContentLanguage="de", Tagging="team=ml&stage=old",
    )  # fmt: skip
    before = lake.client.head_object(Bucket="lake", Key="a/ü b.bin")
    lake.scan()
    report = lake.apply()

    assert (report.objects_changed, report.bytes_changed, report.exit_code) == (1, MIB, 0)
    after = lake.client.head_object(Bucket="lake", Key="a/ü b.bin")
    assert after["StorageClass"] == "GLACIER_IR"
    same = ("ContentType", "CacheControl", "ContentEncoding", "ContentDisposition", "ContentLanguage", "Metadata")
    assert {name: after[name] for name in (*same, "ETag")} == {name: before[name] for name in (*same, "ETag")}
    tags = lake.client.get_object_tagging(Bucket="lake", Key="a/ü b.bin")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "ml", "stage": "old"}
    assert lake.client.get_object(Bucket="lake", Key="a/ü b.bin")["Body"].read() == bytes(MIB)


def test_an_object_that_changed_since_the_scan_is_skipped(lake: Lake) -> None:
    lake.put("mine", MIB)
    lake.put("other", MIB)
    lake.scan()
    lake.put("mine", 2 * MIB)
    lake.client.delete_object(Bucket="lake", Key="other")
    report = lake.apply()

    assert report.exit_code == 3
    assert dict(report.skipped_objects) == {"mine": "it changed since the scan", "other": "it is gone"}
    assert lake.class_of("mine") == "STANDARD"
    assert lake.apply().objects_changed == 1  # what it is now was noted


def test_an_object_written_while_it_is_looked_at_is_not_replaced(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.put("probe", MIB)
    lake.put("written", 2 * MIB)
    lake.scan()
    copying = lake.app._on_copy

    def write_first(request: Any, environ: Any) -> Any:
        if request.key == "written":
            lake.app.objects["lake", "written"].etag = '"of what somebody wrote"'
        return copying(request, environ)

    monkeypatch.setattr(lake.app, "_on_copy", write_first)
    report = lake.apply()
    assert (report.objects_changed, report.skipped_objects[0][0]) == (1, "written")
    assert lake.class_of("written") == "STANDARD"


def test_a_server_that_does_not_heed_conditions_is_not_written_to(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.put("big", MIB)
    lake.scan()
    monkeypatch.setattr(lake.app, "_check_versions", lambda request: None)
    with pytest.raises(Exception, match="does not heed If-Match"):
        lake.apply()
    assert lake.class_of("big") == "STANDARD"


@pytest.mark.parametrize("bucket_rules", [[{"name": "all", "class": "GLACIER_IR"}]])
def test_archived_objects_stay_with_their_reason(lake: Lake) -> None:
    lake.put("frozen", MIB, StorageClass="DEEP_ARCHIVE")
    lake.put("thawed", MIB)
    lake.scan()
    plan = plan_bucket(lake.lab.context, "lake")
    assert plan.left["archived: it must be restored first"] == 1
    lake.client.put_object(Bucket="lake", Key="thawed", Body=bytes(MIB), StorageClass="GLACIER")
    report = lake.apply()
    assert report.skipped_objects == [("thawed", "it is archived: restore it first")]


def test_a_bucket_that_keeps_versions_is_refused_and_its_versions_stay(lake: Lake) -> None:
    lake.client.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    lake.put("k", MIB)
    lake.put("k", 2 * MIB)
    lake.scan()
    with pytest.raises(UsageError, match="keeps versions"):
        lake.apply()
    assert len(lake.client.list_object_versions(Bucket="lake")["Versions"]) == 2
    assert lake.class_of("k") == "STANDARD"


def test_a_bucket_with_access_lists_is_refused(lake: Lake) -> None:
    lake.put("k", MIB)
    lake.scan()
    lake.client.delete_bucket_ownership_controls(Bucket="lake")
    with pytest.raises(UsageError, match="access lists"):
        lake.apply()


@pytest.mark.parametrize("bucket_settings", [{"mode": "report"}])
def test_a_bucket_that_is_only_looked_at_is_never_changed(lake: Lake) -> None:
    lake.put("k", MIB)
    lake.scan()
    assert plan_bucket(lake.lab.context, "lake").total().objects == 1
    with pytest.raises(UsageError, match="looked at only"):
        lake.apply()


@pytest.mark.parametrize("bucket_settings", [{"max_objects": 2}])
def test_a_run_takes_the_most_valuable_first_and_leaves_the_rest(lake: Lake) -> None:
    for number in range(1, 6):
        lake.put(f"big-{number}", number * MIB)
    lake.scan()
    report = lake.apply()
    assert (report.objects_changed, report.left) == (2, 3)
    assert [lake.class_of(f"big-{number}") for number in (4, 5)] == ["GLACIER_IR"] * 2
    assert lake.apply().left == 1


def test_a_bucket_that_is_called_otherwise_keeps_what_is_known(lake: Lake) -> None:
    lake.put("big", MIB)
    lake.scan()
    with lake.lab.catalog.write() as tx:
        before = objects.find(tx, "lake")
        after = objects.ensure(tx, "pond", "s3://lake")
    assert before is not None
    assert after == replace(before, name="pond")
