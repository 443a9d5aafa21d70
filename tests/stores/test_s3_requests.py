"""What goes over the wire to S3: unsigned over TLS, our checksum, our conditions, and nothing sent twice."""

import io
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from dedup.values import Span
from tests.stores.conformance import put
from tiering.errors import IntegrityError, StoreUnavailable
from tiering.stores.checksum import checksum_of
from tiering.stores.options import StoreOptions
from tiering.stores.s3 import S3Store, open_s3

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


def opened(endpoint: str = "") -> S3Store:
    return open_s3("bucket", "tier/", StoreOptions(endpoint_url=endpoint, region="eu-west-1"))


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


def test_a_put_that_may_replace_sends_no_condition() -> None:
    store = opened()
    wire = Wire(store)

    put(store, "frostline.json", b"{}", if_absent=False)

    assert wire.header("If-None-Match") is None


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
