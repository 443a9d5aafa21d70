"""Buckets under care without any S3: inventories, access logs, and the plan that follows from them."""

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.lab import Lab, new_clock, open_lab
from tiering.catalog import object_moves, objects
from tiering.catalog.object_moves import Moved
from tiering.catalog.objects import CLASS_NO, ObjectFacts, etag_text, packed_etag
from tiering.clock import NS_PER_S
from tiering.errors import ConfigError, IntegrityError, UsageError
from tiering.jobs.object_access import reads_of
from tiering.jobs.object_plan import plan_bucket, plan_json
from tiering.jobs.object_scan import scan_bucket

MIB = 1 << 20
NOW_S = new_clock().now_ns() // NS_PER_S
SCHEMA = (
    "Bucket",
    "Key",
    "VersionId",
    "IsLatest",
    "IsDeleteMarker",
    "Size",
    "LastModifiedDate",
    "ETag",
    "StorageClass",
)
MORE = ("IntelligentTieringAccessTier", "IntelligentTieringReferenceDate")
MD5 = "9e107d9d372bb6826bd81d3542a419d6"


def moment(days_ago: float) -> str:
    """Return a time as an inventory has it."""
    return datetime.fromtimestamp(NOW_S - days_ago * 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def row(key: str, size: int = MIB, *, age: float = 100, storage_class: str = "STANDARD", **more: str) -> list[str]:
    """Return one line of an inventory."""
    values = {
        "Bucket": "lake", "Key": key, "VersionId": "", "IsLatest": "true", "IsDeleteMarker": "false",
        "Size": str(size), "LastModifiedDate": moment(age), "ETag": MD5, "StorageClass": storage_class,
    } | more  # fmt: skip
    return [values.get(name, "") for name in (*SCHEMA, *MORE)]


def write_inventory(folder: Path, *files: Sequence[Sequence[str]], age: float = 0, **changes: Any) -> Path:
    """Write a manifest and its CSV files; return the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number, rows in enumerate(files):
        path = folder / f"{number}.csv.gz"
        path.write_bytes(gzip.compress("".join('"' + '","'.join(line) + '"\n' for line in rows).encode()))
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        listed.append({"key": f"inventory/lake/data/{path.name}", "size": path.stat().st_size, "MD5checksum": md5})
    manifest = {
        "sourceBucket": "lake", "destinationBucket": "arn:aws:s3:::inventories", "fileFormat": "CSV",
        "creationTimestamp": str(int((NOW_S - age * 86_400) * 1000)), "fileSchema": ", ".join((*SCHEMA, *MORE)),
        "files": listed,
    }  # fmt: skip
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest | changes))
    return path


@pytest.fixture
def table() -> dict[str, Any]:
    """The bucket's table beside name, url and inventory; tests override it by parametrizing."""
    return {"rules": [{"name": "old", "age": "30d", "class": "GLACIER_IR"}]}


@pytest.fixture
def lab(tmp_path: Path, table: dict[str, Any]) -> Iterator[Lab]:
    """An installation that reads the inventory tmp_path/inventory/manifest.json."""
    bucket = {
        "name": "lake", "url": "s3://lake", "region": "us-east-1",
        "inventory": str(tmp_path / "inventory" / "manifest.json"),
    }  # fmt: skip
    with open_lab(tmp_path / "lab", buckets=[bucket | table]) as made:
        yield made


def known(lab: Lab) -> dict[str, ObjectFacts]:
    """Return key -> facts of all objects in the catalog."""
    with lab.catalog.read() as tx:
        found = objects.find(tx, "lake")
        assert found is not None
        return {facts[0].decode(): facts for page in objects.pages(tx, found.bucket_id, rows=2) for facts in page}


def test_an_inventory_is_read_whatever_its_order_and_its_keys(lab: Lab, tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", [row("z"), row("a%2Fb+c%C3%BC")], [row("m"), row("B")])
    report = scan_bucket(lab.context, "lake")
    assert (report.objects, report.bytes) == (4, 4 * MIB)
    assert list(known(lab)) == ["B", "a/b cü", "m", "z"]


def test_older_versions_and_delete_markers_are_counted_and_left_alone(lab: Lab, tmp_path: Path) -> None:
    rows = [row("k"), row("k", 7, IsLatest="false"), row("gone", 0, IsDeleteMarker="true")]
    write_inventory(tmp_path / "inventory", rows)
    report = scan_bucket(lab.context, "lake")
    assert report.notes == ["1 older versions, 7 bytes, are billed too and not under care", "1 delete markers"]
    assert list(known(lab)) == ["k"]


def test_what_an_inventory_does_not_list_any_more_is_forgotten(lab: Lab, tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", [row("a"), row("b")])
    scan_bucket(lab.context, "lake")
    write_inventory(tmp_path / "inventory", [row("b")])
    assert scan_bucket(lab.context, "lake").forgotten == 1
    assert list(known(lab)) == ["b"]


def test_a_snapshot_from_before_a_change_of_class_does_not_undo_it(lab: Lab, tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", [row("a"), row("b")])
    scan_bucket(lab.context, "lake")
    with lab.catalog.write() as tx:
        found = objects.find(tx, "lake")
        assert found is not None
        to, etag = CLASS_NO["GLACIER_IR"], packed_etag(MD5)
        object_moves.settle(tx, found.bucket_id, [b"a"], [Moved(b"a", 0, to, etag, NOW_S)])
    write_inventory(tmp_path / "inventory", [row("b")], age=1)
    scan_bucket(lab.context, "lake")
    assert known(lab)["a"][2] == to
    lab.clock.advance(2 * 86_400)
    write_inventory(tmp_path / "inventory", [row("b")], age=-1)
    assert scan_bucket(lab.context, "lake").forgotten == 1


def test_a_class_that_changed_by_itself_counts_from_the_scan_that_saw_it(lab: Lab, tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", [row("a")])
    scan_bucket(lab.context, "lake")
    assert known(lab)["a"][5] == NOW_S - 100 * 86_400
    lab.clock.advance(86_400)
    write_inventory(tmp_path / "inventory", [row("a", storage_class="STANDARD_IA")], age=-1)
    scan_bucket(lab.context, "lake")
    assert NOW_S + 86_400 <= known(lab)["a"][5] <= lab.clock.now_ns() // NS_PER_S  # retries sleep by this clock


def test_a_damaged_inventory_is_refused_and_nothing_is_forgotten(lab: Lab, tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", [row("a")])
    scan_bucket(lab.context, "lake")
    write_inventory(tmp_path / "inventory", [row("b")])
    (tmp_path / "inventory" / "0.csv.gz").write_bytes(gzip.compress(b'"lake","c"\n'))
    with pytest.raises(IntegrityError, match="MD5"):
        scan_bucket(lab.context, "lake")
    assert list(known(lab)) == ["a"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fileFormat": "ORC"}, "inventories in ORC are not read"),
        ({"fileSchema": "Bucket, Key"}, "lacks Size, LastModifiedDate, StorageClass"),
        ({"sourceBucket": "other"}, "is an inventory of other"),
        ({"files": [{}]}, "is not the manifest.json"),
    ],
)
def test_an_inventory_that_will_not_do_is_refused(lab: Lab, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_inventory(tmp_path / "inventory", [row("a")], **changes)
    with pytest.raises(ConfigError, match=said):
        scan_bucket(lab.context, "lake")


def test_a_bucket_is_planned_only_after_a_whole_scan(lab: Lab) -> None:
    with pytest.raises(UsageError, match="never scanned"):
        plan_bucket(lab.context, "lake")


RULES = {
    "rules": [
        {"name": "keep", "prefix": "hot/", "class": "STANDARD"},
        {"name": "large", "larger_than": "10MiB", "age": "30d", "class": "DEEP_ARCHIVE"},
        {"name": "rest", "age": "30d", "class": "STANDARD_IA"},
    ],
}


@pytest.mark.parametrize("table", [RULES])
def test_the_first_rule_decides_and_prices_have_the_last_word(lab: Lab, tmp_path: Path) -> None:
    rows = [
        row("hot/a", 100 * MIB), row("large", 100 * MIB), row("new", 100 * MIB, age=3), row("rest", 2 * MIB),
        row("tiny", 1000), row("cold", 20 * MIB, storage_class="GLACIER"), row("ia", MIB, storage_class="STANDARD_IA"),
        row("int", 20 * MIB, storage_class="INTELLIGENT_TIERING", IntelligentTieringAccessTier="ARCHIVE_ACCESS"),
        row("odd", MIB, storage_class="SNOW"),
    ]  # fmt: skip
    write_inventory(tmp_path / "inventory", rows)
    scan_bucket(lab.context, "lake")
    plan = plan_bucket(lab.context, "lake")
    assert {(action.key, action.target) for action in plan.actions} == {
        (b"large", "DEEP_ARCHIVE"),
        (b"rest", "STANDARD_IA"),
    }
    assert {reason: count for reason, count in plan.left.items() if count} == {
        "no rule matches": 1, "it is there already": 2, "archived: it must be restored first": 2,
        "the change would not repay its cost in time": 1, "its class is not known to the price book": 1,
    }  # fmt: skip
    total = plan_json(plan)["total"]
    assert isinstance(total, dict)
    large = 100 / 1024 * (0.023 - 0.00099)
    assert total["usd_per_month_saved"] == pytest.approx(large + 2 / 1024 * 0.0105, rel=0.01)


def test_the_plan_keeps_the_most_valuable_actions_and_counts_all(lab: Lab, tmp_path: Path) -> None:
    rows = [row(f"k{number:03d}", (number * 37 % 100 + 1) * MIB) for number in range(100)]
    write_inventory(tmp_path / "inventory", rows)
    scan_bucket(lab.context, "lake")
    plan = plan_bucket(lab.context, "lake", keep=7)
    assert [action.size // MIB for action in plan.actions] == [100, 99, 98, 97, 96, 95, 94]
    assert plan.total().objects == 100
    assert plan_bucket(lab.context, "lake", keep=0).actions == []
    every = plan_bucket(lab.context, "lake", keep=1000)
    assert sum(action.gain_nano for action in every.actions) == pytest.approx(plan.total().gain_nano, abs=100)


@pytest.mark.parametrize("table", [{"rules": RULES["rules"], "min_gain": 0.01, "pays_within": "90d"}])
def test_changes_below_min_gain_or_beyond_pays_within_stay(lab: Lab, tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", [row("small", 2 * MIB), row("large", 4096 * MIB), row("two", 9 * MIB)])
    scan_bucket(lab.context, "lake")
    plan = plan_bucket(lab.context, "lake")
    assert plan.actions == []  # DEEP_ARCHIVE's 180 days are longer than 90
    assert plan.left["the change would not repay its cost in time"] == 1
    assert plan.left["the gain is below min_gain"] == 2


IDLE = {"rules": [{"name": "idle", "idle": "30d", "class": "GLACIER_IR"}]}


@pytest.mark.parametrize("table", [IDLE])
def test_idle_needs_evidence_of_reading(lab: Lab, tmp_path: Path) -> None:
    rows = [
        row("unknown"), row("read", IntelligentTieringReferenceDate=moment(3)),
        row("idle", IntelligentTieringReferenceDate=moment(40)),
    ]  # fmt: skip
    write_inventory(tmp_path / "inventory", rows)
    scan_bucket(lab.context, "lake")
    assert [action.key for action in plan_bucket(lab.context, "lake").actions] == [b"idle"]


def log_line(key: str, days_ago: float, *, operation: str = "REST.GET.OBJECT", status: int = 200) -> str:
    """Return one line of an access log."""
    at = datetime.fromtimestamp(NOW_S - days_ago * 86_400, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return (
        f'79a5 lake [{at}] 192.0.2.3 79a5 3E57427F {operation} {key} "GET /lake/{key} HTTP/1.1" {status} - 2662992 '
        '3462992 70 10 "-" "S3Console/0.4" - abc SigV2 ECDHE AuthHeader lake.s3.us-west-1.amazonaws.com TLSv1.2 - -\n'
    )


def test_access_logs_say_what_was_read_and_what_was_not(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "2027-01-01-00-00-00-A").write_text(log_line("start", 60) + log_line("read", 50))
    (logs / "2027-01-02-00-00-00-B").write_text(
        log_line("read", 5) + log_line("idle", 2, operation="REST.HEAD.OBJECT") + log_line("idle", 2, status=404)
    )
    write_inventory(tmp_path / "inventory", [row("idle"), row("read"), row("new", age=31)])
    table = {
        "name": "lake", "url": "s3://lake", "region": "us-east-1", "access_logs": str(logs),
        "inventory": str(tmp_path / "inventory" / "manifest.json"), **IDLE,
    }  # fmt: skip
    with open_lab(tmp_path / "lab", buckets=[table]) as lab:
        assert scan_bucket(lab.context, "lake").access_logs == 2
        assert {action.key for action in plan_bucket(lab.context, "lake").actions} == {b"idle", b"new"}
        (logs / "2027-01-03-00-00-00-C").write_text(log_line("idle", 0.1))
        assert scan_bucket(lab.context, "lake").access_logs == 1
        assert {action.key for action in plan_bucket(lab.context, "lake").actions} == {b"new"}


def event(name: str, days_ago: float, *, bucket: str = "lake", **more: Any) -> dict[str, Any]:
    """Return one event of CloudTrail."""
    at = datetime.fromtimestamp(NOW_S - days_ago * 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {"bucketName": bucket, **more.pop("asked", {})}
    return {"eventVersion": "1.11", "eventTime": at, "eventName": name, "requestParameters": asked, **more}


def write_events(path: Path, *events: dict[str, Any]) -> None:
    """Write one file as CloudTrail does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps({"Records": events}).encode()))


def test_cloudtrail_says_what_was_read_beside_access_logs(tmp_path: Path) -> None:
    trail, logs = tmp_path / "trail", tmp_path / "logs"
    write_events(
        trail / "2027/01/01/1_CloudTrail_us-east-1_20270101T0000Z_a.json.gz",
        event("GetObject", 60, asked={"key": "start"}),
        event("GetObject", 5, asked={"key": "read ü"}),
        event("CopyObject", 5, bucket="other", asked={"key": "x", "x-amz-copy-source": "/lake/copied?versionId=3"}),
        event("HeadObject", 5, asked={"key": "idle"}),
        event("GetObject", 5, asked={"key": "idle"}, errorCode="AccessDenied"),
        event("GetObject", 5, bucket="other", asked={"key": "idle"}),
        event("GetObject", 5, asked={"key": "idle"}, userAgent="[Boto3/1.4 app/frostline]"),
        event("ListObjects", 5, requestParameters=None),
    )
    write_events(trail / "CloudTrail-Digest/2027/x.json.gz", event("GetObject", 5, asked={"key": "idle"}))
    logs.mkdir()
    (logs / "A").write_text(log_line("logged", 5) + log_line("idle", 5).replace("S3Console", "x app/frostline"))
    rows = [row(key) for key in ("read ü", "copied", "idle", "logged")]
    write_inventory(tmp_path / "inventory", rows)
    table = {
        "name": "lake", "url": "s3://lake", "region": "us-east-1", "access_logs": str(logs), "cloudtrail": str(trail),
        "inventory": str(tmp_path / "inventory" / "manifest.json"), **IDLE,
    }  # fmt: skip
    with open_lab(tmp_path / "lab", buckets=[table]) as lab:
        assert scan_bucket(lab.context, "lake").access_logs == 2
        assert {action.key for action in plan_bucket(lab.context, "lake").actions} == {b"idle"}
        later = trail / "2027/01/02/1_CloudTrail_us-east-1_20270102T0000Z_b.json.gz"
        write_events(later, event("GetObject", 0.1, asked={"key": "idle"}))
        assert scan_bucket(lab.context, "lake").access_logs == 1
        assert plan_bucket(lab.context, "lake").actions == []
        (trail / "2027/01/03").mkdir()
        (trail / "2027/01/03/x.json.gz").write_bytes(b"not gzip")
        with pytest.raises(ConfigError, match="holds no events of CloudTrail"):
            scan_bucket(lab.context, "lake")


def test_keys_in_logs_are_encoded_once_or_twice() -> None:
    found = [key for key, _ in reads_of([log_line("a%2520b", 1), log_line("c%C3%BC", 1), "not a log"], "lake")]
    assert found == [b"a%20b", b"a b", "cü".encode()]


@pytest.mark.parametrize("etag", [MD5, f"{MD5}-12", "0123456789abc", "01234567890123", "", '"quoted-text-16b"'])
def test_etags_survive_packing(etag: str) -> None:
    assert etag_text(packed_etag(etag)).strip('"') == etag.strip('"')


def test_every_md5_survives_packing() -> None:
    for first in range(256):
        etag = f"{first:02x}" * 16
        assert len(packed_etag(etag)) == 16
        assert etag_text(packed_etag(etag)) == f'"{etag}"'


def test_an_inventory_in_parquet_reads_like_one_in_csv(lab: Lab, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "inventory"
    folder.mkdir()
    at = datetime.fromtimestamp(NOW_S - 100 * 86_400, UTC)
    columns = {
        "bucket": ["lake", "lake"], "key": ["b c", "a"], "size": [MIB, 2 * MIB], "last_modified_date": [at, at],
        "e_tag": [MD5, MD5], "storage_class": ["STANDARD", "GLACIER"], "is_latest": [True, True],
    }  # fmt: skip
    parquet.write_table(arrow.table(columns), folder / "0.parquet")
    md5 = hashlib.md5((folder / "0.parquet").read_bytes(), usedforsecurity=False).hexdigest()
    files = [{"key": "data/0.parquet", "size": (folder / "0.parquet").stat().st_size, "MD5checksum": md5}]
    write_inventory(folder, fileFormat="Parquet", fileSchema="message s3.inventory {}", files=files)
    assert scan_bucket(lab.context, "lake").objects == 2
    facts = known(lab)
    assert facts["b c"][1:6] == (MIB, 0, packed_etag(MD5), NOW_S - 100 * 86_400, NOW_S - 100 * 86_400)
    assert facts["a"][2] == CLASS_NO["GLACIER"]
