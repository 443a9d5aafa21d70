"""Every way S3 says no ends in an error of ours with a sentence: by code, by status, by exception."""

import socket

import pytest
from botocore import exceptions as boto

from tests.stores.conformance import put
from tiering.clock import FakeClock
from tiering.errors import (
    ChecksumRefused,
    FrostlineError,
    IntegrityError,
    NoSpace,
    ObjectArchived,
    ObjectExists,
    ObjectMissing,
    Retry,
    SpeedUnavailable,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    UsageError,
)
from tiering.stores.open import open_provider, open_store
from tiering.stores.options import StoreOptions
from tiering.stores.s3_errors import Call, translate

CALL = Call("s3://bucket/tier", "bucket", "packs/one", "store", "https://s3.example")


def answer(code: str, status: int, message: str = "It was said so.") -> boto.ClientError:
    return boto.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchKey", 404, ObjectMissing),
        ("404", 404, ObjectMissing),
        ("NoSuchBucket", 404, StoreError),
        ("PreconditionFailed", 412, ObjectExists),
        ("ConditionalRequestConflict", 409, StoreUnavailable),
        ("InvalidObjectState", 403, ObjectArchived),
        ("ObjectNotInActiveTierError", 403, ObjectArchived),
        ("BadDigest", 400, ChecksumRefused),
        ("XAmzContentSHA256Mismatch", 400, ChecksumRefused),
        ("InvalidRange", 416, IntegrityError),
        ("AccessDenied", 403, StoreDenied),
        ("403", 403, StoreDenied),
        ("InvalidAccessKeyId", 403, StoreDenied),
        ("SignatureDoesNotMatch", 403, StoreDenied),
        ("ExpiredToken", 400, StoreDenied),
        ("RequestTimeTooSkewed", 403, StoreDenied),
        ("PermanentRedirect", 301, StoreDenied),
        ("AuthorizationHeaderMalformed", 400, StoreDenied),
        ("SlowDown", 503, StoreUnavailable),
        ("InternalError", 500, StoreUnavailable),
        ("RequestTimeout", 400, StoreUnavailable),
        ("", 502, StoreUnavailable),
        ("SomethingNew", 504, StoreUnavailable),
        ("TooManyRequests", 429, StoreUnavailable),
        ("QuotaExceeded", 403, NoSpace),
        ("XMinioStorageFull", 507, NoSpace),
        ("NotImplemented", 501, StoreError),
        ("MethodNotAllowed", 405, StoreError),
        ("InvalidStorageClass", 400, StoreError),
        ("GlacierExpeditedRetrievalNotAvailable", 503, SpeedUnavailable),
        ("NeverHeardOf", 418, StoreError),
    ],
)
def test_an_answer_becomes_an_error_with_a_sentence(code: str, status: int, expected: type[FrostlineError]) -> None:
    error = translate(answer(code, status), CALL)

    assert type(error) is expected
    assert "now:" in error.sentence()
    assert "next:" in error.sentence() or expected is ObjectExists
    assert (error.retry is Retry.SOON) == (expected in {StoreUnavailable, ChecksumRefused})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (boto.NoCredentialsError(), StoreDenied),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), StoreDenied),
        (boto.ProfileNotFound(profile="work"), StoreDenied),
        (boto.EndpointConnectionError(endpoint_url="https://s3.example"), StoreUnavailable),
        (boto.ConnectTimeoutError(endpoint_url="https://s3.example"), StoreUnavailable),
        (boto.ReadTimeoutError(endpoint_url="https://s3.example"), StoreUnavailable),
        (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreUnavailable),
        (boto.SSLError(endpoint_url="x", error="[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"), StoreDenied),
        (ConnectionResetError(104, "Connection reset by peer"), StoreUnavailable),
        (boto.ParamValidationError(report="Invalid bucket name"), UsageError),
        (boto.NoRegionError(), UsageError),
        (boto.BotoCoreError(), StoreError),
    ],
)
def test_an_exception_becomes_an_error_of_ours(error: Exception, expected: type[FrostlineError]) -> None:
    assert type(translate(error, CALL)) is expected


def test_the_region_of_a_bucket_elsewhere_is_named() -> None:
    error = answer("AuthorizationHeaderMalformed", 400)
    error.response["Error"]["Region"] = "eu-west-3"  # type: ignore[typeddict-unknown-key]

    assert "eu-west-3" in translate(error, CALL).what


@pytest.mark.usefixtures("aws_credentials")
def test_an_endpoint_where_nobody_listens_is_unavailable_within_the_deadline() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port, and it refuses
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        clock = FakeClock()
        options = StoreOptions(endpoint_url=endpoint, region="us-east-1", path_style=True, deadline_s=30)
        store = open_store("s3://bucket/tier", options=options, clock=clock)
        began = clock.monotonic_s()

        with pytest.raises(StoreUnavailable, match=endpoint) as caught:
            put(store, "packs/one")

    assert caught.value.exit_code == 75
    assert clock.monotonic_s() - began <= 30


def test_without_credentials_nothing_is_sent_and_a_sentence_says_so() -> None:
    options = StoreOptions(endpoint_url="http://127.0.0.1:9", region="us-east-1", path_style=True)
    store, _ = open_provider("s3://bucket", options=options, clock=FakeClock())

    with pytest.raises(StoreDenied, match="no usable credentials") as caught:
        store.head("packs/one")

    assert "AWS_ACCESS_KEY_ID" in caught.value.sentence()


def test_an_unknown_profile_gets_a_sentence() -> None:
    with pytest.raises(StoreDenied, match="nobody"):
        open_provider("s3://bucket", options=StoreOptions(profile="nobody"), clock=FakeClock())
