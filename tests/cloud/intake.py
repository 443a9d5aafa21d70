"""What the tests of mode ingest share: a lake whose objects are taken in, and looks at what became of them."""

import io
import os
from dataclasses import replace
from typing import Any

from tests.cloud.lake import Lake
from tiering.catalog import files, sums
from tiering.catalog.values import FileState
from tiering.jobs.bucket_roots import open_bucket_roots
from tiering.jobs.context import Context
from tiering.jobs.object_ingest import BucketIngestReport, ingest_bucket
from tiering.jobs.restore import cat

INGEST = {"mode": "ingest", "tier": "standard"}
DELETING = {**INGEST, "delete_originals": True}


def context(lake: Lake, **changes: Any) -> Context:
    """Return the installation as a command would open it now."""
    return replace(lake.lab.context, buckets=open_bucket_roots(lake.lab.catalog), **changes)


def body(lake: Lake, key: str, data: bytes, **words: Any) -> None:
    """Write an object of those bytes."""
    lake.client.put_object(Bucket="lake", Key=key, Body=data, **words)


def take_in(lake: Lake, **changes: Any) -> BucketIngestReport:
    """Scan and take in."""
    lake.scan()
    return ingest_bucket(context(lake, **changes), "lake")


def keys(lake: Lake) -> set[str]:
    """Return what stands in the bucket."""
    return {item["Key"] for item in lake.client.list_objects_v2(Bucket="lake").get("Contents", [])}


def states(lake: Lake) -> dict[str, FileState]:
    """Return path below the bucket -> state; the books agree with the rows."""
    (root,) = open_bucket_roots(lake.lab.catalog)
    with lake.lab.catalog.read() as tx:
        rows = list(files.every(tx, root.root_id))
        assert sums.differences(tx) == {}
    return {os.fsdecode(row.path): row.state for row in rows}


def stored_bytes(lake: Lake, key: str) -> bytes:
    """Return an object as frostline reads it."""
    out = io.BytesIO()
    cat(context(lake), f"s3://lake/{key}", out)
    return out.getvalue()
