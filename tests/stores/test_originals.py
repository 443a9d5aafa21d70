"""Originals on real servers: read, deleted and put back by version. moto and SeaweedFS heed If-Match on deletions."""

import os
from uuid import uuid4

import pytest

from dedup.values import Span
from tests.stores.servers import S3Server
from tiering.clock import SystemClock
from tiering.errors import ObjectExists, ObjectMissing
from tiering.stores.metered import Meter
from tiering.stores.options import StoreOptions
from tiering.stores.originals import PROBE, Dress, Originals, open_originals

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
MIB = 1 << 20
DRESS = Dress("STANDARD", {"Metadata": {"run": "7"}, "ContentType": "x/y", "CacheControl": "no-cache"}, [("a", "b c")])


@pytest.fixture(params=["moto", "seaweed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the servers."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.fixture
def name(server: S3Server) -> str:
    """An empty bucket."""
    return server.bucket(f"b-{uuid4().hex}")


@pytest.fixture
def meter() -> Meter:
    """What was asked."""
    return Meter()


@pytest.fixture
def bucket(server: S3Server, name: str, meter: Meter) -> Originals:
    """The same, as jobs see it."""
    options = StoreOptions(endpoint_url=server.endpoint, region="us-east-1", path_style=True, deadline_s=5)
    return open_originals(name, options, clock=SystemClock(), meter=meter)


def put(server: S3Server, name: str, data: bytes) -> str:
    """Write an object; return its ETag."""
    return str(server.client().put_object(Bucket=name, Key="k ü", Body=data)["ETag"])


def test_a_version_is_read_whole_and_by_range_and_another_is_not(
    server: S3Server, name: str, bucket: Originals, meter: Meter
) -> None:
    etag = put(server, name, b"0123456789")
    assert bucket.fetch("k ü", etag).data == b"0123456789"
    part = bucket.fetch("k ü", etag, Span(2, 3))
    assert (part.data, part.look.size_bytes, part.look.etag) == (b"234", 10, etag)
    assert (meter.snapshot().count("get"), meter.snapshot().down) == (2, {"STANDARD": 13})
    put(server, name, b"another")
    with pytest.raises(ObjectExists):
        bucket.fetch("k ü", etag)
    with pytest.raises(ObjectMissing):
        bucket.fetch("none", etag)


def test_p1_only_the_named_version_is_deleted(server: S3Server, name: str, bucket: Originals) -> None:
    assert bucket.heeds_conditional_deletes("sub/")
    listed = server.client().list_objects_v2(Bucket=name).get("Contents", [])
    assert [item["Key"] for item in listed if PROBE in item["Key"]] == []
    old = put(server, name, b"old")
    new = put(server, name, b"new")
    with pytest.raises(ObjectExists):
        bucket.delete("k ü", old)
    assert bucket.fetch("k ü", new).data == b"new"
    bucket.delete("k ü", new)
    with pytest.raises(ObjectMissing):
        bucket.look("k ü")


@pytest.mark.parametrize("size", [0, 1000, 11 * MIB])
def test_an_object_is_put_back_with_its_words_where_none_stands(
    server: S3Server, name: str, bucket: Originals, size: int
) -> None:
    data = os.urandom(size)
    pieces = [data[start : start + 5 * MIB] for start in range(0, size, 5 * MIB)] or [b""]
    changed = bucket.put_back("k ü", DRESS, iter(pieces), size_bytes=size, part_bytes=5 * MIB)
    got = server.client().get_object(Bucket=name, Key="k ü")
    assert (got["Body"].read() == data, got["ETag"]) == (True, changed.etag)
    assert (got["Metadata"], got["ContentType"], got["CacheControl"]) == ({"run": "7"}, "x/y", "no-cache")
    assert bucket.tags_of("k ü") == (("a", "b c"),)
    with pytest.raises(ObjectExists):
        bucket.put_back("k ü", DRESS, iter([b"other"]), size_bytes=5, part_bytes=5 * MIB)
    assert server.client().get_object(Bucket=name, Key="k ü")["ETag"] == changed.etag
