"""A fresh cloud with one bucket, every answer of which is held against botocore's model of S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from moto.s3.models import FakeKey

from policies.prices import PriceBook
from tests.cloud.model import Checker
from tests.cloud.server import Cloud, cloud
from tests.stores.servers import S3Server
from tiering.clock import FakeClock

BUCKET = "bucket"
HOUR_S, DAY_S = 3600, 86_400
MIDNIGHT_S = 20_000 * DAY_S


@dataclass(slots=True)
class Served:
    """One running cloud."""

    server: S3Server
    app: Cloud
    clock: FakeClock
    client: Any
    checker: Checker

    def days(self, days: float) -> None:
        """Let days pass."""
        self.clock.advance(days * DAY_S)

    def put(self, key: str, size: int = 200_000, **more: Any) -> Any:
        """Write an object of zeros."""
        return self.client.put_object(Bucket=BUCKET, Key=key, Body=bytes(size), **more)

    def bill(self) -> dict[str, int]:
        """Return the bill up to now."""
        return self.app.settle().by_kind()

    def refusal(self, operation: str, **request: Any) -> str:
        """Return the code with which a request is refused."""
        try:
            getattr(self.client, operation)(Bucket=BUCKET, **request)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""


def empty_bucket(server: S3Server, app: Cloud, clock: FakeClock, bucket: str) -> None:
    """Delete a bucket and everything in it, past every lock: moto's memory outlives its servers."""
    client = server.client()
    clock.advance(100 * 365 * DAY_S)
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    for item in [item for page in pages for item in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]:
        for held in (
            app.objects.get((bucket, item["Key"])),
            app.vault.noncurrent.get((bucket, item["Key"], item["VersionId"])),
        ):
            if held is not None:
                held.lock.hold = False
        version = {} if item["VersionId"] == "null" else {"VersionId": item["VersionId"]}
        client.delete_object(Bucket=bucket, Key=item["Key"], **version)
    client.delete_bucket(Bucket=bucket)
    _forget(bucket)


def _forget(bucket: str) -> None:
    """Free the bytes of objects that are gone: moto keeps every one there ever was, for a page that nobody opens."""
    every: Any = FakeKey
    gone = [key for key in every.instances_tracked if key.bucket_name == bucket]
    every.instances_tracked = [key for key in every.instances_tracked if key.bucket_name != bucket]
    for key in gone:
        key.dispose()


@contextmanager
def served(book: PriceBook, *, locks: bool = False) -> Iterator[Served]:
    """Serve; it is noon of some day. Leaves nothing."""
    clock = FakeClock((MIDNIGHT_S + 12 * HOUR_S) * 10**9)
    with cloud(clock, book) as (server, app):
        client = server.client()
        checker = Checker()
        app.watch = checker
        more = {"ObjectLockEnabledForBucket": True} if locks else {}
        client.create_bucket(Bucket=BUCKET, **more)
        try:
            yield Served(server, app, clock, client, checker)
        finally:
            app.denied.clear()
            app.keys.states.clear()
            empty_bucket(server, app, clock, BUCKET)
        assert checker.faults == [], checker.faults
