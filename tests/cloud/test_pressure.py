"""Our S3 client under a server that pushes back: 503s, torn connections, lost answers. Nothing is lost."""

import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import policies
from dedup.values import Span
from policies.prices import parse_book
from tests.cloud.server import Cloud, cloud
from tests.whole.tree import noise
from tiering.clock import FakeClock
from tiering.stores.base import Store
from tiering.stores.checksum import checksum_of
from tiering.stores.metered import Meter
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
BODY = noise(1, 200_000)


@pytest.fixture
def opened() -> Iterator[tuple[Store, Cloud, Meter]]:
    """A store with all its wrappers on a cloud; waits are on a fake clock and cost no time."""
    clock, meter = FakeClock(), Meter()
    book = parse_book(json.loads((Path(policies.__file__).parent / "data" / "aws-us-east-1.json").read_text()))
    with cloud(clock, book) as (server, app):
        client = server.client()
        client.create_bucket(Bucket="pressure")
        options = StoreOptions(endpoint_url=server.endpoint, region="us-east-1", path_style=True, max_concurrency=8)
        yield open_store("s3://pressure/x", options=options, clock=clock, meter=meter), app, meter
        for _, key in list(app.objects):
            client.delete_object(Bucket="pressure", Key=key)


def put(store: Store, key: str) -> None:
    """Store BODY, creating it."""
    store.put(key, io.BytesIO(BODY), size_bytes=len(BODY), checksum=checksum_of(BODY), storage_class="STANDARD")


def test_p4_uploads_come_through_slow_downs_and_each_attempt_is_billed(
    opened: tuple[Store, Cloud, Meter],
) -> None:
    store, app, meter = opened
    app.plan("put", "sssiss")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: put(store, f"packs/{number}"), range(16)))
    assert {key for _, key in app.objects} == {f"x/packs/{number}" for number in range(16)}
    assert meter.snapshot().count("put") == 16 + 6 == app.bill.requests["put", "STANDARD"] + 6


@pytest.mark.parametrize("letters", ["t", "tt", "st"])
def test_p4_a_torn_upload_is_sent_again(opened: tuple[Store, Cloud, Meter], letters: str) -> None:
    store, app, _ = opened
    app.plan("put", letters)
    put(store, "packs/one")
    assert store.get("packs/one") == BODY


def test_p7_reads_come_through_with_the_right_bytes(opened: tuple[Store, Cloud, Meter]) -> None:
    store, app, _ = opened
    put(store, "packs/one")
    app.plan("get", "sTtis")
    with ThreadPoolExecutor(4) as pool:
        spans = [Span(number * 10_000, 10_000) for number in range(20)]
        found = list(pool.map(lambda span: store.get("packs/one", span), spans))
    assert b"".join(found) == BODY
