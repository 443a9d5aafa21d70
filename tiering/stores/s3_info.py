"""S3's answers about an object, read into ObjectInfo; and our checksum, written as S3 wants it."""

import base64
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from tiering.clock import NS_PER_S
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import FOREVER_NS, ObjectInfo, Readability
from tiering.stores.checksum import from_bytes, to_bytes

_ONGOING = re.compile(r'ongoing-request="(true|false)"')
_EXPIRY = re.compile(r'expiry-date="([^"]+)"')


def put_checksum(checksum: str) -> dict[str, str]:
    """Return the parameters that make the server verify *checksum* of the whole body."""
    return {"ChecksumAlgorithm": "CRC64NVME", "ChecksumCRC64NVME": checksum_text(checksum)}


def checksum_text(checksum: str) -> str:
    """Return a "crc64nvme:<hex>" in S3's base64."""
    return base64.b64encode(to_bytes(checksum)).decode("ascii")


def from_put(key: str, answer: dict[str, Any], *, size_bytes: int, storage_class: str) -> ObjectInfo:
    """Return the info of an object just stored, from the answer to PutObject or CompleteMultipartUpload."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    return ObjectInfo(
        key=key,
        size_bytes=size_bytes,
        storage_class=storage_class,
        checksum=_checksum(answer),
        etag=str(answer.get("ETag", "")),
        modified_ns=_ns(parsedate_to_datetime(date)) if date else 0,
        readability=Readability.COLD if storage_class in ARCHIVE_CLASSES else Readability.INSTANT,
    )


def from_head(key: str, answer: dict[str, Any]) -> ObjectInfo:
    """Return the info in the answer to HeadObject (asked for with ChecksumMode=ENABLED)."""
    storage_class = str(answer.get("StorageClass") or "STANDARD")
    # Intelligent-Tiering keeps its class in its archive tiers and says so in a header of its own.
    is_archived = storage_class in ARCHIVE_CLASSES or bool(answer.get("ArchiveStatus"))
    readability, until_ns = (Readability.INSTANT, 0)
    if is_archived:
        readability, until_ns = _restore_header(str(answer.get("Restore") or ""))
    return ObjectInfo(
        key=key,
        size_bytes=int(answer["ContentLength"]),
        storage_class=storage_class,
        checksum=_checksum(answer),
        etag=str(answer.get("ETag", "")),
        modified_ns=_ns(answer["LastModified"]),
        readability=readability,
        warm_until_ns=until_ns,
        version_id=str(answer.get("VersionId") or ""),
        locked_until_ns=_locked_until(answer),
    )


def from_listing(item: dict[str, Any], *, prefix: str) -> ObjectInfo:
    """Return the info in one item of ListObjectsV2. There is no checksum in a listing."""
    storage_class = str(item.get("StorageClass") or "STANDARD")
    readability, until_ns = (Readability.INSTANT, 0)
    if storage_class in ARCHIVE_CLASSES:
        readability, until_ns = _restore_status(item.get("RestoreStatus") or {})
    return ObjectInfo(
        key=str(item["Key"]).removeprefix(prefix),
        size_bytes=int(item["Size"]),
        storage_class=storage_class,
        checksum="",
        etag=str(item.get("ETag", "")),
        modified_ns=_ns(item["LastModified"]),
        readability=readability,
        warm_until_ns=until_ns,
    )


def _locked_until(answer: dict[str, Any]) -> int:
    """Return until when Object Lock keeps the version; asked by those who may not see locks it says 0."""
    if answer.get("ObjectLockLegalHoldStatus") == "ON":
        return FOREVER_NS
    until = answer.get("ObjectLockRetainUntilDate")
    return _ns(until) if until and answer.get("ObjectLockMode") else 0


def _restore_header(header: str) -> tuple[Readability, int]:
    """Read x-amz-restore: `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`."""
    ongoing = _ONGOING.search(header)
    if ongoing is None:
        return Readability.COLD, 0
    if ongoing.group(1) == "true":
        return Readability.WARMING, 0
    expiry = _EXPIRY.search(header)
    return Readability.WARM, _ns(parsedate_to_datetime(expiry.group(1))) if expiry else 0


def _restore_status(status: dict[str, Any]) -> tuple[Readability, int]:
    if status.get("IsRestoreInProgress"):
        return Readability.WARMING, 0
    expiry = status.get("RestoreExpiryDate")
    return (Readability.WARM, _ns(expiry)) if expiry else (Readability.COLD, 0)


def _checksum(answer: dict[str, Any]) -> str:
    text = str(answer.get("ChecksumCRC64NVME") or "")
    if not text or answer.get("ChecksumType") == "COMPOSITE":
        return ""
    return from_bytes(base64.b64decode(text))


def _ns(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * NS_PER_S
