"""Scans a bucket under care: a listing or an S3 Inventory, and access logs where there are any, into the catalog.

Reads only. Each page is a transaction of its own; a scan that breaks off is begun again by the next and forgets
nothing. What the requests cost is booked.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dedup.values import Span
from tiering.catalog import object_moves, objects
from tiering.catalog.objects import CLASS_NO, Seen, packed_etag
from tiering.clock import NS_PER_S
from tiering.errors import CatalogBusy, ConfigError
from tiering.jobs.bucket_care import Care, alone, bucket_options, caring
from tiering.jobs.context import Context
from tiering.jobs.inventory import Manifest, Passed, check_file, local_file, parse_manifest, read_file
from tiering.jobs.object_access import read_access_logs
from tiering.jobs.object_recovery import recover_moves
from tiering.jobs.object_savings import accrue_savings
from tiering.stores.base import ObjectInfo
from tiering.stores.nameless import Nameless, open_nameless
from tiering.stores.s3_bucket import ForeignBucket

_PAGES = 20  # of a listing, 1,000 objects each, in one transaction
_FETCH_BYTES = 16 * 2**20
_FORGET_ROWS = 20_000
_NO_TIME = 1 << 62  # a listing is newer than all that is known


@dataclass(slots=True)
class BucketScanReport:
    """What a scan saw."""

    bucket: str
    objects: int = 0
    bytes: int = 0
    forgotten: int = 0
    """Objects that are not there any more."""
    access_logs: int = 0
    notes: list[str] = field(default_factory=list)
    requests: int = 0
    is_whole: bool = True
    """False where it was interrupted."""


def scan_bucket(ctx: Context, name: str) -> BucketScanReport:
    """Bring the catalog's objects of a bucket up to date. Raises StoreError, ConfigError (inventory)."""
    report = BucketScanReport(name)
    with caring(ctx, name, reason="scan") as care:
        _recover(ctx, care)
        accrue_savings(ctx, care)
        with ctx.catalog.write() as tx:
            scan_no = objects.begin_scan(tx, care.row.bucket_id)
        passed = Passed()
        as_of_s = _NO_TIME
        if care.config.inventory:
            manifest = _manifest(ctx, care)
            as_of_s = manifest.as_of_s
            pages = _inventory_pages(ctx, care, manifest, passed)
        else:
            pages = _listed_pages(care)
        ctx.progress.start(f"scan {care.config.url}")
        for page in pages:
            with ctx.catalog.write() as tx:
                objects.write_page(tx, care.row.bucket_id, page, scan_no=scan_no, as_of_s=as_of_s)
            report.objects += len(page)
            seen_bytes = sum(row[1] for row in page)
            report.bytes += seen_bytes
            ctx.progress.advance(byte_count=seen_bytes, files=len(page))
            if ctx.stop.is_set():
                report.is_whole = False
                break
        ctx.progress.finish()
        if report.is_whole:
            _end(ctx, care, report, scan_no=scan_no, as_of_s=as_of_s)
        if care.config.access_logs or care.config.cloudtrail:
            report.access_logs = read_access_logs(ctx, care)
        _say_passed(report, passed)
    report.requests = care.asked.total()
    return report


def _recover(ctx: Context, care: Care) -> None:
    """Book what a run that died had changed, before the listing shows it as somebody else's change."""
    with ctx.catalog.read() as tx:
        if not object_moves.under_way(tx, care.row.bucket_id):
            return
    try:
        with alone(ctx, care.config.name):
            recover_moves(ctx, care)
    except CatalogBusy:
        return  # it is at work: what it has changed it will book itself


def _end(ctx: Context, care: Care, report: BucketScanReport, *, scan_no: int, as_of_s: int) -> None:
    while True:
        with ctx.catalog.write() as tx:
            gone = objects.forget_unseen(tx, care.row.bucket_id, scan_no=scan_no, as_of_s=as_of_s, limit=_FORGET_ROWS)
            if not gone:
                objects.end_scan(tx, care.row.bucket_id)
        report.forgotten += gone
        if not gone:
            return


def _listed_pages(care: Care) -> Iterator[list[Seen]]:
    page: list[Seen] = []
    for number, listed in enumerate(care.remote.pages(care.config.prefix), start=1):
        page += [_seen(item) for item in listed]
        if number % _PAGES == 0:
            yield page
            page = []
    yield page


def _seen(item: ObjectInfo) -> Seen:
    number = CLASS_NO.get(item.storage_class, CLASS_NO["OTHER"])
    return item.key.encode(), item.size_bytes, number, packed_etag(item.etag), item.modified_ns // NS_PER_S, None, 0


def _manifest(ctx: Context, care: Care) -> Manifest:
    where = care.config.inventory
    if where.startswith("s3://"):
        bucket, _, key = where.removeprefix("s3://").partition("/")
        text = care.bucket(bucket, bucket_options(care.config), ctx).read(key)
    else:
        text = Path(where).read_bytes()
    manifest = parse_manifest(text, where)
    if manifest.bucket != care.config.bucket:
        raise ConfigError(
            f"{where} is an inventory of {manifest.bucket}, not of {care.config.bucket}", now="nothing was noted"
        )
    return manifest


def _inventory_pages(ctx: Context, care: Care, manifest: Manifest, passed: Passed) -> Iterator[list[Seen]]:
    is_remote = care.config.inventory.startswith("s3://")
    for file in manifest.files:
        if not is_remote:
            path = local_file(Path(care.config.inventory).parent, file.key)
            check_file(path, file)
            yield from read_file(path, manifest, care.config.prefix, passed)
            continue
        holder = care.bucket(manifest.holder, bucket_options(care.config), ctx)
        with open_nameless(Path(ctx.config.spool_dir)) as fetched:
            _fetch(holder, file.key, file.size_bytes, fetched)
            path = Path(f"/proc/self/fd/{fetched.fileno()}")
            check_file(path, file)
            yield from read_file(path, manifest, care.config.prefix, passed)


def _fetch(holder: ForeignBucket, key: str, size_bytes: int, file: Nameless) -> None:
    for start in range(0, size_bytes, _FETCH_BYTES):
        data = memoryview(holder.read(key, Span(start, min(_FETCH_BYTES, size_bytes - start))))
        while data:
            data = data[file.write(data) :]


def _say_passed(report: BucketScanReport, passed: Passed) -> None:
    if passed.old_versions:
        report.notes.append(
            f"{passed.old_versions} older versions, {passed.old_bytes} bytes, are billed too and not under care"
        )
    if passed.delete_markers:
        report.notes.append(f"{passed.delete_markers} delete markers")
