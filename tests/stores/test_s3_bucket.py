"""Other people's buckets on real servers: what a class change in place keeps, and whether conditions are heeded.

SeaweedFS heeds If-Match on a copy's destination, moto does not: jobs refuse to write there (tests/cloud).
"""

from uuid import uuid4

import pytest

from tests.stores.servers import S3Server
from tiering.clock import SystemClock
from tiering.errors import ObjectExists, ObjectMissing
from tiering.stores.metered import Meter
from tiering.stores.options import StoreOptions
from tiering.stores.s3_bucket import ForeignBucket, Look, open_bucket

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]
KEY = "a b/ü+%41"


@pytest.fixture(params=["moto", "seaweed"])
def server(request: pytest.FixtureRequest) -> S3Server:
    """Each of the servers."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, S3Server)
    return found


@pytest.fixture
def meter() -> Meter:
    """What was asked."""
    return Meter()


@pytest.fixture
def name(server: S3Server) -> str:
    """A bucket with one object that says much of itself."""
    made = server.bucket(f"b-{uuid4().hex}")
    server.client().put_object(
        Bucket=made, Key=KEY, Body=b"x" * 1000, Metadata={"run": "7"}, ContentType="application/x-thing",
        CacheControl="max-age=9", ContentDisposition="inline", ContentLanguage="de", Tagging="team=ml",
    )  # fmt: skip
    return made


@pytest.fixture
def bucket(server: S3Server, name: str, meter: Meter) -> ForeignBucket:
    """The same, as jobs see it."""
    options = StoreOptions(endpoint_url=server.endpoint, region="us-east-1", path_style=True, deadline_s=5)
    return open_bucket(name, options, clock=SystemClock(), meter=meter)


def words_of(look: Look) -> dict[str, object]:
    """Return what an object says of itself, but for encryption."""
    return {word: value for word, value in look.words.items() if "Encryption" not in word}


def test_a_change_in_place_keeps_everything_but_the_class(server: S3Server, name: str, bucket: ForeignBucket) -> None:
    before = bucket.look(KEY)
    changed = bucket.change_class(before, "GLACIER_IR")
    after = bucket.look(KEY)
    assert (after.storage_class, after.etag, after.size_bytes) == ("GLACIER_IR", changed.etag, 1000)
    assert words_of(after) == words_of(before)
    assert len(words_of(after)) == 5
    tags = server.client().get_object_tagging(Bucket=name, Key=KEY)["TagSet"]
    assert tags == [{"Key": "team", "Value": "ml"}]
    assert server.client().get_object(Bucket=name, Key=KEY)["Body"].read() == b"x" * 1000


def test_whether_conditions_are_heeded_is_seen(server: S3Server, bucket: ForeignBucket) -> None:
    before = bucket.look(KEY)
    assert bucket.respects_conditions(before) == (server.name == "seaweedfs")
    after = bucket.look(KEY)
    assert (after.storage_class, after.etag, words_of(after)) == (before.storage_class, before.etag, words_of(before))


def test_an_object_that_was_replaced_is_not_changed(server: S3Server, name: str, bucket: ForeignBucket) -> None:
    if server.name == "moto":
        pytest.skip("moto heeds no condition on a copy")
    before = bucket.look(KEY)
    server.client().put_object(Bucket=name, Key=KEY, Body=b"newer")
    with pytest.raises(ObjectExists):
        bucket.change_class(before, "GLACIER_IR")
    assert server.client().get_object(Bucket=name, Key=KEY)["Body"].read() == b"newer"
    assert bucket.look(KEY).storage_class == "STANDARD"


def test_a_listing_goes_by_pages_and_is_counted(
    server: S3Server, name: str, bucket: ForeignBucket, meter: Meter
) -> None:
    for number in range(3):
        server.client().put_object(Bucket=name, Key=f"p/{number}", Body=b"")
    assert [item.key for page in bucket.pages("p/", after="p/0") for item in page] == ["p/1", "p/2"]
    assert next(item.key for page in bucket.pages("") for item in page) == KEY
    assert meter.take().requests == {("list", "STANDARD"): 2}


def test_what_is_not_there_is_said(bucket: ForeignBucket) -> None:
    with pytest.raises(ObjectMissing):
        bucket.look("nothing")
