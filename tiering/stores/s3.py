"""A store in an S3 bucket: AWS, or anything that speaks its protocol.

Checksums are computed once, by the caller, and sent for the server to verify; over TLS the payload is not signed a
second time (measured six times cheaper in CPU). botocore's own retries are off: tiering.stores.retry is the one place.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import IncompleteReadError

from dedup.values import Span
from tiering.clock import NS_PER_S
from tiering.errors import ObjectMissing, StoreError
from tiering.stores.base import ObjectInfo, Readability, Upload
from tiering.stores.failures import cut_off, cut_short, too_short
from tiering.stores.keys import check_key
from tiering.stores.options import ONE_COPY_BYTES, StoreOptions
from tiering.stores.s3_body import Window
from tiering.stores.s3_class import change_class, change_class_in_parts
from tiering.stores.s3_dress import dress_of
from tiering.stores.s3_errors import Call, translated
from tiering.stores.s3_info import from_head, from_listing, from_put, put_checksum
from tiering.stores.s3_restore import request_restore
from tiering.stores.s3_upload import upload_in_parts

# AWS answers within these or not at all; a hung connection must not outlive the retry deadline many times over.
_CONNECT_TIMEOUT_S = 10
_READ_TIMEOUT_S = 60


_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})


class S3Store:
    """See tiering.stores.base.ArchiveStore."""

    def __init__(self, client: Any, *, bucket: str, prefix: str, options: StoreOptions) -> None:
        """Keep the *client*; use open_s3(). *prefix* is "" or ends in a slash."""
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._endpoint = str(client.meta.endpoint_url)
        self._part_size = options.part_size
        self._dress = dress_of(options)
        self._bucket_was_seen = False

    def put(
        self, key: str, body: BinaryIO, *, size_bytes: int, checksum: str, storage_class: str, if_absent: bool = True
    ) -> ObjectInfo:
        """See Store. Above part_size in parts, completed conditionally and aborted on any failure."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Key": self._full(key)}
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        with translated(self._call(key, "store")):
            window = Window(body, size_bytes)
            if window.missing_bytes():  # the server would wait for them until its timeout
                raise cut_short(self.url, key, size_bytes=size_bytes, missing_bytes=window.missing_bytes())
            if size_bytes > self._part_size:
                answer = upload_in_parts(
                    self._client,
                    request,
                    window,
                    part_size=self._part_size,
                    checksum=checksum,
                    attributes={**self._dress, "StorageClass": storage_class},
                    condition=condition,
                )
            else:
                answer = self._client.put_object(
                    **request,
                    **condition,
                    **put_checksum(checksum),
                    **self._dress,
                    Body=window,
                    ContentLength=size_bytes,
                    StorageClass=storage_class,
                )
        self._bucket_was_seen = True
        return from_put(key, answer, size_bytes=size_bytes, storage_class=storage_class)

    def get(self, key: str, span: Span | None = None) -> bytes:
        """See Store."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Key": self._full(key)}
        if span is not None:
            if span.length == 0:
                return b""
            request["Range"] = f"bytes={span.start}-{span.end - 1}"
        with translated(self._call(key, "read")):
            answer = self._client.get_object(**request)
            announced = int(answer["ContentLength"])
            if span is not None and announced != span.length:
                answer["Body"].close()
                raise too_short(self.url, key, span, span.start + announced)
            return self._receive(key, answer["Body"], announced)

    def head(self, key: str) -> ObjectInfo:
        """See Store."""
        with translated(self._call(key, "look at")):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._full(key), ChecksumMode="ENABLED")
            except self._client.exceptions.ClientError:
                # A HEAD answer has no body: a missing bucket looks like a missing object. Ask once which it is.
                if not self._bucket_was_seen:
                    self._see_bucket()
                raise
        self._bucket_was_seen = True
        return from_head(key, answer)

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[ObjectInfo]:
        """See Store. A page is at most 1,000 objects."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        request["OptionalObjectAttributes"] = ["RestoreStatus"]
        if start_after:
            request["StartAfter"] = self._prefix + start_after
        while True:
            with translated(self._call("", "list")):
                page = self._client.list_objects_v2(**request)
            self._bucket_was_seen = True
            for item in page.get("Contents", []):
                yield from_listing(item, prefix=self._prefix)
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
            request.pop("StartAfter", None)

    def delete(self, key: str, *, etag: str = "", version_id: str = "") -> None:
        """See Store."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Key": self._full(key)}
        if version_id:
            request["VersionId"] = version_id  # which is but one: S3 takes no condition beside it
        elif etag:
            request["IfMatch"] = etag
        with translated(self._call(key, "delete")):
            try:
                self._client.delete_object(**request)
            except self._client.exceptions.NoSuchKey:
                return
            except self._client.exceptions.ClientError as error:
                # AWS answers a conditional delete of an absent key with 404, and others with 412.
                if "IfMatch" in request and _is_absent(self, key):
                    return
                raise error from None

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """See Store."""
        request: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            with translated(self._call("", "list the unfinished uploads of")):
                page = self._client.list_multipart_uploads(**request)
            for item in page.get("Uploads", []):
                key = str(item["Key"])
                if key.startswith(self._prefix + prefix):  # not every server heeds Prefix here
                    yield Upload(key.removeprefix(self._prefix), str(item["UploadId"]), _ns(item["Initiated"]))
            if not page.get("IsTruncated"):
                return
            request["KeyMarker"] = page.get("NextKeyMarker", "")
            request["UploadIdMarker"] = page.get("NextUploadIdMarker", "")

    def abort_upload(self, upload: Upload) -> None:
        """See Store."""
        with translated(self._call(upload.key, "abort the upload of")):
            try:
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._full(upload.key), UploadId=upload.upload_id
                )
            except self._client.exceptions.NoSuchUpload:
                pass  # finished or aborted already

    def request_restore(self, key: str, *, days: int, speed: str) -> Readability:
        """See ArchiveStore. Raises StoreError where the server cannot restore."""
        info = self.head(key)
        if info.readability is Readability.INSTANT:
            return Readability.INSTANT
        with translated(self._call(key, "request the restore of")):
            return request_restore(self._client, self._bucket, self._full(key), info=info, days=days, speed=speed)

    def change_class(self, key: str, storage_class: str) -> ObjectInfo:
        """See ArchiveStore. Above 5 GB in parts."""
        info = self.head(key)
        target = {"Bucket": self._bucket, "Key": self._full(key)}
        with translated(self._call(key, "change the class of")):
            if info.size_bytes <= ONE_COPY_BYTES:
                change_class(self._client, target, info=info, storage_class=storage_class, dress=self._dress)
            else:
                attributes = {**self._dress, "StorageClass": storage_class}
                change_class_in_parts(self._client, target, info=info, attributes=attributes)
        return self.head(key)

    def _receive(self, key: str, stream: Any, announced: int) -> bytes:
        # In one piece: read(n) and readinto() copy every byte once or twice more (0.6 against 0.9 CPU-seconds per GB).
        try:
            data: bytes = stream.read()
        except IncompleteReadError as error:
            raise cut_off(self.url, key, expected=announced, received=int(error.kwargs["actual_bytes"])) from error
        finally:
            stream.close()
        if len(data) != announced:
            raise cut_off(self.url, key, expected=announced, received=len(data))
        return data

    def _see_bucket(self) -> None:
        with translated(self._call("", "look at")):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        self._bucket_was_seen = True

    def _full(self, key: str) -> str:
        return check_key(self._prefix + check_key(key))

    def _call(self, key: str, verb: str) -> Call:
        return Call(self.url, self._bucket, key, verb, self._endpoint)


def open_s3(bucket: str, prefix: str, options: StoreOptions) -> S3Store:
    """Return the store in *bucket* under *prefix* ("" or with a trailing slash). Sends nothing.

    Credentials come from the environment, the profile, or the machine's role; never from the configuration or the URL.
    """
    client = connect(options, url=f"s3://{bucket}/{prefix}".rstrip("/"), bucket=bucket)
    return S3Store(client, bucket=bucket, prefix=prefix, options=options)


def connect(options: StoreOptions, *, url: str, bucket: str) -> Any:
    """Return the client that *options* describe, with botocore's own retries off. Sends nothing."""
    with translated(Call(url, bucket, "", "open", options.endpoint_url or "AWS")):
        session = boto3.Session(profile_name=options.profile or None, region_name=options.region or None)
        region = session.region_name or ("us-east-1" if options.endpoint_url else None)
        return session.client(
            "s3",
            endpoint_url=options.endpoint_url or None,
            region_name=region,
            config=ClientConfig(
                retries={"total_max_attempts": 1, "mode": "standard"},
                connect_timeout=_CONNECT_TIMEOUT_S,
                read_timeout=_READ_TIMEOUT_S,
                max_pool_connections=max(options.max_concurrency, 1),
                s3={
                    "addressing_style": "path" if options.path_style else "auto",
                    "payload_signing_enabled": _signs_payload(options),
                },
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                user_agent_appid="frostline",
            ),
        )


def _signs_payload(options: StoreOptions) -> bool:
    """Without TLS the signature over the payload is what protects it on the way; not where it stays on this machine."""
    if options.sign_payload is not None:
        return options.sign_payload
    endpoint = urlsplit(options.endpoint_url)
    return endpoint.scheme == "http" and (endpoint.hostname or "") not in _THIS_MACHINE


def _is_absent(store: S3Store, key: str) -> bool:
    try:
        store.head(key)
    except ObjectMissing:
        return True
    except StoreError:
        return False
    return False


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS_PER_S
