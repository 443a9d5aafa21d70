"""A bucket of somebody else's on the cloud, an installation that cares for it, and both their books."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policies.prices import PriceBook
from tests.cloud.server import Cloud, cloud
from tests.jobs.lab import Lab, open_lab
from tests.stores.servers import S3Server
from tiering.catalog import accounts, ledger
from tiering.clock import FakeClock, SystemClock
from tiering.jobs.object_apply import BucketApplyReport, apply_bucket
from tiering.jobs.object_scan import BucketScanReport, scan_bucket

MIB = 1 << 20
DAY_S = 86_400
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


@contextmanager
def open_lake(
    base: Path, book: PriceBook, rules: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], **changes: Any
) -> Iterator[Lake]:
    """Give an empty bucket; its clock begins at the machine's time, by which moto dates objects. *changes* are whole
    sections of the configuration.
    """
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
        try:
            with open_lab(base, clock=clock, buckets=[table], **changes) as lab:
                yield Lake(server, app, clock, lab)
        finally:  # what a failing test leaves is not for the next one to find
            listed = client.list_object_versions(Bucket="lake")
            for item in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
                client.delete_object(Bucket="lake", Key=item["Key"], VersionId=item["VersionId"])
            for bucket, key in list(app.objects):
                client.delete_object(Bucket=bucket, Key=key)
            client.delete_bucket(Bucket="lake")


def fresh_bill(lake: Lake) -> None:
    """Begin the bill anew: what the owner wrote is the owner's."""
    lake.app.bill = type(lake.app.bill)(lake.app.bill.book)
