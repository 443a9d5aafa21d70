"""A bucket of other people's objects: listed, looked at, and moved between classes in place. Never deleted from.

Keys are whatever S3 allows, not the plain paths of our own stores. A class change is a copy of an object onto itself
that says again all that the object said of itself (headers, metadata, encryption; tags stay of themselves), provided
that both what is read and what is replaced are still the version that was looked at. Every answered request is
counted; one that failed at the server or on the way is not billed and not counted.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from dedup.values import Span
from tiering.clock import Clock
from tiering.errors import ObjectExists, StoreError
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ObjectInfo
from tiering.stores.metered import Meter
from tiering.stores.options import COPY_PART_BYTES, ONE_COPY_BYTES, StoreOptions
from tiering.stores.retry import retries
from tiering.stores.s3 import connect
from tiering.stores.s3_errors import Call, ProviderAnswer, code_of, status_of, translated
from tiering.stores.s3_info import from_listing
from tiering.stores.s3_upload import abort

T = TypeVar("T")

# What an object says of itself, as HeadObject answers and CopyObject takes it.
_OWN_WORDS = (
    "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
    "WebsiteRedirectLocation", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """What an object is, and what it says of itself."""

    key: str
    size_bytes: int
    storage_class: str
    etag: str
    modified_s: int
    words: Mapping[str, Any] = field(default_factory=dict)
    """Headers, metadata and encryption, to be said again by a copy."""
    tags: int = 0
    version_id: str = ""
    """"" in a bucket that keeps none."""
    unsayable: str = ""
    """Why not all that it says of itself can be said again; "" where it can."""
    fault: str = ""
    """Why its class cannot be changed in place; "" where it can."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What an object is after a class change."""

    etag: str
    modified_s: int


class ForeignBucket:
    """See the module docstring. Thread-safe."""

    def __init__(self, client: Any, bucket: str, *, clock: Clock, meter: Meter, deadline_s: float) -> None:
        """Keep the *client*; use open_bucket()."""
        self.url = f"s3://{bucket}"
        self._client = client
        self._bucket = bucket
        self._clock = clock
        self._meter = meter
        self._deadline_s = deadline_s
        self._endpoint = str(client.meta.endpoint_url)

    def pages(self, prefix: str, *, after: str = "") -> Iterator[list[ObjectInfo]]:
        """Yield the objects under *prefix*, whole keys, in key order, at most 1,000 at a time."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": prefix}
        if after:
            request["StartAfter"] = after
        while True:
            page = self._patiently("", "list", lambda: self._client.list_objects_v2(**request), kind="list")
            yield [from_listing(item, prefix="") for item in page.get("Contents", [])]
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
            request.pop("StartAfter", None)

    def read(self, key: str, span: Span | None = None) -> bytes:
        """Return an object, or *span* of it, of a class that reads for nothing (inventories and logs)."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Key": key}
        if span is not None:
            request["Range"] = f"bytes={span.start}-{span.end - 1}"

        def fetch() -> bytes:
            answer = self._client.get_object(**request)
            with answer["Body"] as body:
                return bytes(body.read())

        return self._patiently(key, "read", fetch, kind="get")

    def obstacle(self) -> str:
        """Return why no class may be changed in place here, as a sentence; "" where nothing is in the way.

        A versioned bucket keeps, and bills, the old version under the new one. Objects with access lists of their own
        would lose them: a copy takes on the owner's.
        """
        kept = self.keeps_versions()
        if kept:
            return (
                f"{self.url} keeps versions ({kept}): a change in place would leave the old version "
                "behind, billed as before. Use a lifecycle rule, which moves versions themselves"
            )
        if self.has_access_lists():
            return (
                f"{self.url} lets objects have access lists of their own, which a change in place would reset. Set its "
                "object ownership to BucketOwnerEnforced, or use a lifecycle rule"
            )
        return ""

    def keeps_versions(self) -> str:
        """Return "Enabled" or "Suspended" where versions are kept, or were; else ""."""
        versioning = self._patiently(
            "", "look at the versioning of", lambda: self._client.get_bucket_versioning(Bucket=self._bucket)
        )
        return str(versioning.get("Status") or "")

    def has_access_lists(self) -> bool:
        """Return whether objects may have access lists of their own."""
        try:
            owned = self._patiently(
                "", "look at the owner of", lambda: self._client.get_bucket_ownership_controls(Bucket=self._bucket)
            )
            rules = owned.get("OwnershipControls", {}).get("Rules", [])
        except StoreError as error:
            if "OwnershipControlsNotFoundError" not in str(error.__cause__):
                raise
            rules = []  # made before April 2023: access lists count
        return [rule.get("ObjectOwnership") for rule in rules] != ["BucketOwnerEnforced"]

    def look(self, key: str) -> Look:
        """Return what *key* is. Raises ObjectMissing."""
        answer = self._patiently(
            key, "look at", lambda: self._client.head_object(Bucket=self._bucket, Key=key), kind="head"
        )
        return look_of(key, answer)

    def change_class(self, look: Look, storage_class: str, *, one_copy_bytes: int = ONE_COPY_BYTES) -> Changed:
        """Move the object that was looked at into *storage_class*; tried once.

        Raises ObjectExists where it is another version by now, which stays untouched; ObjectArchived; StoreUnavailable,
        after which it may have been done: look again.
        """
        with self._conditional(look.key):
            if look.size_bytes > one_copy_bytes:
                return self._change_in_parts(look, storage_class)
            return self._copy(look, storage_class, replaced=look.etag)

    def respects_conditions(self, look: Look) -> bool:
        """Return whether the server refuses to replace another version than the one named.

        Asks for a copy of the object onto itself, into the class it is in and with all its words, in place of a version
        that is not there. A server that does not heed this makes the copy, which changes nothing but the date.
        """
        try:
            with self._conditional(look.key):
                self._copy(look, look.storage_class, replaced=_NO_VERSION)
        except ObjectExists:
            return True
        return False

    def count(self, kind: str, storage_class: str) -> None:
        """Count a request that turned out to have been done though its answer was lost."""
        self._meter.add(kind, storage_class=storage_class)

    @contextmanager
    def _conditional(self, key: str) -> Iterator[None]:
        with translated(self._call(key, "change the class of")):
            try:
                yield
            except ProviderAnswer as error:
                if code_of(error) in _ANOTHER_VERSION:
                    raise ObjectExists(f"{key} is another version by now", now="it was left as it is") from error
                raise

    def _copy(self, look: Look, storage_class: str, *, replaced: str) -> Changed:
        answer = self._counted(
            "copy",
            storage_class,
            lambda: self._client.copy_object(
                Bucket=self._bucket,
                Key=look.key,
                CopySource={"Bucket": self._bucket, "Key": look.key},
                CopySourceIfMatch=look.etag,
                IfMatch=replaced,  # somebody may write while the provider copies
                StorageClass=storage_class,
                MetadataDirective="REPLACE",  # some servers refuse a copy onto itself that repeats nothing
                TaggingDirective="COPY",
                **look.words,
            ),
        )["CopyObjectResult"]
        return Changed(str(answer["ETag"]), int(answer["LastModified"].timestamp()))

    def _change_in_parts(self, look: Look, storage_class: str) -> Changed:
        target = {"Bucket": self._bucket, "Key": look.key}
        words = dict(look.words)
        if look.tags:
            tagging = self._counted("get", look.storage_class, lambda: self._client.get_object_tagging(**target))
            words["Tagging"] = urlencode({tag["Key"]: tag["Value"] for tag in tagging["TagSet"]})
        billed_as = "STANDARD" if storage_class in ARCHIVE_CLASSES else storage_class
        started = self._counted(
            "put",
            billed_as,
            lambda: self._client.create_multipart_upload(**target, **words, StorageClass=storage_class),
        )
        upload = {**target, "UploadId": started["UploadId"]}
        try:
            parts = []
            for number, start in enumerate(range(0, look.size_bytes, COPY_PART_BYTES), start=1):
                parts.append(self._copy_part(upload, look, number, start, billed_as))
            answer = self._counted(
                "copy",
                storage_class,
                lambda: self._client.complete_multipart_upload(
                    **upload, MultipartUpload={"Parts": parts}, IfMatch=look.etag
                ),
            )
        except BaseException:
            abort(self._client, upload)
            raise
        return Changed(str(answer["ETag"]), self.look(look.key).modified_s)

    def _copy_part(self, upload: dict[str, str], look: Look, number: int, start: int, billed_as: str) -> dict[str, Any]:
        end = min(start + COPY_PART_BYTES, look.size_bytes) - 1
        copied = self._counted(
            "put",
            billed_as,
            lambda: self._client.upload_part_copy(
                **upload,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": look.key},
                CopySourceRange=f"bytes={start}-{end}",
                CopySourceIfMatch=look.etag,
            ),
        )["CopyPartResult"]
        checksums = {name: value for name, value in copied.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": copied["ETag"], **checksums}

    def _patiently(self, key: str, verb: str, call: Callable[[], T], *, kind: str = "") -> T:
        def attempt() -> T:
            with translated(self._call(key, verb)):
                return self._counted(kind, "", call)

        return retries(self._clock, self._deadline_s)(attempt)

    def _counted(self, kind: str, storage_class: str, call: Callable[[], T]) -> T:
        answered_as = storage_class or "STANDARD"
        try:
            answer = call()
        except ProviderAnswer as error:
            if kind and status_of(error) < 500:
                self._meter.add(kind, storage_class=answered_as)
            raise
        if not storage_class and isinstance(answer, dict):
            answered_as = str(answer.get("StorageClass") or "STANDARD")
        if kind:
            self._meter.add(kind, storage_class=answered_as)
        return answer

    def _call(self, key: str, verb: str) -> Call:
        return Call(self.url, self._bucket, key, verb, self._endpoint)


_ANOTHER_VERSION = frozenset({"PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"})
_NO_VERSION = '"00000000000000000000000000000000"'


def open_bucket(bucket: str, options: StoreOptions, *, clock: Clock, meter: Meter) -> ForeignBucket:
    """Return the bucket. Sends nothing. Credentials come from the environment, the profile, or the machine's role."""
    client = connect(options, url=f"s3://{bucket}", bucket=bucket)
    return ForeignBucket(client, bucket, clock=clock, meter=meter, deadline_s=options.deadline_s)


def look_of(key: str, answer: Mapping[str, Any]) -> Look:
    """Return what the answer to a HEAD or a GET, of all or of a range, says of an object."""
    words = {name: answer[name] for name in _OWN_WORDS if answer.get(name)}
    of_all = str(answer.get("ContentRange") or "").rpartition("/")[2]
    return Look(
        key=key,
        size_bytes=int(of_all) if of_all.isdigit() else int(answer["ContentLength"]),
        storage_class=str(answer.get("StorageClass") or "STANDARD"),
        etag=str(answer.get("ETag", "")),
        modified_s=int(answer["LastModified"].timestamp()),
        words={**words, "Metadata": dict(answer.get("Metadata") or {})},
        tags=int(answer.get("TagCount") or 0),
        version_id=str(answer.get("VersionId") or ""),
        unsayable=_unsayable(answer),
        fault=_fault(answer),
    )


def _fault(answer: Mapping[str, Any]) -> str:
    if answer.get("ArchiveStatus") or (answer.get("StorageClass") in ARCHIVE_CLASSES):
        return "it is archived: restore it first"
    if answer.get("ObjectLockMode") or answer.get("ObjectLockLegalHoldStatus") == "ON":
        return "it is locked (Object Lock)"
    if answer.get("Expiration"):
        return f"a lifecycle rule will delete it ({answer['Expiration']}); a change would begin its age anew"
    return _unsayable(answer)


def _unsayable(answer: Mapping[str, Any]) -> str:
    if answer.get("MissingMeta"):
        return "it has metadata that cannot be read, and would be lost"
    if answer.get("ExpiresString") and not answer.get("Expires"):
        return "its Expires header is not a date, and would be lost"
    if answer.get("SSECustomerAlgorithm"):
        return "it is encrypted with a key of its owner's (SSE-C)"
    return ""
