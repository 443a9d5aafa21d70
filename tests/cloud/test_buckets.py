"""Buckets under care on the cloud: what a change of class keeps, what is skipped, and dollars against the bill."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from policies.prices import PriceBook
from tests.cloud.server import Cloud, cloud
from tests.jobs.lab import Lab, open_lab
from tests.stores.servers import S3Server
from tiering.catalog import accounts, ledger, objects
from tiering.clock import FakeClock, SystemClock
from tiering.config.price_books import load_book
from tiering.errors import StoreUnavailable, UsageError
from tiering.jobs.audit import audit
from tiering.jobs.bucket_care import caring
from tiering.jobs.object_apply import BucketApplyReport, apply_bucket
from tiering.jobs.object_change import Changer, settle
from tiering.jobs.object_plan import plan_bucket
from tiering.jobs.object_scan import BucketScanReport, scan_bucket
from tiering.jobs.object_status import bucket_status

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
MIB = 1 << 20
DAY_S = 86_400
ROUNDING = 20
"""Nano-dollars: each amount of a batch is rounded down."""
TO_COLD = {"name": "old", "larger_than": "256KiB", "class": "GLACIER_IR"}


class Killed(Exception):
    """What a step raises in place of a kill."""


@dataclass(slots=True)
class Lake:
    """A bucket of somebody else's, and an installation that cares for it."""

    server: S3Server
    app: Cloud
    clock: FakeClock
    lab: Lab

    @property
    def client(self) -> Any:
        """The owner's own."""
        return self.server.client()

    def put(self, key: str, size: int, **words: Any) -> None:
        """Write an object."""
        self.client.put_object(Bucket="lake", Key=key, Body=bytes(size), **words)

    def scan(self) -> BucketScanReport:
        """Run a scan."""
        return scan_bucket(self.lab.context, "lake")

    def apply(self, **changes: Any) -> BucketApplyReport:
        """Run the changes of now, in a context changed by *changes*."""
        return apply_bucket(replace(self.lab.context, **changes), "lake")

    def class_of(self, key: str) -> str:
        """Ask the cloud."""
        return self.app.objects["lake", key].storage_class

    def bill(self) -> dict[str, int]:
        """Return what the provider bills but for storage."""
        kinds = self.app.bill.by_kind()
        return {kind: kinds.get(kind, 0) for kind in ("requests", "retrieval", "early_delete")}

    def booked(self) -> dict[str, int]:
        """Return the same from the ledger."""
        with self.lab.catalog.read() as tx:
            of = {
                name: ledger.balance(tx, account, "bucket:lake")
                for name, account in (
                    ("requests", accounts.COST_REQUESTS), ("changes", accounts.COST_TRANSITION),
                    ("retrieval", accounts.COST_RETRIEVAL), ("early_delete", accounts.COST_EARLY_DELETE),
                )
            }  # fmt: skip
        of["requests"] += of.pop("changes")
        return of


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """The book that ships."""
    return load_book("aws-us-east-1")


@pytest.fixture
def rules() -> Sequence[dict[str, Any]]:
    """The bucket's rules; tests override it by parametrizing."""
    return [TO_COLD]


@pytest.fixture
def settings() -> dict[str, Any]:
    """More of the bucket's table."""
    return {}


@pytest.fixture
def lake(tmp_path: Path, book: PriceBook, rules: Sequence[dict[str, Any]], settings: dict[str, Any]) -> Iterator[Lake]:
    """An empty bucket; its clock begins at the machine's time, by which moto dates objects."""
    clock = FakeClock(SystemClock().now_ns())
    with cloud(clock, book) as (server, app):
        client = server.client()
        client.create_bucket(Bucket="lake")
        owned = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        client.put_bucket_ownership_controls(Bucket="lake", OwnershipControls=owned)
        table = {
            "name": "lake", "url": "s3://lake", "mode": "transition", "endpoint_url": server.endpoint,
            "region": "us-east-1", "path_style": True, "rules": rules, **settings,
        }  # fmt: skip
        with open_lab(tmp_path / "lab", clock=clock, buckets=[table]) as lab:
            yield Lake(server, app, clock, lab)
        listed = client.list_object_versions(Bucket="lake")
        for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
            client.delete_object(Bucket="lake", Key=item["Key"], VersionId=item["VersionId"])
        for bucket, key in list(app.objects):
            client.delete_object(Bucket=bucket, Key=key)
        client.delete_bucket(Bucket="lake")


def fresh_bill(lake: Lake) -> None:
    """Begin the bill anew: what the owner wrote is the owner's."""
    lake.app.bill = type(lake.app.bill)(lake.app.bill.book)


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


def test_the_ledger_equals_the_bill(lake: Lake) -> None:
    for number in range(5):
        lake.put(f"big-{number}", MIB + number)
    lake.put("small", 1000)
    fresh_bill(lake)
    lake.scan()
    report = lake.apply()

    assert report.objects_changed == 5
    bill = lake.bill()
    assert bill["requests"] > 5 * 20_000  # GLACIER_IR: $.02 per thousand
    assert lake.booked() == bill
    assert report.usd_nano + lake.app.bill.book.price("STANDARD").put_nano <= bill["requests"]


@pytest.mark.parametrize(("rules", "settings"), [([{"name": "old", "class": "GLACIER_IR"}], {"pays_within": "3650d"})])
def test_leaving_a_class_early_and_reading_it_are_booked_as_billed(lake: Lake) -> None:
    lake.put("ia", 8 * MIB, StorageClass="STANDARD_IA")
    fresh_bill(lake)
    lake.clock.advance(10 * DAY_S)
    lake.scan()
    report = lake.apply()

    assert report.objects_changed == 1
    bill, booked = lake.bill(), lake.booked()
    assert bill["retrieval"] == pytest.approx(0.01 / 128 * 1e9, abs=1)
    assert booked["requests"] == bill["requests"]
    assert booked["retrieval"] == pytest.approx(bill["retrieval"], abs=ROUNDING)
    # 20 of 30 days are left; S3 dates objects by the second, and this cloud a moment later
    assert booked["early_delete"] == pytest.approx(bill["early_delete"], rel=1e-5)


def test_lost_answers_change_once_and_are_billed_once(lake: Lake) -> None:
    for number in range(4):
        lake.put(f"big-{number}", MIB)
    fresh_bill(lake)
    lake.scan()
    lake.app.plan("copy", ".LsTi")  # the first is the question whether conditions are heeded
    report = lake.apply()

    assert report.objects_changed == 4
    assert {lake.class_of(f"big-{number}") for number in range(4)} == {"GLACIER_IR"}
    assert lake.app.bill.requests["copy", "GLACIER_IR"] == 4
    assert lake.booked() == lake.bill()


def test_a_killed_run_is_finished_in_the_books_by_the_next_and_changes_nothing_twice(lake: Lake) -> None:
    for number in range(3):
        lake.put(f"big-{number}", MIB)
    fresh_bill(lake)
    lake.scan()

    def kill(step: str) -> None:
        if step == "objects.changed":
            raise Killed

    with pytest.raises(Killed):
        lake.apply(step=kill)
    assert bucket_status(lake.lab.context, "lake").under_way == 3
    report = lake.apply()

    assert (report.recovered, report.objects_changed) == (3, 0)
    assert lake.app.bill.requests["copy", "GLACIER_IR"] == 3
    booked, bill = lake.booked(), lake.bill()
    # the question to the server and its look, asked by the run that died, are in no book
    price = lake.app.bill.book.price("STANDARD")
    assert bill["requests"] - booked["requests"] == price.put_nano + price.get_nano
    status = bucket_status(lake.lab.context, "lake")
    assert (status.under_way, status.classes) == (0, {"GLACIER_IR": (3, 3 * MIB)})


def test_a_run_killed_half_way_through_a_batch_is_sorted_out_object_by_object(lake: Lake) -> None:
    for number in range(3):
        lake.put(f"big-{number}", MIB)
    fresh_bill(lake)
    lake.scan()
    lake.app.denied["big-1"] = "SlowDown"

    def kill(step: str) -> None:
        if step == "objects.changed":
            raise Killed

    with pytest.raises(Killed):
        lake.apply(step=kill)
    lake.app.denied.clear()
    report = lake.apply()
    assert (report.recovered, report.objects_changed) == (2, 1)
    assert lake.app.bill.requests["copy", "GLACIER_IR"] == 3


def test_the_books_of_files_do_not_notice(lake: Lake) -> None:
    for number in range(3):
        lake.put(f"big-{number}", MIB)
    lake.scan()
    lake.apply()
    lake.clock.advance(DAY_S)
    lake.scan()
    found = audit(lake.lab.context)
    assert (found.ok, found.discrepancies) == (True, ())
    assert (found.usd.actual, found.usd.baseline) == (0, 0)


def test_a_run_killed_before_its_first_change_leaves_nothing_done(lake: Lake) -> None:
    lake.put("big", MIB)
    lake.scan()

    def kill(step: str) -> None:
        if step == "objects.claimed":
            raise Killed

    with pytest.raises(Killed):
        lake.apply(step=kill)
    assert lake.class_of("big") == "STANDARD"
    report = lake.apply()
    assert (report.recovered, report.objects_changed) == (0, 1)


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


@pytest.mark.parametrize("rules", [[{"name": "all", "class": "GLACIER_IR"}]])
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


@pytest.mark.parametrize("settings", [{"mode": "report"}])
def test_a_bucket_that_is_only_looked_at_is_never_changed(lake: Lake) -> None:
    lake.put("k", MIB)
    lake.scan()
    assert plan_bucket(lake.lab.context, "lake").total().objects == 1
    with pytest.raises(UsageError, match="looked at only"):
        lake.apply()


@pytest.mark.parametrize("settings", [{"max_objects": 2}])
def test_a_run_takes_the_most_valuable_first_and_leaves_the_rest(lake: Lake) -> None:
    for number in range(1, 6):
        lake.put(f"big-{number}", number * MIB)
    lake.scan()
    report = lake.apply()
    assert (report.objects_changed, report.left) == (2, 3)
    assert [lake.class_of(f"big-{number}") for number in (4, 5)] == ["GLACIER_IR"] * 2
    assert lake.apply().left == 1


def test_moved_objects_save_by_the_hour_and_are_booked_beside_what_they_would_cost(lake: Lake) -> None:
    lake.put("big", 64 * MIB)
    lake.scan()
    lake.apply()
    lake.clock.advance(730 * 3600)
    lake.scan()
    status = bucket_status(lake.lab.context, "lake")
    assert status.baseline_nano == pytest.approx(0.023 / 16 * 1e9, rel=1e-3)
    assert status.storage_nano == pytest.approx(0.004 / 16 * 1e9, rel=1e-3)


def test_a_bucket_out_of_reach_leaves_what_was_done_in_the_books(lake: Lake) -> None:
    lake.put("big", MIB)
    lake.scan()
    lake.app.denied["big"] = "SlowDown"
    with pytest.raises(StoreUnavailable):
        lake.apply()
    lake.app.denied.clear()
    assert lake.apply().objects_changed == 1
    with lake.lab.catalog.read() as tx:
        row = objects.find(tx, "lake")
        assert row is not None
        facts = objects.get(tx, row.bucket_id, b"big")
    assert facts is not None
    assert objects.CLASSES[facts[2]] == "GLACIER_IR"


def test_large_objects_change_in_parts_and_keep_what_they_say(lake: Lake) -> None:
    lake.put("large", 6 * MIB, Metadata={"run": "7"}, ContentType="application/x-thing", Tagging="team=ml&note=a%20b")
    fresh_bill(lake)
    lake.scan()
    (action,) = plan_bucket(lake.lab.context, "lake").actions
    with caring(lake.lab.context, "lake", reason="parts") as care:
        outcome = Changer(lake.lab.context, care, one_copy_bytes=MIB).change(action)
        assert outcome.changed is not None
        settle(lake.lab.context, care, [outcome], op_id="parts")
    bill = lake.bill()

    after = lake.client.head_object(Bucket="lake", Key="large")
    assert (after["StorageClass"], after["ContentType"]) == ("GLACIER_IR", "application/x-thing")
    assert (after["Metadata"], after["ContentLength"]) == ({"run": "7"}, 6 * MIB)
    tags = lake.client.get_object_tagging(Bucket="lake", Key="large")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "ml", "note": "a b"}
    asked = {(kind, name): times for (kind, name), times in lake.app.bill.requests.items() if times}
    assert asked["put", "GLACIER_IR"] == 3  # beginning, one part, completion
    # this cloud does not bill looking at tags; S3 does, as a GET
    assert lake.booked()["requests"] - bill["requests"] == lake.app.bill.book.price("STANDARD").get_nano


def test_a_bucket_that_is_called_otherwise_keeps_what_is_known(lake: Lake) -> None:
    lake.put("big", MIB)
    lake.scan()
    with lake.lab.catalog.write() as tx:
        before = objects.find(tx, "lake")
        after = objects.ensure(tx, "pond", "s3://lake")
    assert before is not None
    assert after == replace(before, name="pond")
