"""What boto3 says, turned into the project's errors: one table of codes, one sentence each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore import exceptions as boto

from tiering.errors import (
    ChecksumRefused,
    FrostlineError,
    IntegrityError,
    NoSpace,
    ObjectArchived,
    ObjectExists,
    ObjectLocked,
    SpeedUnavailable,
    StoreDenied,
    StoreError,
    StoreUnavailable,
    UsageError,
)
from tiering.stores.archive import archived
from tiering.stores.base import Readability
from tiering.stores.failures import missing


@dataclass(frozen=True, slots=True)
class Call:
    """What was being done, for the sentence."""

    url: str
    bucket: str
    key: str
    """"" for calls on the bucket."""
    verb: str
    """Completes "could not ..."."""
    endpoint: str


PROVIDER_ERRORS = (boto.BotoCoreError, boto.ClientError, OSError)
"""What a call through boto3 raises when it fails."""

ProviderAnswer = boto.ClientError
"""An error that the provider answered, as boto3 raises it."""

_MISSING = frozenset({"NoSuchKey", "404", "NotFound", "NoSuchVersion"})
_NO_BUCKET = frozenset({"NoSuchBucket", "InvalidBucketName"})
_TAKEN = frozenset({"PreconditionFailed", "412"})
_ARCHIVED = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "StorageFull", "507"})
_BAD_KEYS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
_DENIED = frozenset(
    {"AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "UnauthorizedAccess", "401", "403"}
)
_REGION = frozenset({"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"})
_AGAIN = frozenset({
    "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests",
    "InternalError", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict", "Busy",
})  # fmt: skip
_UNSUPPORTED = frozenset({"NotImplemented", "MethodNotAllowed", "InvalidStorageClass", "501", "405"})
_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.ProfileNotFound,
    boto.TokenRetrievalError,
    boto.SSOError,
    boto.UnauthorizedSSOTokenError,
)
_CONNECTION = (
    boto.HTTPClientError,
    boto.ConnectionError,
    boto.IncompleteReadError,
    boto.ResponseStreamingError,
    OSError,
)
_USAGE = (boto.ParamValidationError, boto.NoRegionError, boto.InvalidRegionError, boto.UnknownEndpointError, ValueError)


@contextmanager
def translated(call: Call) -> Iterator[None]:
    """Turn what boto3 raises inside the block into the project's errors."""
    try:
        yield
    except (*PROVIDER_ERRORS, ValueError) as error:
        raise translate(error, call) from error


def translate(error: Exception, call: Call) -> FrostlineError:
    """Return the error for *error*."""
    if isinstance(error, boto.ClientError):
        return _of_answer(error, call)
    what = f"could not {call.verb} {call.key or 'the bucket'} in {call.url}: {error}"
    if isinstance(error, _CREDENTIALS):
        return StoreDenied(
            f"no usable credentials for {call.url}: {error}",
            now="nothing was read or written",
            hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile` of the tier to one of ~/.aws/config",
        )
    if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return StoreDenied(
            what, now="nothing was sent", hint="point AWS_CA_BUNDLE at the certificate of the store's authority"
        )
    if isinstance(error, _CONNECTION):
        return StoreUnavailable(
            f"{call.url} cannot be reached at {call.endpoint}: {_short(error)}",
            now="nothing was changed that the store has not confirmed; the hot files are untouched",
            hint="check endpoint_url and the network, then run the same command again",
        )
    if isinstance(error, _USAGE):
        return UsageError(what, now="nothing was sent", hint="check store, endpoint_url and region of the tier")
    return StoreError(what, hint="run: frostline doctor")


def code_of(error: boto.ClientError) -> str:
    """Return the provider's error code, or the HTTP status as text where there is none (HEAD)."""
    return str(error.response.get("Error", {}).get("Code", "")) or str(status_of(error))


def status_of(error: boto.ClientError) -> int:
    """Return the HTTP status of the answer; 0 where it is not known."""
    metadata: dict[str, Any] = dict(error.response.get("ResponseMetadata", {}))
    return int(metadata.get("HTTPStatusCode", 0))


def _of_answer(error: boto.ClientError, call: Call) -> FrostlineError:
    code, status = code_of(error), status_of(error)
    message = str(error.response.get("Error", {}).get("Message", "")) or code
    what = f"could not {call.verb} {call.key or 'the bucket'} in {call.url}: {message} ({code})"
    if code in _NO_BUCKET:
        return StoreError(
            f'there is no bucket "{call.bucket}" at {call.endpoint}',
            now="nothing was read or written; frostline never creates a bucket",
            hint="create it, or correct `store` in the configuration",
        )
    about_object = _of_object(code, call, what)
    if about_object is not None:
        return about_object
    denied = _of_rights(code, error, call, what)
    if denied is not None:
        return denied
    if code in _FULL or status == 507:
        return NoSpace(what, now="nothing was stored under that key", hint="raise the quota, or run: frostline gc")
    if code in _AGAIN or status in {429, 500, 502, 503, 504}:
        return StoreUnavailable(
            what, now="nothing was changed that the store has not confirmed", hint="try again later"
        )
    if code in _UNSUPPORTED or status in {405, 501}:
        return StoreError(what, now="nothing was changed", hint="this store does not offer it; run: frostline doctor")
    return StoreError(what, now="nothing was changed that the store has not confirmed", hint="run: frostline doctor")


def _of_object(code: str, call: Call, what: str) -> FrostlineError | None:
    if code in _MISSING and call.key:
        return missing(call.url, call.key)
    if code in _TAKEN:
        return ObjectExists(
            f"{call.key} in {call.url} exists already, or is another version", now="it was left as it is"
        )
    if code in _ARCHIVED:
        return _archived(call)
    if code in _DAMAGED:
        return ChecksumRefused(
            f"{call.url} received other bytes than were sent as {call.key}",
            now="it refused them; nothing was stored under that key",
            hint="try again; if it persists, test this machine's memory and network card",
        )
    if code == "InvalidRange":
        return IntegrityError(
            f"{call.key} in {call.url} is shorter than what was stored",
            now="nothing was changed; other objects are not affected",
            hint="run: frostline scrub; see docs/runbook.md#corrupt-pack",
        )
    if code == "GlacierExpeditedRetrievalNotAvailable":
        return SpeedUnavailable(what, now="no restore was started", hint="choose --speed standard, or try again later")
    return None


def _archived(call: Call) -> ObjectArchived:
    return archived(call.url, call.key, Readability.COLD)


def _of_rights(code: str, error: boto.ClientError, call: Call, what: str) -> FrostlineError | None:
    if code in _REGION:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = error.response.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region") or "another one"
        return StoreDenied(
            f'the bucket "{call.bucket}" is not in the configured region, but in {region}',
            now="nothing was read or written",
            hint="set `region` of the tier",
        )
    if code == "RequestTimeTooSkewed":
        return StoreDenied(what, now="nothing was read or written", hint="set this machine's clock (timedatectl)")
    if code in _BAD_KEYS:
        return StoreDenied(
            f"{call.url} does not accept the credentials: {code}",
            now="nothing was read or written",
            hint="check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile` of the tier",
        )
    if code.startswith("KMS."):
        return _key_denied(what)
    if code in _DENIED and "object lock" in what.lower():
        return ObjectLocked(
            f"{call.key} in {call.url} is kept by Object Lock",
            now="it was left as it is",
            hint="nothing is to be done: it goes when its retention is over, or its legal hold lifted",
        )
    if code in _DENIED and "kms:" in what.lower():
        return _key_denied(what)
    if code in _DENIED:
        return StoreDenied(
            what,
            now="nothing was changed",
            hint=f"check the credentials, and that they may read, write, list and delete in {call.bucket}"
            # The answer to a HEAD has no words: it may be the key.
            + ("; where objects are encrypted with a KMS key, also kms:Decrypt" if code == "403" else ""),
        )
    return None


def _key_denied(what: str) -> StoreDenied:
    return StoreDenied(
        what,
        now="nothing was read or written",
        hint="enable the KMS key, or let these credentials use it: kms:GenerateDataKey to store and to change classes, "
        "kms:Decrypt to read",
    )


def _short(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
