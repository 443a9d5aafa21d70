"""Buckets under care on the cloud: dollars against the bill, whatever is lost, killed or out of reach."""

import pytest

from tests.cloud.lake import DAY_S, MIB, Killed, Lake, fresh_bill
from tiering.catalog import objects
from tiering.errors import StoreUnavailable
from tiering.jobs.audit import audit
from tiering.jobs.bucket_care import caring
from tiering.jobs.object_change import Changer, settle
from tiering.jobs.object_plan import plan_bucket
from tiering.jobs.object_status import bucket_status

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
ROUNDING = 20
"""Nano-dollars: each amount of a batch is rounded down."""


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


@pytest.mark.parametrize(
    ("bucket_rules", "bucket_settings"), [([{"name": "old", "class": "GLACIER_IR"}], {"pays_within": "3650d"})]
)
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
    assert lake.booked()["requests"] == bill["requests"]
