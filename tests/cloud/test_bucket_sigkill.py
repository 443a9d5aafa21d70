"""P4 for buckets: SIGKILL at any request of a change of class or an ingest loses nothing and pays for nothing twice."""

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from policies.prices import PriceBook
from tests.cloud.intake import DELETING, context
from tests.cloud.killing import Killer, killing
from tests.cloud.lake import MIB, TO_COLD, fresh_bill
from tiering.jobs.audit import audit
from tiering.jobs.restore import restore

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
MANY = [pytest.param(range(1, 13), marks=pytest.mark.heavy, id="a dozen seeds")]


def fill(killer: Killer, count: int) -> dict[str, bytes]:
    """Write objects of several sizes."""
    written = {}
    for number in range(count):
        size = (3000, 40_000, 1_500_000, 9 * MIB)[number % 4 if number < 8 else number % 2]
        written[f"{number % 3}/{number:03d}"] = os.urandom(size)
    for key, data in written.items():
        killer.lake.client.put_object(Bucket="lake", Key=key, Body=data, Metadata={"of": key})
    fresh_bill(killer.lake)
    return written


def standing(killer: Killer, written: Mapping[str, bytes]) -> set[str]:
    """Return the keys that stand in the bucket; each holds its bytes."""
    found = {item["Key"] for item in killer.lake.client.list_objects_v2(Bucket="lake").get("Contents", [])}
    for key in found & written.keys():
        assert killer.lake.client.get_object(Bucket="lake", Key=key)["Body"].read() == written[key], key
    return found & written.keys()


def check_all_there(killer: Killer, written: Mapping[str, bytes], folder: Path) -> None:
    """Every object stands in the bucket, or frostline has its bytes."""
    gone = written.keys() - standing(killer, written)
    if not gone:
        return
    restore(context(killer.lake), ["s3://lake"], str(folder))
    for key in gone:
        assert (folder / "lake" / key).read_bytes() == written[key], key


@pytest.mark.parametrize("seeds", [range(1), *MANY])
def test_p1_an_ingest_killed_at_any_request_loses_no_object(
    tmp_path: Path, shipped_book: PriceBook, seeds: Sequence[int]
) -> None:
    with killing(tmp_path / "lab", shipped_book, DELETING, []) as killer:
        written = fill(killer, 24)
        for seed in seeds:
            chance = random.Random(seed)
            at, before = chance.randrange(4, 70), chance.random() < 0.5
            killer.run("buckets", "apply", "lake", "--yes", at=at, before=before)
            check_all_there(killer, written, tmp_path / f"copies-{seed}")
        assert killer.run("buckets", "apply", "lake", "--yes") == 0
        assert standing(killer, written) == set()
        check_all_there(killer, written, tmp_path / "copies")
        deletes = {key: killer.succeeded["delete", key] for key in written}
        assert deletes == dict.fromkeys(written, 1), "an original was deleted twice, or not"
        reads = max(killer.succeeded["get", key] for key in written)
        assert reads <= 2 * (1 + len(seeds)), "an object was read more often than there were runs"
        booked, bill = killer.lake.booked(), killer.lake.bill()
        assert 0 < booked["requests"] <= bill["requests"]
        assert audit(context(killer.lake)).discrepancies == ()


@pytest.mark.parametrize("seeds", [pytest.param(range(1), marks=pytest.mark.heavy, id="one seed"), *MANY])
def test_p4_a_change_of_class_killed_at_any_request_is_made_once_and_booked_once(
    tmp_path: Path, shipped_book: PriceBook, seeds: Sequence[int]
) -> None:
    settings: dict[str, Any] = {"max_concurrency": 4}
    with killing(tmp_path / "lab", shipped_book, settings, [TO_COLD]) as killer:
        for number in range(30):
            killer.lake.put(f"k{number:02d}", MIB + number)
        fresh_bill(killer.lake)
        for seed in seeds:
            chance = random.Random(seed)
            killer.run("buckets", "apply", "lake", "--yes", at=chance.randrange(4, 70), before=chance.random() < 0.5)
        assert killer.run("buckets", "apply", "lake", "--yes") == 0
        copies = {key: times for (kind, key), times in killer.succeeded.items() if kind == "copy"}
        assert copies == {f"k{number:02d}": 1 for number in range(30)}
        assert {stored.storage_class for stored in killer.lake.app.objects.values()} == {"GLACIER_IR"}
        booked, bill = killer.lake.booked(), killer.lake.bill()
        assert booked["early_delete"] == bill["early_delete"]
        assert bill["requests"] - booked["requests"] <= _looks_of(killer, len(seeds)), (booked, bill)


def _looks_of(killer: Killer, kills: int) -> int:
    """Return what a batch's looks, probes and the requests in flight may cost beyond the books, in nano-dollars."""
    book = killer.lake.app.bill.book
    look, copy = book.price("STANDARD").get_nano, book.price("GLACIER_IR").put_nano
    listing = book.price("STANDARD").put_nano
    return kills * (2 * 30 * look + 2 * listing + 2 * 4 * copy)
