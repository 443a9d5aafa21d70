"""The second half of a release: parked inodes, some time later, are freed or put back.

Used by release at its end, by the daemon's next pass, and by reconcile for what dead processes left. Every step may
run again.
"""

import json
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tiering.catalog import commit, journal
from tiering.catalog.values import JournalRow, PlacedFile
from tiering.errors import SourceError
from tiering.hot import names, paths
from tiering.hot.identity import Identity
from tiering.hot.parking import Finished, Outcome, Slot, finish
from tiering.hot.swap import status_of
from tiering.jobs import spots
from tiering.jobs.context import Context
from tiering.jobs.put_back import note_put_back
from tiering.jobs.reports import Skip
from tiering.jobs.tally import Tally

BATCH_ROWS = 256


def is_due(ctx: Context, row: JournalRow) -> bool:
    """Whether the parking time of a parked file is over."""
    return bool(json.loads(row.detail)["until_ns"] <= ctx.clock.now_ns())


def finish_rows(ctx: Context, rows: Sequence[JournalRow], tally: Tally) -> None:
    """Finish those parked files, BATCH_ROWS at most, in one commit. They are the caller's."""
    ended: list[tuple[JournalRow, list[PlacedFile]]] = []
    for row in rows:
        placed = _finish_one(ctx, row, tally)
        if placed is not None:
            ended.append((row, placed))
    # Before the commit: a row that says freed must not be followed by a parked file after a power cut.
    spots.sync_directories(ctx, [place for row, _ in ended for place in places_of(row)])
    freed = [item for _, placed in ended for item in placed]
    with ctx.catalog.write() as tx:
        if freed:
            commit.set_offline(tx, freed, op_id=f"release:{secrets.token_hex(8)}", reason="released")
        journal.finish(tx, [row.op_id for row, _ in ended])
    ctx.step("release.committed")


def places_of(row: JournalRow) -> list[tuple[int, bytes]]:
    """Return (root id, dir) of every name in a release's journal row."""
    found = [spots.Spot.from_json(value) for value in json.loads(row.detail)["spots"]]
    return [(spot.root_id, spot.dir) for spot in found]


@contextmanager
def slots_of(ctx: Context, op_id: str, detail: dict[str, Any]) -> Iterator[tuple[list[Slot], list[spots.Spot]]]:
    """Hold the folders of a journal row open; yield its slots and spots, without those whose folder was deleted.

    Raises SpotLost.
    """
    known = [spots.Spot.from_json(value) for value in detail["spots"]]
    index_of = {(spot.file_id, spot.name): index for index, spot in enumerate(known)}
    with spots.found_again(ctx, op_id, known) as found:
        slots = []
        for spot, dir_fd in found:
            index = index_of[spot.file_id, spot.name]
            target = detail["targets"][index]
            hidden = names.parked(op_id, index)
            slots.append(Slot(dir_fd, spot.name, hidden, None if target is None else os.fsencode(target)))
        yield slots, [spot for spot, _ in found]


def _finish_one(ctx: Context, row: JournalRow, tally: Tally) -> list[PlacedFile] | None:
    """Return what stands at the names of a freed file, [] if it was put back, None if it must stay parked."""
    detail = json.loads(row.detail)
    shown = detail["shown"]
    try:
        with slots_of(ctx, row.op_id, detail) as (slots, there):
            result = _finished(ctx, row, detail, slots)
            placed = _placed(detail, slots, there)
    except (SourceError, OSError) as error:
        what = error.what if isinstance(error, SourceError) else paths.as_source_error(error, shown).what
        tally.skip(shown, f"stays parked: {what}", Skip.OTHER)
        return None
    if result.outcome in {Outcome.FREED, Outcome.GONE}:
        tally.done += len(detail["spots"])
        tally.bytes_freed += detail["identity"][2]
        return placed
    if result.outcome is Outcome.STILL_PARKED:
        tally.skip(shown, f"stays parked: {result.reason}", Skip.BUSY)
        return None
    if result.outcome is Outcome.CONFLICT:
        kept = os.fsdecode(names.conflict(os.fsencode(os.path.basename(shown)), row.op_id))
        tally.notes.add_of_file(
            f"{shown}: it changed, and its path was replaced or deleted meanwhile; it is kept as {kept}"
        )
    if result.outcome is Outcome.REVERTED:
        note_put_back(ctx, [spot.file_id for spot in there], op_id=row.op_id)
    tally.skip(shown, f"put back: {result.reason}", Skip.BUSY)
    return []


def _finished(ctx: Context, row: JournalRow, detail: dict[str, Any], slots: Sequence[Slot]) -> Finished:
    if not slots:
        return Finished(Outcome.GONE)
    parked = spots.on_device_of(spots.identity_from(detail["parked"]), slots[0].dir_fd)
    return finish(slots, parked=parked, op=row.op_id, without_lease=detail["without_lease"], step=ctx.step)


def _placed(detail: dict[str, Any], slots: Sequence[Slot], there: Sequence[spots.Spot]) -> list[PlacedFile]:
    """Return the identity of each name's placeholder; of the file that was, where a user has removed or replaced
    it.
    """
    old = spots.identity_from(detail["identity"])
    placed = {value["file"]: old for value in detail["spots"]}
    for slot, spot in zip(slots, there, strict=True):
        status = status_of(slot.dir_fd, slot.name)
        if status is not None and stat.S_ISLNK(status.st_mode):
            placed[spot.file_id] = Identity.of(status)
    return [PlacedFile(file_id, identity) for file_id, identity in placed.items()]
