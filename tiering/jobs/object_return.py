"""Puts stored objects back into their bucket under their keys, with all they said of themselves: buckets restore.

Only where no object stands: nothing is ever replaced (If-None-Match). The stored copy stays as it is, so that deleting
the original again costs no reading. What S3 sets itself cannot be put back: the date, the version id, and the ETag of
what was uploaded in other parts or is encrypted by KMS.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, Queue
from threading import Event, Thread

from dedup.fingerprint import FileDigest
from dedup.values import Digest, Recipe, Span
from tiering.catalog import commit, files, objects, packs, recipes
from tiering.catalog.objects import CLASS_NO, packed_etag
from tiering.catalog.values import FileRow, FileState, Location, PlacedFile
from tiering.errors import FrostlineError, ObjectExists, UsageError
from tiering.jobs import tickets
from tiering.jobs.bucket_care import Care, alone, book_usage, caring
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.fetch import Interrupted, cold_packs
from tiering.jobs.fetch_sinks import Buffer
from tiering.jobs.object_identity import identity_of
from tiering.jobs.object_ingest import LISTED
from tiering.jobs.object_rows import Shelter, shelter_of
from tiering.jobs.object_savings import accrue_savings
from tiering.jobs.object_words import original_of
from tiering.jobs.stored_bytes import read_in_order
from tiering.jobs.stored_recipes import read_recipes
from tiering.stores.s3_bucket import Changed

PART_BYTES = 64 << 20
READ_BYTES = 16 << 20
MAX_PARTS = 10_000
ROWS = 500


@dataclass(slots=True)
class ReturnReport:
    """What was put back."""

    bucket: str
    objects_returned: int = 0
    bytes_returned: int = 0
    standing: int = 0
    """Chosen, and in the bucket already."""
    usd_nano: int = 0
    skipped_objects: list[tuple[str, str]] = field(default_factory=list)
    skipped: int = 0
    left: int = 0

    @property
    def exit_code(self) -> int:
        """3 where something was skipped."""
        return 3 if self.skipped else 0


@dataclass(frozen=True, slots=True)
class ReturnPreview:
    """What would be put back."""

    bucket: str
    objects: int
    bytes: int


def preview_return(ctx: Context, name: str, prefixes: Sequence[str]) -> ReturnPreview:
    """Return what return_objects() would do now."""
    with caring(ctx, name, reason="objects put back") as care:
        _, shelter = shelter_of(ctx, care)
        count = size_bytes = 0
        for row in _offline(ctx, shelter, _wanted(care, prefixes)):
            count, size_bytes = count + 1, size_bytes + row.size
    return ReturnPreview(name, count, size_bytes)


def return_objects(ctx: Context, name: str, prefixes: Sequence[str]) -> ReturnReport:
    """Put back the objects of a bucket whose originals were deleted: all, or whose keys begin with one of *prefixes*.

    An object is dual again when it stands in the bucket. Raises WaitingOnRestore with a ticket for what is archived,
    after the rest; UsageError; what stores raise, after booking what was done.
    """
    report = ReturnReport(name)
    with caring(ctx, name, reason="objects put back") as care:
        with alone(ctx, name):
            accrue_savings(ctx, care)
            ctx, shelter = shelter_of(ctx, care)
            cold: list[int] = []
            for row in _offline(ctx, shelter, _wanted(care, prefixes)):
                if ctx.stop.is_set():
                    report.left += 1
                    continue
                _put_back(ctx, care, shelter, row, cold=cold, report=report)
            charge(ctx, reason="objects put back")
        if cold:
            ticket = tickets.request(ctx, [], by=ctx.owner, reason=f"objects of {name}", recipe_nos=cold)
            raise tickets.waiting(ticket)
    return report


def _wanted(care: Care, prefixes: Sequence[str]) -> tuple[bytes, ...]:
    begin = care.config.url.rstrip("/") + "/"
    below = [prefix.removeprefix(begin) for prefix in prefixes]
    if any(prefix.startswith("s3://") for prefix in below):
        raise UsageError(f"an object to put back is not in {care.config.url}", now="nothing was done")
    return tuple(prefix.encode() for prefix in below) or (b"",)


def _offline(ctx: Context, shelter: Shelter, prefixes: tuple[bytes, ...]) -> Iterator[FileRow]:
    after = 0
    while True:
        with ctx.catalog.read() as tx:
            page = files.by_state(tx, [FileState.OFFLINE], root_id=shelter.root.root_id, after_id=after, limit=ROWS)
        if not page:
            return
        yield from (row for row in page if row.path.startswith(prefixes))
        after = page[-1].file_id


def _put_back(
    ctx: Context, care: Care, shelter: Shelter, row: FileRow, *, cold: list[int], report: ReturnReport
) -> None:
    key = shelter.key(row).decode()
    recipe, known = _recipe(ctx, row)
    if recipe is None:
        cold.append(row.recipe_no or 0)
        return
    dress = original_of(recipe).dress
    part_bytes = max(PART_BYTES, -(-recipe.size // MAX_PARTS))
    body = _pieces(ctx, recipe, known, part_bytes)
    try:
        changed = care.remote.put_back(key, dress, body, size_bytes=recipe.size, part_bytes=part_bytes)
    except ObjectExists:
        standing = _own(care, key, recipe)
        if standing is None:
            _skip(report, key, "an object stands there; it was left as it is")
            return
        changed = standing
    ctx.step("objects.returned")
    now = identity_of(changed.etag, recipe.size, changed.modified_s)
    usage = care.meter.take()
    with ctx.catalog.write() as tx:
        op_id = f"returned:{secrets.token_hex(8)}"
        commit.set_dual(tx, [PlacedFile(row.file_id, now)], op_id=op_id, reason="put back into its bucket")
        objects.note_returned(
            tx, care.row.bucket_id, key.encode(), size=recipe.size, etag=packed_etag(changed.etag),
            class_no=CLASS_NO.get(dress.storage_class, CLASS_NO["OTHER"]), modified_s=changed.modified_s,
        )  # fmt: skip
        report.usd_nano += book_usage(tx, care, usage, reason="an object put back", op_id=f"{op_id}:requests")
    report.objects_returned += 1
    report.bytes_returned += recipe.size


def _own(care: Care, key: str, recipe: Recipe) -> Changed | None:
    """Return what stands at *key* if it is the wanted object, as a run that died left it: it is read and compared."""
    look = care.remote.look(key)
    if look.size_bytes != recipe.size:
        return None
    said = original_of(recipe).dress
    if (look.storage_class, look.words, care.remote.tags_of(key)) != (said.storage_class, said.words, said.tags):
        return None
    whole = FileDigest()
    for start in range(0, recipe.size, READ_BYTES):
        whole.update(care.remote.fetch(key, look.etag, Span(start, min(READ_BYTES, recipe.size - start))).data)
    return Changed(look.etag, look.modified_s) if whole.digest() == recipe.digest else None


def _recipe(ctx: Context, row: FileRow) -> tuple[Recipe | None, Mapping[Digest, Location]]:
    """Return the recipe and where its chunks are; no recipe where some are archived."""
    with ctx.catalog.read() as tx:
        stored = recipes.get(tx, row.recipe_no or 0)
        known = packs.locate(tx, row.recipe_no or 0)
        rows = packs.by_numbers(tx, {location.block.pack_no for location in known.values()})
    assert stored is not None  # an offline row has one
    if cold_packs(ctx, rows.values()):
        return None, known
    recipe = read_recipes(ctx, [stored])[stored.recipe_no]
    if isinstance(recipe, FrostlineError):
        raise recipe
    return recipe, known


def _pieces(ctx: Context, recipe: Recipe, known: Mapping[Digest, Location], part_bytes: int) -> Iterator[bytes]:
    """Yield the verified bytes of a whole file in pieces of *part_bytes*; one is held while the next is read."""
    ready: Queue[bytes | BaseException | None] = Queue(1)
    given_up = Event()

    def read() -> None:
        held = bytearray()

        def write(data: Buffer) -> None:
            if given_up.is_set():
                raise Interrupted("nobody wants the rest")
            held.extend(data)
            while len(held) >= part_bytes:
                ready.put(bytes(held[:part_bytes]))
                del held[:part_bytes]

        try:
            read_in_order(ctx, recipe, known, write)
            if held or not recipe.size:
                ready.put(bytes(held))
            ready.put(None)
        except BaseException as error:  # noqa: BLE001  # handed to the thread that waits
            ready.put(error)

    reader = Thread(target=read, name="frostline-return", daemon=True)
    reader.start()
    try:
        while (piece := ready.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        given_up.set()
        while reader.is_alive():  # it may wait for room
            with suppress(Empty):
                ready.get(timeout=0.05)


def _skip(report: ReturnReport, key: str, reason: str) -> None:
    report.skipped += 1
    if len(report.skipped_objects) < LISTED:
        report.skipped_objects.append((key, reason))
