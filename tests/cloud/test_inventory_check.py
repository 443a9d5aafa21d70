"""The catalog against an S3 Inventory: class and size are compared, and nothing is believed before a second look."""

import csv
import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.installation import BUCKET, Site
from tests.cloud.test_ledger_equals_bill import send_away
from tests.jobs.lab import Lab
from tiering.errors import ConfigError
from tiering.jobs.audit import audit

pytestmark = pytest.mark.s3
SCHEMA = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
Change = Callable[[str, list[Any]], list[Any] | None]


def inventory(site: Site, folder: Path, change: Change = lambda _, row: row, **more: Any) -> str:
    """Write the bucket's inventory as it is now, each row as *change* makes it; return its manifest."""
    folder.mkdir(exist_ok=True)
    now = datetime.fromtimestamp(site.clock.now_ns() // 10**9, UTC)
    rows: list[list[Any]] = [
        [BUCKET, key, it.size, datetime.fromtimestamp(it.created_ns // 10**9, UTC).isoformat()[:19] + ".000Z",
         it.etag.strip('"'), it.storage_class]
        for (_, key), it in site.app.objects.items()
    ]  # fmt: skip
    kept = [made for row in rows if (made := change(row[1], row)) is not None]
    data = folder / "one.csv.gz"
    with gzip.open(data, "wt", newline="") as file:
        csv.writer(file).writerows(kept)
    manifest = {
        "sourceBucket": BUCKET, "destinationBucket": "arn:aws:s3:::lists", "fileFormat": "CSV", "fileSchema": SCHEMA,
        "creationTimestamp": str(int(now.timestamp()) * 1000),
        "files": [{"key": "lists/one.csv.gz", "size": data.stat().st_size,
                   "MD5checksum": hashlib.md5(data.read_bytes(), usedforsecurity=False).hexdigest()}],
    }  # fmt: skip
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest | more))
    return str(path)


def faults(lab: Lab, manifest: str) -> tuple[str, ...]:
    """Return what the audit against an inventory finds."""
    return audit(lab.context, inventory=manifest).discrepancies


def is_pack(key: str) -> bool:
    """Whether it is a data pack."""
    return key.startswith("packs/")


def test_an_inventory_that_tells_the_truth_is_in_order_and_lists_nothing(site: Site, tmp_path: Path) -> None:
    with site.lab() as lab:
        send_away(lab, "archive", [b"a", b"b"])
        site.run(24 * 7)
        manifest = inventory(site, tmp_path / "i")
        lists = site.app.bill.requests["list", "STANDARD"]
        assert faults(lab, manifest) == ()
        assert site.app.bill.requests["list", "STANDARD"] == lists


def test_what_is_of_another_class_or_size_is_looked_at_and_told(site: Site, tmp_path: Path) -> None:
    with site.lab() as lab:
        send_away(lab, "standard", [b"a"])
        site.run(24 * 7)
        (key,) = [key for _, key in site.app.objects if is_pack(key)]
        client = site.server.client()
        copied = {"Bucket": BUCKET, "Key": key}
        client.copy_object(**copied, CopySource=copied, StorageClass="STANDARD_IA", MetadataDirective="REPLACE")
        (said,) = faults(lab, inventory(site, tmp_path / "i"))
        assert said == f"inventory: {key} is of class STANDARD_IA, STANDARD is booked"
        client.put_object(**copied, Body=b"other")
        (said,) = faults(lab, inventory(site, tmp_path / "i"))
        assert "has 5 bytes" in said


def test_an_inventory_that_is_behind_accuses_nobody(site: Site, tmp_path: Path) -> None:
    with site.lab() as lab:
        send_away(lab, "standard", [b"a"])
        site.run(24 * 7)
        old = inventory(site, tmp_path / "i", lambda key, row: [*row[:5], "GLACIER"] if is_pack(key) else row)
        assert faults(lab, old) == ()  # it says GLACIER; a look says STANDARD
        without = inventory(site, tmp_path / "i", lambda key, row: None if is_pack(key) else row)
        assert faults(lab, without) == ()
        send_away(lab, "standard", [b"new"], seed=5)
        assert faults(lab, without) == ()  # came after it


def test_what_is_really_gone_or_in_no_book_is_told(site: Site, tmp_path: Path) -> None:
    with site.lab() as lab:
        send_away(lab, "standard", [b"a"])
        client = site.server.client()
        client.put_object(Bucket=BUCKET, Key="packs/ff/nobody", Body=b"who")
        site.run(24 * 7)
        (key,) = [key for _, key in site.app.objects if is_pack(key) and "nobody" not in key]
        client.delete_object(Bucket=BUCKET, Key=key)
        said = sorted(faults(lab, inventory(site, tmp_path / "i")))
        assert len(said) == 2
        assert "packs/ff/nobody (3 bytes) is in no book; gc dooms it" in " ".join(said)
        assert f"{key} (" in " ".join(said)
        assert "is not there; live files need it" in " ".join(said)


def test_an_inventory_of_another_bucket_is_refused(site: Site, tmp_path: Path) -> None:
    with site.lab() as lab, pytest.raises(ConfigError, match="no tier has its store"):
        faults(lab, inventory(site, tmp_path / "i", sourceBucket="elsewhere"))
