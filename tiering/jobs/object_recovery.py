"""Finishes the books of class changes that a run which died had under way: what was done is noted and booked, once."""

from itertools import groupby

from tiering.catalog import object_moves, objects
from tiering.catalog.object_moves import Moved, MoveRow
from tiering.catalog.objects import CLASSES, ObjectFacts, packed_etag
from tiering.errors import ObjectMissing
from tiering.jobs.bucket_care import Care, book_usage
from tiering.jobs.context import Context
from tiering.jobs.object_change import once
from tiering.stores.s3_bucket import Look


def recover_moves(ctx: Context, care: Care) -> tuple[int, int]:
    """Look at every object that was claimed; return (changes found done, nano-dollars booked).

    A change that was made is booked as a look, a copy, and what the old class asks; one that was not is given up, and
    the next plan decides anew. Looks of the run that died, at objects it then did not change, stay out of the books.
    """
    with ctx.catalog.read() as tx:
        rows = object_moves.under_way(tx, care.row.bucket_id)
    done = booked = 0
    for run, group in groupby(sorted(rows, key=lambda row: (row.run, row.key)), key=lambda row: row.run):
        found, nano = _recover_batch(ctx, care, run, list(group))
        done += found
        booked += nano
    return done, booked


def _recover_batch(ctx: Context, care: Care, run: str, rows: list[MoveRow]) -> tuple[int, int]:
    looks = {row.key: _look(care, row.key) for row in rows}
    usage = care.meter.take()
    moved: list[Moved] = []
    retrieval = early = 0
    with ctx.catalog.write() as tx:
        for row in rows:
            look, facts = looks[row.key], objects.get(tx, care.row.bucket_id, row.key)
            if look is None:
                object_moves.forget(tx, care.row.bucket_id, row.key)
            elif facts is not None and _was_done(row, look, facts):
                source = CLASSES[facts[2]]
                moved.append(Moved(row.key, facts[2], row.target_no, packed_etag(look.etag), look.modified_s))
                care.remote.count("head", source)
                care.remote.count("copy", CLASSES[row.target_no])
                read, left = once(care.book, source=source, size=facts[1], since_s=facts[5], now_s=row.started_s)
                retrieval += int(read)
                early += int(left)
        care.meter.give_back(usage)
        object_moves.settle(tx, care.row.bucket_id, [row.key for row in rows], moved)
        nano = book_usage(
            tx,
            care,
            care.meter.take(),
            reason=f"{len(moved)} class changes of a run that died",
            retrieval=retrieval,
            early=early,
            op_id=f"objects:{run}:recovered",
        )
    return len(moved), nano


def _was_done(row: MoveRow, look: Look, facts: ObjectFacts) -> bool:
    """Whether the object stands in the class it was claimed for, and did not in the catalog."""
    return look.storage_class == CLASSES[row.target_no] and facts[2] != row.target_no


def _look(care: Care, key: bytes) -> Look | None:
    try:
        return care.remote.look(key.decode())
    except ObjectMissing:
        return None
