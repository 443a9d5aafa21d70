"""Deletes originals whose stored copies are proven: the only job that deletes in a bucket under care.

P1, object by object: its chunks are in packs that the store acknowledged, its recipe and the commit are in a durable
segment, its copy was read back whole a moment ago, and the object deleted is the version that was read (If-Match, and
only where the server was seen to heed it). Then: "offline" is committed, the segment that says so is durable, the
object is deleted, costs are booked. Kill points: objects.proven, .offline, .flushed, .deleted, .booked. A run that dies
after .offline leaves originals standing that the next run finds and settles; none is ever gone that no segment calls
stored.
"""

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from tiering.catalog import commit, objects, outbox, segments
from tiering.catalog.objects import STORED, ObjectFacts, etag_text
from tiering.catalog.values import FileRow, FileState, PlacedFile
from tiering.clock import NS_PER_S
from tiering.errors import CatalogBusy, FrostlineError, ObjectExists, ObjectMissing, StoreDenied, StoreError
from tiering.jobs import segments as segment_job
from tiering.jobs.bucket_care import Care, book_usage
from tiering.jobs.context import Context
from tiering.jobs.object_change import once
from tiering.jobs.object_identity import identity_of, identity_of_facts
from tiering.jobs.object_proof import faults_of_copies
from tiering.jobs.object_rows import identity_of_row, note_standing

STANDS = "another version stands by now; it stays"
NOT_DURABLE = "no durable segment says yet that it is stored; its original stays"


class Fate(Enum):
    """What became of one original."""

    DELETED = "deleted"
    GONE = "gone"
    """Somebody else deleted it."""
    STAYS = "stays"
    UNKNOWN = "unknown"
    """The store failed: it stands, or not."""


@dataclass(slots=True)
class ReleaseReport:
    """What was deleted."""

    deleted: int = 0
    bytes_deleted: int = 0
    spent_nano: int = 0
    kept: list[tuple[bytes, str]] = field(default_factory=list)
    """(key, why its original stays)."""


def obstacle_to_deletion(ctx: Context, care: Care) -> str:
    """Return why no original may be deleted here, as a sentence; "" where nothing is in the way.

    Writes and deletes one empty object of our own, to see whether the server heeds conditions.
    """
    kept = care.remote.keeps_versions()
    if kept:
        return (
            f"{care.remote.url} keeps versions ({kept}): a deleted original would stay as a noncurrent version and be "
            "billed as before, now beside its stored copy. Nothing was deleted; a lifecycle rule that ends noncurrent "
            "versions, or a bucket without versioning, would let originals go"
        )
    if care.remote.has_access_lists():
        return (
            f"{care.remote.url} lets objects have access lists of their own, which could not be put back. Nothing was "
            "deleted; set its object ownership to BucketOwnerEnforced"
        )
    if not care.remote.heeds_conditional_deletes(care.config.prefix):
        return (
            f"{care.config.url}: the server does not heed If-Match on a deletion: what somebody writes at the same "
            "moment could be lost. Nothing was deleted"
        )
    return ""


def delete_originals(
    ctx: Context, care: Care, found: Sequence[tuple[FileRow, ObjectFacts]], pool: ThreadPoolExecutor
) -> ReleaseReport:
    """Delete the originals of *found*, dual rows with what the scan saw of them, where each is proven.

    The caller has seen to obstacle_to_deletion(). Raises what stores raise after settling what was done.
    """
    report = ReleaseReport()
    proven = _proven(ctx, found, report)
    ctx.step("objects.proven")
    op_id = f"originals:{secrets.token_hex(8)}"
    going = _make_offline(ctx, proven, report, op_id=op_id)
    if not going:
        return report
    ctx.step("objects.flushed")
    fates = list(pool.map(lambda pair: _delete(care, pair[1]), going))
    ctx.step("objects.deleted")
    _settle(ctx, care, going, fates, report, op_id=op_id)
    ctx.step("objects.booked")
    for _, error in fates:
        if error is not None:
            raise error
    return report


def _proven(
    ctx: Context, found: Sequence[tuple[FileRow, ObjectFacts]], report: ReleaseReport
) -> list[tuple[FileRow, ObjectFacts]]:
    """Return those whose copy was read back whole and is in a durable segment."""
    by_id = {row.file_id: (row, facts) for row, facts in found}
    with ctx.catalog.read() as tx:
        through = segments.durable_through(tx)
    durable = [
        row
        for row, _ in by_id.values()
        if row.state is FileState.DUAL and row.stored_seq is not None and row.stored_seq <= through
    ]
    faults: Mapping[int, str] = faults_of_copies(ctx, durable)
    proven = []
    for file_id, (row, facts) in by_id.items():
        fault = faults.get(file_id, NOT_DURABLE)
        if fault:
            report.kept.append((facts[0], fault))
        else:
            proven.append((row, facts))
    return proven


def _make_offline(
    ctx: Context, proven: Sequence[tuple[FileRow, ObjectFacts]], report: ReleaseReport, *, op_id: str
) -> list[tuple[FileRow, ObjectFacts]]:
    """Commit that the originals are about to go, and make the segment that says so durable; return whose may go."""
    if not proven:
        return []
    placed = [PlacedFile(row.file_id, identity_of_row(row)) for row, _ in proven]
    with ctx.catalog.write() as tx:
        done = set(commit.set_offline(tx, placed, op_id=op_id, reason="originals deleted"))
        newest = outbox.last_seq(tx)
    ctx.step("objects.offline")
    going = [(row, facts) for row, facts in proven if row.file_id in done]
    try:
        segment_job.flush(ctx)
        with ctx.catalog.read() as tx:
            is_there = segments.durable_through(tx) >= newest
    except CatalogBusy:
        is_there = False
    except FrostlineError:
        note_standing(ctx, [row for row, _ in going])
        raise
    if not is_there:
        note_standing(ctx, [row for row, _ in going])
        report.kept += [(facts[0], NOT_DURABLE) for _, facts in going]
        return []
    return going


def _delete(care: Care, facts: ObjectFacts) -> tuple[Fate, StoreError | None]:
    """Delete one original; looked at a moment before, since new metadata on the same bytes leave the ETag as it was."""
    try:
        look = care.remote.look(facts[0].decode())
        if identity_of(look.etag, look.size_bytes, look.modified_s) != identity_of_facts(facts):
            return Fate.STAYS, None
        care.remote.delete(facts[0].decode(), etag_text(facts[3]))
    except ObjectMissing:
        return Fate.GONE, None
    except ObjectExists:
        return Fate.STAYS, None
    except StoreDenied as error:
        return Fate.STAYS, error
    except StoreError as error:
        return Fate.UNKNOWN, error
    return Fate.DELETED, None


def _settle(
    ctx: Context,
    care: Care,
    going: Sequence[tuple[FileRow, ObjectFacts]],
    fates: Sequence[tuple[Fate, StoreError | None]],
    report: ReleaseReport,
    *,
    op_id: str,
) -> None:
    """Note what is gone and book what that costs; what stands is dual again. What is not known stays offline: the next
    run looks.
    """
    ended = [pair for pair, (fate, _) in zip(going, fates, strict=True) if fate in {Fate.DELETED, Fate.GONE}]
    stays = [pair for pair, (fate, _) in zip(going, fates, strict=True) if fate is Fate.STAYS]
    usage = care.meter.take()
    try:
        with ctx.catalog.write() as tx:
            objects.note_stored(tx, care.row.bucket_id, [(facts[0], facts[2]) for _, facts in ended])
            now_s = tx.now_ns // NS_PER_S
            early = sum(_early(care, facts, now_s) for _, facts in ended)
            report.spent_nano += book_usage(
                tx, care, usage, reason=f"{len(ended)} originals deleted", early=int(early), op_id=f"{op_id}:requests"
            )
    except FrostlineError:
        care.meter.give_back(usage)
        raise
    if stays:
        note_standing(ctx, [row for row, _ in stays])
        report.kept += [(facts[0], STANDS) for _, facts in stays]
    report.deleted += len(ended)
    report.bytes_deleted += sum(facts[1] for _, facts in ended)


def _early(care: Care, facts: ObjectFacts, now_s: int) -> int:
    name = objects.CLASSES[facts[2]]
    if name == STORED or name not in care.book.classes:
        return 0
    return int(once(care.book, source=name, size=facts[1], since_s=facts[5], now_s=now_s)[1])
