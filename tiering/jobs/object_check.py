"""Compares stored objects with what stands in their buckets: the part of audit that disk_check is for files.

Lists each bucket once. Memory: one bit for each file id, and a page of the listing.
"""

from tiering.catalog import files
from tiering.catalog.values import FileRow, FileState
from tiering.clock import NS_PER_S
from tiering.errors import FrostlineError
from tiering.jobs.bucket_care import Care, caring
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.findings import Findings
from tiering.jobs.object_identity import identity_of, is_same
from tiering.jobs.object_rows import Shelter
from tiering.stores.base import ObjectInfo

PAGE = 2000


def check_buckets(ctx: Context, found: Findings) -> None:
    """Check every dual and offline object of every bucket; a note where a bucket cannot be asked."""
    configured = {config.url.rstrip("/").encode(): config.name for config in ctx.config.buckets}
    for root in ctx.buckets:
        name = configured.get(root.path)
        shown = root.path.decode()
        if name is None:
            found.note(f"bucket: {shown} is configured no more and was not looked at; what is stored of it is kept")
            continue
        try:
            with caring(ctx, name, reason="audit") as care:
                _check_bucket(ctx, care, root, found)
        except FrostlineError as error:
            found.note(f"bucket: {shown} was not looked at: {error.what}")


def _check_bucket(ctx: Context, care: Care, root: OpenRoot, found: Findings) -> None:
    shelter = Shelter(root, care.config.prefix.encode())
    seen = bytearray()
    for page in care.remote.pages(care.config.prefix):
        standing = {shelter.place(item.key.encode()): item for item in page}
        with ctx.catalog.read() as tx:
            rows = files.at_paths(tx, root.root_id, standing)
        for place, row in rows.items():
            _mark(seen, row.file_id)
            _compare(care, shelter, row, standing[place], found)
    after = 0
    while True:
        with ctx.catalog.read() as tx:
            rows_page = files.by_state(tx, [FileState.DUAL], root_id=root.root_id, after_id=after, limit=PAGE)
        if not rows_page:
            return
        for row in rows_page:
            if not _is_marked(seen, row.file_id):
                found.add(f"bucket: {_shown(care, shelter, row)} is dual in the catalog and not there; scan again")
        after = rows_page[-1].file_id


def _compare(care: Care, shelter: Shelter, row: FileRow, item: ObjectInfo, found: Findings) -> None:
    shown = _shown(care, shelter, row)
    now = identity_of(item.etag, item.size_bytes, item.modified_ns // NS_PER_S)
    if row.state is FileState.DUAL and not is_same(row, now):
        found.add(f"bucket: {shown} changed since it was stored; scan again")
    elif row.state is FileState.OFFLINE and is_same(row, now):
        found.note(f"bucket: the original of {shown} was to be deleted and still stands; the next run settles it")
    elif row.state is FileState.OFFLINE:
        found.add(f"bucket: {shown} is offline in the catalog and another object stands there; scan again")


def _shown(care: Care, shelter: Shelter, row: FileRow) -> str:
    return f"{care.remote.url}/{shelter.key(row).decode()}"


def _mark(seen: bytearray, number: int) -> None:
    at, bit = divmod(number, 8)
    if at >= len(seen):
        seen.extend(bytes(max(at + 1 - len(seen), len(seen))))
    seen[at] |= 1 << bit


def _is_marked(seen: bytearray, number: int) -> bool:
    at, bit = divmod(number, 8)
    return at < len(seen) and bool(seen[at] >> bit & 1)
