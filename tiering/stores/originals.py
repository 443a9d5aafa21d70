"""A bucket of other people's objects whose bytes are taken in: read by version, deleted by version, put back.

What stores.s3_bucket does not do, because nothing else may: it deletes. Only an object whose ETag is the one named, and
only where the server was seen to heed that; an object is put back only where none stands. Every answered request is
counted, and so are the bytes that came down, by class.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from dedup.values import Span
from tiering.clock import Clock
from tiering.errors import ObjectExists, ObjectMissing
from tiering.stores.metered import Meter
from tiering.stores.options import StoreOptions
from tiering.stores.retry import retries
from tiering.stores.s3 import connect
from tiering.stores.s3_bucket import Changed, ForeignBucket, Look, look_of
from tiering.stores.s3_errors import ProviderAnswer, status_of, translated
from tiering.stores.s3_upload import abort

PROBE = ".frostline-probe"
"""Below the prefix under care, for an instant: one key, so that no killed process leaves more than one."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Bytes of an object, and what it said of itself when they were read."""

    look: Look
    data: bytes


@dataclass(frozen=True, slots=True)
class Dress:
    """What an object is to say of itself when it is put back."""

    storage_class: str
    words: Mapping[str, Any]
    """As Look.words: headers, "Metadata", encryption."""
    tags: Sequence[tuple[str, str]]


class Originals(ForeignBucket):
    """See the module docstring. Thread-safe. Use open_originals()."""

    def fetch(self, key: str, etag: str, span: Span | None = None) -> Fetched:
        """Return an object of that ETag, or *span* of it (not empty).

        Raises ObjectExists where another version stands, ObjectMissing, ObjectArchived, and what stores raise.
        """
        request: dict[str, Any] = {"Bucket": self._bucket, "Key": key, "IfMatch": etag}
        if span is not None:
            request["Range"] = f"bytes={span.start}-{span.end - 1}"

        def attempt() -> Fetched:
            with translated(self._call(key, "read")):
                answer = self._counted("get", "", lambda: self._client.get_object(**request))
                look = look_of(key, answer)
                with answer["Body"] as body:
                    data = bytes(body.read())
                self._meter.add("", times=0, storage_class=look.storage_class, down=len(data))
                return Fetched(look, data)

        return retries(self._clock, self._deadline_s)(attempt)

    def tags_of(self, key: str) -> tuple[tuple[str, str], ...]:
        """Return an object's tags, in order."""
        found = self._patiently(
            key, "read the tags of", lambda: self._client.get_object_tagging(Bucket=self._bucket, Key=key), kind="get"
        )
        return tuple((str(tag["Key"]), str(tag["Value"])) for tag in found["TagSet"])

    def heeds_conditional_deletes(self, prefix: str) -> bool:
        """Return whether the server refuses to delete another version than the one named.

        Tried on an empty object of our own below *prefix*, which is gone on return.
        """
        place = {"Bucket": self._bucket, "Key": prefix + PROBE}
        put = self._patiently(place["Key"], "write", lambda: self._client.put_object(**place, Body=b""), kind="put")
        try:
            self.delete(place["Key"], '"00000000000000000000000000000000"')
        except ObjectExists:
            self.delete(place["Key"], str(put["ETag"]))
            return True
        except ObjectMissing:
            return False
        return False

    def delete(self, key: str, etag: str) -> None:
        """Delete the object of that ETag. Raises ObjectExists where another version stands (it stays), ObjectMissing
        where none does, which also follows a deletion whose answer was lost.
        """
        self._patiently(
            key,
            "delete",
            lambda: self._client.delete_object(Bucket=self._bucket, Key=key, IfMatch=etag),
            kind="delete",
        )

    def put_back(self, key: str, dress: Dress, body: Iterable[bytes], *, size_bytes: int, part_bytes: int) -> Changed:
        """Write an object where none stands; *body* comes in pieces of *part_bytes*, the last one shorter.

        Raises ObjectExists, and nothing was replaced; what stores raise, after which it may stand.
        """
        target = {"Bucket": self._bucket, "Key": key}
        words = {**dress.words, "StorageClass": dress.storage_class}
        if dress.tags:
            words["Tagging"] = urlencode(dress.tags)
        if size_bytes <= part_bytes:
            self._put_whole(target, words, b"".join(body), dress.storage_class)
        else:
            self._put_in_parts(target, words, body, dress.storage_class)
        look = self.look(key)
        return Changed(look.etag, look.modified_s)

    def _put_whole(self, target: dict[str, str], words: Mapping[str, Any], whole: bytes, storage_class: str) -> None:
        request = {**target, **words, "Body": whole, "IfNoneMatch": "*", "ChecksumAlgorithm": "CRC32"}
        answers_lost = 0

        def put() -> Any:
            nonlocal answers_lost
            try:
                return self._client.put_object(**request)
            except ProviderAnswer as error:
                answers_lost += status_of(error) >= 500
                raise

        try:
            self._ask(target["Key"], "put", storage_class, put)
        except ObjectExists:
            # Ours, if an answer was lost: there was none a moment ago, and these are its bytes.
            own = hashlib.md5(whole, usedforsecurity=False).hexdigest()
            if not answers_lost or self.look(target["Key"]).etag.strip('"') != own:
                raise
            self.count("put", storage_class)

    def _put_in_parts(
        self, target: dict[str, str], words: Mapping[str, Any], body: Iterable[bytes], storage_class: str
    ) -> None:
        key = target["Key"]
        started = self._ask(
            key, "put", storage_class,
            lambda: self._client.create_multipart_upload(**target, **words, ChecksumAlgorithm="CRC32"),
        )  # fmt: skip
        upload = {**target, "UploadId": started["UploadId"]}
        try:
            parts = []
            for number, piece in enumerate(body, start=1):
                parts.append(self._send_part(upload, number, piece, storage_class))
            self._ask(key, "put", storage_class, lambda: self._client.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
            ))  # fmt: skip
        except BaseException:
            abort(self._client, upload)
            raise

    def _send_part(self, upload: dict[str, str], number: int, piece: bytes, storage_class: str) -> dict[str, Any]:
        sent = self._ask(
            upload["Key"], "put", storage_class,
            lambda: self._client.upload_part(**upload, PartNumber=number, Body=piece, ChecksumAlgorithm="CRC32"),
        )  # fmt: skip
        checksums = {name: value for name, value in sent.items() if name == "ChecksumCRC32"}
        return {"PartNumber": number, "ETag": sent["ETag"], **checksums}

    def _ask(self, key: str, kind: str, storage_class: str, call: Callable[[], Any]) -> Any:
        def attempt() -> Any:
            with translated(self._call(key, "write")):
                return self._counted(kind, storage_class, call)

        return retries(self._clock, self._deadline_s)(attempt)


def open_originals(bucket: str, options: StoreOptions, *, clock: Clock, meter: Meter) -> Originals:
    """Return the bucket. Sends nothing. Credentials come from the environment, the profile, or the machine's role."""
    client = connect(options, url=f"s3://{bucket}", bucket=bucket)
    return Originals(client, bucket, clock=clock, meter=meter, deadline_s=options.deadline_s)
