"""What goes over the wire to S3: unsigned over TLS, our checksum, our conditions, and nothing sent twice."""

import io
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from dedup.values import Span
from tests.stores.conformance import put
from tiering.clock import FakeClock
from tiering.errors import IntegrityError, StoreDenied, StoreUnavailable
from tiering.stores.checksum import checksum_of
from tiering.stores.open import open_provider
from tiering.stores.options import StoreOptions
from tiering.stores.s3 import S3Store, open_s3
from tiering.stores.s3_class import change_class_in_parts
from tiering.stores.s3_info import from_put

pytestmark = pytest.mark.usefixtures("aws_credentials")


class Wire:
    """Stands where the network begins: keeps each request and answers with what it was told."""

    def __init__(self, store: S3Store, *, status: int = 200, headers: dict[str, str] | None = None, body: bytes = b""):
        self.requests: list[AWSPreparedRequest] = []
        self._answer = (status, headers or {}, body)
        store._client.meta.events.register("before-send.s3", self._send)

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self.requests.append(request)
        status, headers, body = self._answer
        return AWSResponse(request.url, status, headers, _Raw(body))

    def header(self, name: str) -> str | None:
        """Return a header of the last request."""
        value = self.requests[-1].headers.get(name)
        return value.decode() if isinstance(value, bytes) else value


class _Raw(io.BytesIO):
    """What urllib3 gives botocore."""

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.read()


def opened(endpoint: str = "", **changes: Any) -> S3Store:
    return open_s3("bucket", "tier/", StoreOptions(endpoint_url=endpoint, region="eu-west-1", **changes))


def test_over_tls_the_payload_is_not_signed_but_its_checksum_is_sent() -> None:
    store = opened()
    wire = Wire(store)

    put(store, "packs/one", b"123456789")

    assert wire.requests[0].url == "https://bucket.s3.eu-west-1.amazonaws.com/tier/packs/one"
    assert wire.header("X-Amz-Content-SHA256") == "UNSIGNED-PAYLOAD"
    assert wire.header("x-amz-checksum-crc64nvme") == "rosUhgp5mIg="  # the specification's check value
    assert wire.header("If-None-Match") == "*"
    assert wire.header("x-amz-storage-class") == "STANDARD"
    assert wire.header("x-amz-trailer") is None
    assert wire.header("Content-Length") == "9"
    assert len(wire.requests) == 1


def test_without_tls_the_payload_is_signed() -> None:
    store = opened("http://storage.lan:9000")
    wire = Wire(store)

    put(store, "packs/one", b"123456789")

    assert wire.header("X-Amz-Content-SHA256") == "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://localhost:9000", "http://[::1]:9000"])
def test_on_this_machine_the_checksum_is_enough(endpoint: str) -> None:
    store = opened(endpoint)
    wire = Wire(store)

    put(store, "packs/one", b"123456789")

    assert wire.header("X-Amz-Content-SHA256") == "UNSIGNED-PAYLOAD"
    assert wire.header("x-amz-checksum-crc64nvme") == "rosUhgp5mIg="


@pytest.mark.parametrize(
    ("url", "is_signed"), [("s3://b?sign_payload=0", False), ("s3://b?sign_payload=1", True), ("s3://b", True)]
)
def test_the_url_may_say_whether_uploads_are_signed(url: str, is_signed: bool) -> None:
    options = StoreOptions(endpoint_url="http://storage.lan:9000", region="eu-west-1")
    store, _ = open_provider(url, options=options, clock=FakeClock())
    assert isinstance(store, S3Store)
    wire = Wire(store)

    put(store, "packs/one", b"123456789")

    assert (wire.header("X-Amz-Content-SHA256") != "UNSIGNED-PAYLOAD") is is_signed


def test_a_put_that_may_replace_sends_no_condition() -> None:
    store = opened()
    wire = Wire(store)

    put(store, "frostline.json", b"{}", if_absent=False)

    assert wire.header("If-None-Match") is None


def test_encryption_and_tags_go_with_every_request_that_makes_an_object() -> None:
    store = opened(encryption="aws:kms", kms_key="key-1", tags=(("team", "a&b"), ("of", "frostline")))
    wire = Wire(store, headers={"Content-Length": "9", "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT", "ETag": "e"})

    def dress() -> list[str | None]:
        names = ("", "-aws-kms-key-id", "-bucket-key-enabled")
        encryption = [wire.header(f"x-amz-server-side-encryption{name}") for name in names]
        return [*encryption, wire.header("x-amz-tagging")]

    put(store, "packs/one", b"123456789")
    assert dress() == ["aws:kms", "key-1", "true", "team=a%26b&of=frostline"]
    store.change_class("packs/one", "GLACIER_IR")
    del wire.requests[-1]  # the look at what it became
    assert dress() == ["aws:kms", "key-1", "true", "team=a%26b&of=frostline"]
    assert wire.header("x-amz-tagging-directive") == "REPLACE"
    assert wire.header("x-amz-copy-source-if-match") == "e"


def test_a_copy_in_parts_is_conditional_on_source_and_destination() -> None:
    store = opened()
    wire = Wire(store, body=b"<R><UploadId>u</UploadId><ETag>p</ETag></R>")
    info = from_put("packs/one", {"ETag": "e"}, size_bytes=20, storage_class="STANDARD")
    target = {"Bucket": "bucket", "Key": "packs/one"}
    attributes = {"StorageClass": "GLACIER", "Tagging": "team=a"}
    change_class_in_parts(store._client, target, info=info, attributes=attributes, part_bytes=15)

    ranges = [request.headers.get("x-amz-copy-source-range") for request in wire.requests]
    assert ranges == [None, None, b"bytes=0-14", b"bytes=15-19", None]  # look, begin, two parts, complete
    assert [request.headers.get("x-amz-copy-source-if-match") for request in wire.requests[2:4]] == [b"e", b"e"]
    assert wire.header("If-Match") == "e"
    assert wire.requests[1].headers["x-amz-tagging"] == b"team=a"


def test_without_settings_the_bucket_decides_on_encryption_and_tags() -> None:
    store = opened()
    wire = Wire(store)
    put(store, "packs/one")
    assert wire.header("x-amz-server-side-encryption") is None
    assert wire.header("x-amz-tagging") is None


def test_a_key_that_may_not_be_used_gets_a_sentence() -> None:
    store = opened(encryption="aws:kms")
    Wire(store, status=400, body=b"<Error><Code>KMS.DisabledException</Code><Message>key is disabled</Message></Error>")
    with pytest.raises(StoreDenied, match="key is disabled") as error:
        put(store, "packs/one")
    assert "kms:GenerateDataKey" in error.value.hint


def test_botocore_does_not_try_again_behind_our_back() -> None:
    store = opened()
    wire = Wire(store, status=503, body=b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>")

    with pytest.raises(StoreUnavailable, match="SlowDown"):
        put(store, "packs/one")

    assert len(wire.requests) == 1


def test_an_answer_that_breaks_off_is_not_taken_for_data() -> None:
    store = opened()
    Wire(store, headers={"Content-Length": "100"}, body=b"only this")

    with pytest.raises(StoreUnavailable):
        store.get("packs/one")


def test_an_answer_shorter_than_asked_means_the_object_is_too_short() -> None:
    store = opened()
    wire = Wire(store, status=206, headers={"Content-Length": "9"}, body=b"only this")

    with pytest.raises(IntegrityError):
        store.get("packs/one", Span(10, 20))

    assert wire.header("Range") == "bytes=10-29"


def test_an_object_of_intelligent_tiering_in_its_archive_tier_is_cold() -> None:
    store = opened()
    headers = {
        "Content-Length": "9",
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "x-amz-storage-class": "INTELLIGENT_TIERING",
        "x-amz-archive-status": "DEEP_ARCHIVE_ACCESS",
        "x-amz-checksum-crc64nvme": "rosUhgp5mIg=",
        "x-amz-checksum-type": "FULL_OBJECT",
    }
    wire = Wire(store, headers=headers)

    info = store.head("packs/one")
    assert info.readability.value == "cold"
    assert info.checksum == checksum_of(b"123456789")
    assert wire.header("x-amz-checksum-mode") == "ENABLED"

    store.request_restore("packs/one", days=7, speed="bulk")
    body = wire.requests[-1].body
    assert b"Days" not in (body if isinstance(body, bytes) else body.read())  # S3 refuses Days for this class


def test_a_composite_checksum_is_not_taken_for_one_of_the_whole_object() -> None:
    store = opened()
    headers = {
        "Content-Length": "9",
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "x-amz-checksum-crc64nvme": "rosUhgp5mIg=",
        "x-amz-checksum-type": "COMPOSITE",
    }
    Wire(store, headers=headers)

    assert store.head("packs/one").checksum == ""
