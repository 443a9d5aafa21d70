"""An S3 Inventory that lies in a bucket is fetched file by file; nothing of it is left behind, however a scan ends."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.lake import Lake
from tests.jobs.test_object_scan import known, row, write_inventory
from tiering.errors import IntegrityError
from tiering.jobs.context import NoProgress
from tiering.jobs.object_scan import scan_bucket

pytestmark = pytest.mark.s3


@pytest.fixture
def bucket_settings() -> dict[str, Any]:
    """The inventory lies in the bucket itself."""
    return {"inventory": "s3://lake/lists/manifest.json"}


@pytest.fixture
def listed(lake: Lake, tmp_path: Path) -> Lake:
    """With an inventory of three objects in two files."""
    folder = tmp_path / "inventory"
    day_ns = 86_400 * 10**9
    age = (1_800_000_000 * 10**9 - lake.clock.now_ns()) / day_ns  # it is of now, by the lake's own clock
    files = [[row("data/a"), row("data/b")], [row("data/c")]]
    write_inventory(folder, *files, age=age, destinationBucket="arn:aws:s3:::lake")
    for path in folder.iterdir():
        key = "lists/manifest.json" if path.name == "manifest.json" else f"inventory/lake/data/{path.name}"
        lake.client.put_object(Bucket="lake", Key=key, Body=path.read_bytes())
    return lake


def test_its_files_are_read_and_have_no_name_meanwhile(listed: Lake) -> None:
    """What has no name is gone with the process."""
    spool, seen = listed.lab.context.config.spool_dir, []

    class Looking(NoProgress):
        def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
            seen.append(os.listdir(spool))

    report = scan_bucket(replace(listed.lab.context, progress=Looking()), "lake")
    assert (report.objects, sorted(known(listed.lab))) == (3, ["data/a", "data/b", "data/c"])
    assert seen == [[], []]


def test_one_that_is_not_what_the_manifest_names_is_refused(listed: Lake) -> None:
    listed.client.put_object(Bucket="lake", Key="inventory/lake/data/1.csv.gz", Body=bytes(100))
    with pytest.raises(IntegrityError, match=r"1\.csv\.gz is not the file"):
        listed.scan()
    assert os.listdir(listed.lab.context.config.spool_dir) == []
