"""Reads when objects were last read: from S3 server access logs, and from CloudTrail data events.

Both come late: logs by hours and best-effort, says S3; events by minutes and at a price. So rules speak of days. A key
stands URL-encoded in a log, by some accounts twice: what either reading names counts as read, which can only keep an
object warmer. What frostline reads itself is no evidence: it names itself in both.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tiering.catalog import objects
from tiering.catalog.transaction import batches
from tiering.errors import ConfigError
from tiering.jobs.bucket_care import Care, bucket_options
from tiering.jobs.context import Context

# bucket owner, bucket, [time], ip, requester, id, operation, key, "request", status, ...
_LINE = re.compile(r'^\S+ (\S+) \[([^\]]+)\] \S+ \S+ \S+ (\S+) (\S+) (?:"[^"]*"|-) (\S+) ')
_READS = frozenset({"REST.GET.OBJECT", "WEBSITE.GET.OBJECT", "REST.SELECT.OBJECT", "BATCH.GET.OBJECT"})
_EVENTS = frozenset({"GetObject", "SelectObjectContent"})
_COPIES = frozenset({"CopyObject", "UploadPartCopy"})
_OURS = "app/frostline"
"""In the user agent of every request of ours (tiering.stores.s3)."""
_HELD = 100_000  # keys in memory between two writes: about 20 MB
_DIGESTS = "CloudTrail-Digest"

Reads = Iterator[tuple[bytes, int]]
"""(key, second)."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """One kind of files that say what was read."""

    where: str
    """s3:// prefix, or a directory."""
    column: str
    """Of the bucket's row: the last file that was read."""
    suffix: str
    reads: Callable[[bytes, str], Reads]
    """From (a file, its name)."""


def read_access_logs(ctx: Context, care: Care) -> int:
    """Note the reads in the logs and events that came since the last time; return how many files there were.

    Raises ConfigError for a file of events that is none.
    """
    bucket = care.config.bucket
    kinds = (
        _Evidence(care.config.access_logs, "logs_after", "", lambda data, _: reads_of(_lines(data), bucket)),
        _Evidence(care.config.cloudtrail, "trail_after", ".json.gz", lambda data, name: events_of(data, bucket, name)),
    )
    evidence_s = care.row.evidence_s
    count = 0
    for kind in kinds:
        if kind.where:
            evidence_s, read = _read_kind(ctx, care, kind, evidence_s)
            count += read
    return count


def reads_of(lines: Iterable[str], bucket: str) -> Reads:
    """Yield (key, second) of the reads of objects of *bucket* that succeeded; lines that are no log are left out."""
    for line in lines:
        match = _LINE.match(line)
        if match is None or match[1] != bucket or match[3] not in _READS or not match[5].startswith("2"):
            continue
        if _OURS in line:
            continue
        at_s = int(datetime.strptime(match[2], "%d/%b/%Y:%H:%M:%S %z").timestamp())
        yield from _both(unquote(match[4]), at_s)


def events_of(data: bytes, bucket: str, name: str) -> Reads:
    """Yield (key, second) of the reads of objects of *bucket* in one file of CloudTrail; a copy reads its source.

    Events that failed, or are of something else, are left out. Raises ConfigError for what is no such file.
    """
    try:
        records: list[dict[str, Any]] = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)[
            "Records"
        ]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{name} holds no events of CloudTrail: {error}", hint="check `cloudtrail`") from None
    for record in records:
        if record.get("errorCode") or _OURS in str(record.get("userAgent", "")):
            continue
        asked: dict[str, Any] = record.get("requestParameters") or {}
        key = ""
        if record.get("eventName") in _EVENTS and asked.get("bucketName") == bucket:
            key = str(asked.get("key", ""))
        elif record.get("eventName") in _COPIES:
            source = unquote(str(asked.get("x-amz-copy-source", ""))).lstrip("/").partition("?versionId=")[0]
            key = source.removeprefix(bucket + "/") if source.startswith(bucket + "/") else ""
        if key:
            moment = datetime.strptime(str(record["eventTime"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            yield from _both(key, int(moment.timestamp()))


def _both(once: str, at_s: int) -> Reads:
    yield once.encode(), at_s
    if "%" in once and (twice := unquote(once)) != once:
        yield twice.encode(), at_s


def _read_kind(ctx: Context, care: Care, kind: _Evidence, evidence_s: int | None) -> tuple[int | None, int]:
    """Return since when reads are known now, and how many files were read."""
    after = str(getattr(care.row, kind.column))
    latest: dict[bytes, int] = {}
    count = 0

    def write() -> None:
        for batch in batches(sorted(latest.items()), 20_000):
            with ctx.catalog.write() as tx:
                objects.note_access(tx, care.row.bucket_id, batch)
        with ctx.catalog.write() as tx:
            objects.note_evidence(tx, care.row.bucket_id, {kind.column: after, "evidence_s": evidence_s})
        latest.clear()

    for name, data in _files(ctx, care, kind, after):
        for key, at_s in kind.reads(data, name):
            latest[key] = max(at_s, latest.get(key, 0))
            evidence_s = at_s if evidence_s is None else min(evidence_s, at_s)
        after, count = name, count + 1
        if len(latest) >= _HELD:
            write()
        if ctx.stop.is_set():
            break
    write()
    return evidence_s, count


def _files(ctx: Context, care: Care, kind: _Evidence, after: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of what came after the file of that name: names of both kinds begin with their time."""
    if not kind.where.startswith("s3://"):
        folder = Path(kind.where)
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        for name in names:
            if name > after and _is_wanted(name, kind):
                yield name, (folder / name).read_bytes()
        return
    bucket, _, prefix = kind.where.removeprefix("s3://").partition("/")
    remote = care.bucket(bucket, bucket_options(care.config), ctx)
    for page in remote.pages(prefix, after=after):
        for item in page:
            if _is_wanted(item.key, kind):
                yield item.key, remote.read(item.key)


def _is_wanted(name: str, kind: _Evidence) -> bool:
    return name.endswith(kind.suffix) and not (kind.suffix and _DIGESTS in name)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()
