"""Objects of a bucket taken into packs: bytes, words, shared chunks, books, and what stays where it is."""

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.cloud.intake import DELETING, INGEST, body, context, keys, states, stored_bytes, take_in
from tests.cloud.lake import MIB, Killed, Lake, fresh_bill
from tests.whole.models import checkpoint
from tiering.catalog import ledger
from tiering.catalog.tables import blocks
from tiering.catalog.values import FileState
from tiering.errors import StoreUnavailable, UsageError
from tiering.hot.paths import split
from tiering.jobs.audit import audit
from tiering.jobs.gc import collect
from tiering.jobs.items import MigrateItem
from tiering.jobs.leave import leave
from tiering.jobs.migrate import migrate
from tiering.jobs.object_choice import quote_ingest
from tiering.jobs.object_ingest import ingest_bucket
from tiering.jobs.object_return import return_objects
from tiering.jobs.restore import cat, restore
from tiering.jobs.scan import scan_root

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
WORDS = {
    "Metadata": {"run": "7", "note": "a b"}, "ContentType": "application/x-thing", "CacheControl": "max-age=9",
    "ContentEncoding": "identity", "ContentDisposition": "inline", "ContentLanguage": "de",
    "Expires": datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC), "Tagging": "team=ml&stage=o%20ld",
}  # fmt: skip


@pytest.fixture
def bucket_rules() -> Sequence[Mapping[str, Any]]:
    """None: everything."""
    return []


@pytest.fixture
def bucket_settings() -> Mapping[str, Any]:
    """Originals stay; tests override it by parametrizing."""
    return INGEST


deleting = pytest.mark.parametrize("bucket_settings", [DELETING])


def test_objects_of_any_size_are_stored_and_their_originals_stay(lake: Lake) -> None:
    written = {
        "empty": b"", "a/two.txt": b"hello\n" * 1000, "a/one.bin": os.urandom(3 * MIB),
        "ü b/+%41": os.urandom(1000), "long.bin": os.urandom(20 * MIB + 17),
    }  # fmt: skip
    for key, data in written.items():
        body(lake, key, data)
    report = take_in(lake)
    assert (report.objects_stored, report.originals_deleted, report.exit_code) == (5, 0, 0), report
    assert set(states(lake).values()) == {FileState.DUAL}
    assert keys(lake) == set(written)
    for key, data in written.items():
        assert stored_bytes(lake, key) == data, key
    assert take_in(lake).objects_stored == 0


def test_an_object_and_a_file_share_chunks(lake: Lake) -> None:
    data = os.urandom(2 * MIB)
    lake.lab.write("same.bin", data)
    scan_root(lake.lab.context, lake.lab.context.roots[0])
    migrate(lake.lab.context, [MigrateItem(1, *split(b"same.bin"), "standard")])
    body(lake, "same.bin", data)
    report = take_in(lake)
    assert report.objects_stored == 1
    assert report.bytes_stored < 10_000
    assert stored_bytes(lake, "same.bin") == data


@deleting
def test_checkpoints_of_one_run_are_coded_against_each_other(lake: Lake) -> None:
    steps = {f"run/checkpoint-{100 * (moves + 1)}/model.safetensors": checkpoint(1, moves) for moves in range(3)}
    for key, data in steps.items():
        body(lake, key, data)
    report = take_in(lake)
    assert report.bytes_read == sum(map(len, steps.values()))
    assert report.bytes_stored < 0.6 * report.bytes_read, "each alone is hardly smaller than it is"
    with lake.lab.catalog.read() as tx:
        assert tx.conn.execute(select(func.count()).where(blocks.c.base_no.is_not(None))).scalar_one() == 2
    for key, data in steps.items():
        assert stored_bytes(lake, key) == data, key


@deleting
def test_what_an_object_says_of_itself_is_put_back_with_it(lake: Lake) -> None:
    data = os.urandom(100_000)
    body(lake, "a/ü b.bin", data, **WORDS)
    before = lake.client.head_object(Bucket="lake", Key="a/ü b.bin")
    assert take_in(lake).originals_deleted == 1
    assert keys(lake) == set()

    report = return_objects(context(lake), "lake", [])
    assert (report.objects_returned, report.exit_code) == (1, 0)
    after = lake.client.get_object(Bucket="lake", Key="a/ü b.bin")
    assert after["Body"].read() == data
    same = ("ETag", "Metadata", "ContentType", "CacheControl", "ContentEncoding", "ContentDisposition",
            "ContentLanguage", "Expires")  # fmt: skip
    assert {word: after[word] for word in same} == {word: before[word] for word in same}
    tags = lake.client.get_object_tagging(Bucket="lake", Key="a/ü b.bin")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "ml", "stage": "o ld"}
    assert set(states(lake).values()) == {FileState.DUAL}
    assert audit(context(lake)).discrepancies == ()
    assert take_in(lake).originals_deleted == 0, "it would go back and forth"
    lake.clock.advance(lake.lab.context.config.recall.cool_off_ns // 10**9 + 1)
    assert take_in(lake).originals_deleted == 1


@pytest.mark.heavy
@deleting
def test_an_object_is_put_back_in_its_class_and_in_parts_where_it_is_long(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiering.jobs.object_return.PART_BYTES", 5 * MIB)
    data = os.urandom(12 * MIB)
    body(lake, "long.bin", data, StorageClass="STANDARD_IA", Metadata={"k": "v"})
    take_in(lake)
    assert return_objects(context(lake), "lake", ["lo"]).objects_returned == 1
    after = lake.client.get_object(Bucket="lake", Key="long.bin")
    assert (after["Body"].read() == data, after["StorageClass"], after["Metadata"]) == (True, "STANDARD_IA", {"k": "v"})


@deleting
def test_nothing_is_replaced_by_what_is_put_back(lake: Lake) -> None:
    body(lake, "k", b"old" * 1000)
    take_in(lake)
    body(lake, "k", b"new")
    report = return_objects(context(lake), "lake", ["k"])
    assert report.skipped_objects == [("k", "an object stands there; it was left as it is")]
    assert lake.client.get_object(Bucket="lake", Key="k")["Body"].read() == b"new"
    assert stored_bytes(lake, "k") == b"old" * 1000


@deleting
def test_what_a_killed_run_had_put_back_is_taken_for_it_if_it_is_the_same_bit_for_bit(lake: Lake) -> None:
    data = os.urandom(50_000)
    body(lake, "k", data, **WORDS)
    take_in(lake)

    def stop(name: str) -> None:
        if name == "objects.returned":
            raise Killed(name)

    with pytest.raises(Killed):
        return_objects(context(lake, step=stop), "lake", [])
    assert (keys(lake), states(lake)) == ({"k"}, {"k": FileState.OFFLINE})
    assert return_objects(context(lake), "lake", []).objects_returned == 1
    assert states(lake) == {"k": FileState.DUAL}
    assert audit(context(lake)).discrepancies == ()


@deleting
def test_leave_names_the_objects_whose_originals_are_gone(lake: Lake, tmp_path: Path) -> None:
    body(lake, "k", b"one" * 1000)
    take_in(lake)
    with pytest.raises(UsageError, match="1 objects of s3://lake are stored in packs alone"):
        leave(context(lake))
    leave(context(lake), to=str(tmp_path / "out"))
    assert (tmp_path / "out/lake/k").read_bytes() == b"one" * 1000


@deleting
def test_objects_are_restored_to_a_folder_by_prefix(lake: Lake, tmp_path: Path) -> None:
    body(lake, "a/b/one", b"1" * 10)
    body(lake, "a/two", b"2" * 10)
    body(lake, "c", b"3")
    take_in(lake)
    restore(context(lake), ["s3://lake/a"], str(tmp_path / "some"))
    assert (tmp_path / "some/a/b/one").read_bytes() == b"1" * 10
    assert not (tmp_path / "some/c").exists()
    restore(context(lake), ["s3://lake"], str(tmp_path / "all"))
    assert sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "all").rglob("*") if path.is_file()) == [
        "all/lake/a/b/one", "all/lake/a/two", "all/lake/c",
    ]  # fmt: skip


def test_keys_that_are_no_paths_stay_and_say_so(lake: Lake, tmp_path: Path) -> None:
    for key in ("../../evil", "a//b", "a/./b", "folder/", "x" * 300, "good"):
        body(lake, key, b"data")
    assert take_in(lake).objects_stored == 1
    left = quote_ingest(context(lake), "lake").left
    assert left["its key is no path below a folder"] == 3
    assert left["it stands for a folder"] == 1
    restore(context(lake), ["s3://lake"], str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == ["good"]


def test_archived_originals_are_refused_with_a_sentence(lake: Lake) -> None:
    body(lake, "frozen", b"x" * 1000, StorageClass="DEEP_ARCHIVE")
    body(lake, "thawed", b"x" * 1000)
    lake.scan()
    assert quote_ingest(context(lake), "lake").left["archived: it must be restored first"] == 1
    lake.app.objects["lake", "thawed"].storage_class = "GLACIER"
    report = ingest_bucket(context(lake), "lake")
    ((key, reason),) = report.skipped_objects
    assert (key, reason) == ("thawed", "s3://lake/thawed is archived: it must be restored in its bucket first")


@deleting
def test_an_object_that_changed_since_the_scan_stays_and_is_taken_next_time(lake: Lake) -> None:
    body(lake, "k", b"one" * 1000)
    lake.scan()
    body(lake, "k", b"two" * 1000)
    report = ingest_bucket(context(lake), "lake")
    assert (report.objects_stored, report.originals_deleted) == (0, 0)
    assert report.skipped_objects == [("k", "s3://lake/k changed since the scan")]
    assert take_in(lake).originals_deleted == 1
    assert stored_bytes(lake, "k") == b"two" * 1000


@deleting
def test_a_new_object_at_the_key_of_a_stored_one_makes_that_a_version(lake: Lake) -> None:
    body(lake, "k", b"one" * 1000)
    take_in(lake)
    stored_ns = lake.clock.now_ns()
    lake.clock.advance(60)
    body(lake, "k", b"two" * 1000)
    assert take_in(lake).originals_deleted == 1
    assert stored_bytes(lake, "k") == b"two" * 1000
    out = io.BytesIO()
    cat(context(lake), "s3://lake/k", out, stored_ns)
    assert out.getvalue() == b"one" * 1000


def test_an_object_that_its_owner_deletes_is_kept_for_a_while_and_then_forgotten(lake: Lake) -> None:
    body(lake, "k", b"one" * 1000)
    body(lake, "other", b"two" * 1000)
    take_in(lake)
    lake.client.delete_object(Bucket="lake", Key="k")
    take_in(lake)
    assert states(lake) == {"k": FileState.MISSING, "other": FileState.DUAL}
    assert stored_bytes(lake, "k") == b"one" * 1000
    lake.clock.advance((lake.lab.context.config.versions.missing_days + 1) * 86_400)
    assert collect(context(lake)).files_forgotten == 1
    assert states(lake) == {"other": FileState.DUAL}


@pytest.mark.heavy
def test_very_many_objects_that_are_gone_change_nothing_until_confirmed(lake: Lake) -> None:
    for number in range(10):
        body(lake, f"k{number}", os.urandom(1000))
    take_in(lake)
    for number in range(9):
        lake.client.delete_object(Bucket="lake", Key=f"k{number}")
    report = take_in(lake)
    assert "9 of 10 stored objects are gone" in report.notes[0]
    assert set(states(lake).values()) == {FileState.DUAL}
    assert ingest_bucket(context(lake), "lake", confirm_missing=True).notes == []
    assert list(states(lake).values()).count(FileState.MISSING) == 9


@pytest.mark.parametrize("bucket_settings", [{**INGEST, "max_objects": 2}])
def test_a_run_ends_at_its_limits_and_the_next_goes_on(lake: Lake) -> None:
    for number in range(3):
        body(lake, f"k{number}", os.urandom(1000))
    lake.scan()
    reports = [ingest_bucket(context(lake), "lake") for _ in range(2)]
    assert [(report.objects_stored, report.left) for report in reports] == [(2, 1), (1, 0)]


@pytest.mark.heavy
@pytest.mark.parametrize("bucket_settings", [{**INGEST, "budget_usd": 0.02, "egress_usd_per_gib": 8.0}])
def test_a_run_costs_no_more_than_its_budget_and_books_egress(lake: Lake) -> None:
    for number in range(4):
        body(lake, f"k{number}", os.urandom(MIB))
    report = take_in(lake)  # 0.0078125 dollars of egress each, and a GET
    assert (report.objects_stored, report.left, report.skipped["beyond the budget of one run"]) == (2, 2, 2)
    assert lake.booked()["retrieval"] == 2 * 8_000_000_000 // 1024


@pytest.mark.heavy
@pytest.mark.parametrize(
    "bucket_rules", [[{"name": "logs", "prefix": "logs/", "larger_than": "1KiB"}]], ids=["large logs"]
)
def test_rules_choose_what_is_taken_in(lake: Lake) -> None:
    for key, size in (("logs/a", 5000), ("logs/b", 10), ("data/a", 5000)):
        body(lake, key, os.urandom(size))
    assert take_in(lake).objects_stored == 1
    assert set(states(lake)) == {"logs/a"}


@deleting
def test_the_ledger_of_an_ingest_is_the_bucket_s_bill(lake: Lake) -> None:
    body(lake, "ia", os.urandom(9 * MIB), StorageClass="STANDARD_IA")
    body(lake, "plain", os.urandom(2 * MIB), Tagging="a=b")
    body(lake, "small", b"x" * 2000, StorageClass="GLACIER_IR")
    fresh_bill(lake)
    report = take_in(lake)
    assert report.originals_deleted == 3
    booked, bill = lake.booked(), lake.bill()
    assert {kind: abs(booked[kind] - bill[kind]) <= 4 for kind in bill} == dict.fromkeys(bill, True), (booked, bill)
    assert booked["early_delete"] > 0


@deleting
def test_what_deleted_originals_save_is_booked_against_their_class(lake: Lake) -> None:
    body(lake, "k", bytes(200 * MIB // 100))
    take_in(lake)
    lake.clock.advance(86_400 * 10)
    lake.scan()
    with lake.lab.catalog.read() as tx:
        baseline = ledger.balance(tx, "baseline.storage", "bucket:lake")
        cost = ledger.balance(tx, "cost.storage", "bucket:lake")
        dual = ledger.balance(tx, "files.dual", "bucket:lake")
        offline = ledger.balance(tx, "files.offline", "bucket:lake")
        hot = ledger.balance(tx, "files.dual", "")
    assert baseline > 0
    assert (cost, dual, offline, hot) == (0, 0, 2 * MIB, 0)


@deleting
def test_audit_finds_an_object_that_is_not_where_the_catalog_has_it(lake: Lake) -> None:
    body(lake, "k", b"one" * 1000)
    take_in(lake)
    seen = audit(context(lake))
    assert (seen.ok, seen.hot_bytes, seen.original_bytes, seen.object_bytes) == (True, 0, 0, 3000)
    body(lake, "k", b"new")
    assert audit(context(lake)).discrepancies == (
        "bucket: s3://lake/k is offline in the catalog and another object stands there; scan again",
    )


@pytest.mark.heavy
@deleting
def test_what_fails_on_the_way_is_tried_again_and_an_outage_ends_the_run_with_nothing_half_done(lake: Lake) -> None:
    for number in range(3):
        body(lake, f"k{number}", os.urandom(9 * MIB if number == 0 else 5000))
    for kind, letters in (("get", "stT.i"), ("delete", "..sL"), ("head", "s")):
        lake.app.plan(kind, letters)
    assert take_in(lake).originals_deleted == 3

    body(lake, "later", os.urandom(5000))
    lake.scan()
    lake.app.plan("get", "s" * 200)
    with pytest.raises(StoreUnavailable):
        ingest_bucket(context(lake), "lake")
    assert states(lake)["later"] is FileState.REGULAR
    assert keys(lake) == {"later"}
    lake.app._plans.clear()
    assert take_in(lake).originals_deleted == 1


def test_a_bucket_for_another_mode_is_not_taken_in(lake: Lake) -> None:
    config = lake.lab.context.config
    other = config.buckets[0].model_copy(update={"mode": "report"})
    changed = replace(lake.lab.context, config=config.model_copy(update={"buckets": (other,)}))
    with pytest.raises(UsageError, match="looked at only"):
        ingest_bucket(changed, "lake")


def test_objects_that_may_not_be_read_are_skipped_and_if_it_is_all_of_them_the_run_ends(lake: Lake) -> None:
    body(lake, "may", b"x" * 1000)
    body(lake, "sealed", b"y" * 1000)
    lake.app.denied["get sealed"] = "AccessDenied"
    report = take_in(lake)
    assert report.objects_stored == 1
    assert "may not be read" in report.skipped_objects[0][1]
    with pytest.raises(Exception, match="AccessDenied"):
        take_in(lake)
    assert states(lake)["sealed"] is FileState.REGULAR
