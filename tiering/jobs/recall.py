"""recall: bring offline files back beside their stored copies.

Called by the recall command, by tickets whose archives are warm, and by cycle. Batches: check room, claim, fetch
coalesced over the batch, verify every chunk and every whole file, and only then exchange the placeholder. A failure
leaves placeholder and stored copy as they were. Archived packs: a ticket is opened and the report names it.

Steps of a journal row: claimed (a hidden file may be half built: it is removed) -> assembled (it is whole, durable
and verified: the swap is finished).
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence

from tiering.catalog import commit, journal
from tiering.catalog.transaction import batches
from tiering.catalog.values import JournalRow, PlacedFile
from tiering.errors import IntegrityError
from tiering.hot import marker, names
from tiering.hot.swap import unlink_if_there
from tiering.jobs import spots
from tiering.jobs.arrival import bring_in, finish_swap, standing
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.damage import naming_files
from tiering.jobs.incoming import Incoming, incoming
from tiering.jobs.recall_waiting import Waiting
from tiering.jobs.reports import JobReport
from tiering.jobs.tally import FileItem, Tally

LOOK_UP_ITEMS = 500
BATCH_FILES = 100  # open at once, each with its folder: far below the usual limit of 1024 descriptors
BATCH_BYTES = 512 << 20  # or one larger file: what is fetched between two commits


def recall(
    ctx: Context, items: Iterable[FileItem], *, reason: str, speed: str = "", deadline_ns: int | None = None
) -> JobReport:
    """Bring *items* back; files that cannot be are left as they are, with reasons.

    *items* are taken as they are brought back. Files whose packs are archived are put on one restore ticket (of
    *speed*, or meeting *deadline_ns*), very many on several, named in the report, whose exit code is then 4. Hard links
    come back together, as hard links. Files on the hot disk already count as done. Raises RootMissing, IntegrityError
    after everything else was done if stored bytes are damaged, and store trouble that ends the job.
    """
    tally = Tally.begin(ctx)
    waiting = Waiting(ctx, tally)
    damaged: list[IntegrityError] = []
    checked: set[int] = set()
    ctx.progress.start("recall")
    try:
        for group in batches(items, LOOK_UP_ITEMS):
            for root_id in {item.root_id for item in group} - checked:
                root = ctx.root(root_id)
                marker.check_marker(root.path, root.marker)
                checked.add(root_id)
            ready, cold = incoming(ctx, group, tally)
            waiting.add(cold)
            for batch in _batches(ready):
                damaged = damaged or bring_in(ctx, batch, tally, reason)[:1]
                if ctx.stop.is_set():
                    break
            if ctx.stop.is_set():
                tally.notes.add("stopped before the end; run it again to go on")
                break
        waiting.ask(reason, speed=speed, deadline_ns=deadline_ns)
    finally:
        ctx.progress.finish()
        charge(ctx, reason="recall")
    if damaged:
        raise naming_files(damaged[0], tally.report()) from damaged[0]
    return tally.report()


def resume(ctx: Context, row: JournalRow) -> str:
    """Bring a recall of a dead process to an end, and say how: "undone" or "finished".

    The caller has made the row its own (journal.take_over). May run again. Raises SpotLost; then the row stays.
    """
    detail = json.loads(row.detail)
    known = [spots.Spot.from_json(value) for value in detail["spots"]]
    placed: list[PlacedFile] = []
    with spots.found_again(ctx, row.op_id, known) as found:
        for spot, dir_fd in found:
            index = known.index(spot)
            if row.step == "assembled":
                finish_swap(row.op_id, index, spot, dir_fd, detail)
            unlink_if_there(dir_fd, names.new(row.op_id, index))
            os.fsync(dir_fd)
        for spot, dir_fd in found if row.step == "assembled" else ():
            identity = standing(spot, dir_fd, detail)
            placed += [PlacedFile(spot.file_id, identity)] if identity is not None else []
    with ctx.catalog.write() as tx:
        if placed:
            commit.set_dual(tx, placed, op_id=row.op_id, reason="recall finished after a crash")
        journal.finish(tx, [row.op_id])
    return "finished" if placed else "undone"


def _batches(ready: Sequence[Incoming]) -> Iterator[list[Incoming]]:
    batch: list[Incoming] = []
    size_bytes = 0
    for item in ready:
        if batch and (len(batch) == BATCH_FILES or size_bytes + item.recipe.size > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(item)
        size_bytes += item.recipe.size
    if batch:
        yield batch
