"""Reads S3 server access logs for when objects were last read. Late by hours and best-effort, says S3: rules in days.

A key stands URL-encoded in a log, by some accounts twice: what either reading names counts as read, which can only keep
an object warmer.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

from tiering.catalog import objects
from tiering.catalog.transaction import batches
from tiering.jobs.bucket_care import Care, bucket_options
from tiering.jobs.context import Context

# bucket owner, bucket, [time], ip, requester, id, operation, key, "request", status, ...
_LINE = re.compile(r'^\S+ (\S+) \[([^\]]+)\] \S+ \S+ \S+ (\S+) (\S+) (?:"[^"]*"|-) (\S+) ')
_READS = frozenset({"REST.GET.OBJECT", "WEBSITE.GET.OBJECT", "REST.SELECT.OBJECT", "BATCH.GET.OBJECT"})
_HELD = 100_000  # keys in memory between two writes: about 20 MB


def read_access_logs(ctx: Context, care: Care) -> int:
    """Note the reads in the logs that came since the last time; return how many logs there were."""
    after, evidence_s = care.row.logs_after, care.row.evidence_s
    latest: dict[bytes, int] = {}
    logs = 0
    for name, text in _logs(ctx, care, after):
        for key, at_s in reads_of(text.splitlines(), care.config.bucket):
            latest[key] = max(at_s, latest.get(key, 0))
            evidence_s = at_s if evidence_s is None else min(evidence_s, at_s)
        after, logs = name, logs + 1
        if len(latest) >= _HELD:
            _write(ctx, care, latest, after=after, evidence_s=evidence_s)
        if ctx.stop.is_set():
            break
    _write(ctx, care, latest, after=after, evidence_s=evidence_s)
    return logs


def reads_of(lines: Iterable[str], bucket: str) -> Iterator[tuple[bytes, int]]:
    """Yield (key, second) of the reads of objects of *bucket* that succeeded; lines that are no log are left out."""
    for line in lines:
        match = _LINE.match(line)
        if match is None or match[1] != bucket or match[3] not in _READS or not match[5].startswith("2"):
            continue
        at_s = int(datetime.strptime(match[2], "%d/%b/%Y:%H:%M:%S %z").timestamp())
        once = unquote(match[4])
        yield once.encode(), at_s
        if "%" in once and (twice := unquote(once)) != once:
            yield twice.encode(), at_s


def _logs(ctx: Context, care: Care, after: str) -> Iterator[tuple[str, str]]:
    where = care.config.access_logs
    if not where.startswith("s3://"):
        for path in sorted(Path(where).iterdir()):
            if path.is_file() and path.name > after:
                yield path.name, path.read_text("utf-8", "replace")
        return
    name, _, prefix = where.removeprefix("s3://").partition("/")
    remote = care.bucket(name, bucket_options(care.config), ctx)
    for page in remote.pages(prefix, after=after):
        for item in page:
            yield item.key, remote.read(item.key).decode("utf-8", "replace")


def _write(ctx: Context, care: Care, latest: dict[bytes, int], *, after: str, evidence_s: int | None) -> None:
    for batch in batches(sorted(latest.items()), 20_000):
        with ctx.catalog.write() as tx:
            objects.note_access(tx, care.row.bucket_id, batch)
    with ctx.catalog.write() as tx:
        objects.note_logs(tx, care.row.bucket_id, after=after, evidence_s=evidence_s)
    latest.clear()
