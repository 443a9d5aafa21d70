"""release: free the hot bytes of files whose stored copy is proven.

Called by cycle, apply and `migrate --release`; the daemon's next pass finishes what was left parked. A batch at a
time: safety verdict, intent rows, swaps, parking time, second look, commit. The verdict is policies.safety's, the
swap is tiering.hot.parking's; here is the order in which the steps become durable.

Steps of a journal row: intent (the swap may have begun: it is undone) -> parked (all names are exchanged: it is
finished).
"""

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tiering.catalog import commit, journal
from tiering.catalog.values import JournalKind, JournalRow, PlacedFile
from tiering.clock import NS_PER_S
from tiering.config.sections import PlaceholderKind
from tiering.errors import SourceBusy, SourceError
from tiering.hot import marker, names, paths
from tiering.hot.lease import LeaseUnavailable
from tiering.hot.parking import Parked, Slot, Undone, begin, undo
from tiering.hot.placeholder import format_target
from tiering.hot.refusal import Surroundings
from tiering.jobs import spots
from tiering.jobs.candidates import Candidate, candidates, check, root_settings
from tiering.jobs.context import Context
from tiering.jobs.parked import finish_rows, slots_of
from tiering.jobs.put_back import note_put_back
from tiering.jobs.reports import JobReport, Skip
from tiering.jobs.tally import FileItem, Tally

BATCH_FILES = 1000  # one transaction of intents, one fsync per folder, one commit: some two seconds of swaps
LEASE_NS = 900 * NS_PER_S  # far beyond what a batch takes; reconcile looks at the process as well


@dataclass(frozen=True, slots=True)
class _Begun:
    """What became of one swap."""

    claim: journal.Claim
    candidate: Candidate
    result: Parked | Undone | str
    """A string says why it was not even tried."""
    without_lease: bool = False


def release(ctx: Context, items: Iterable[FileItem], *, wait_parked: bool) -> JobReport:
    """Free the hot bytes of *items* where the safety verdict allows it; the others are left alone, with reasons.

    With *wait_parked* returns when the parking time is over and the bytes are freed or put back. Without, parked
    files are left to finish_parked() of the daemon or of a later run, which counts them. All names of a hard link go
    together. Running it again is harmless. Raises RootMissing, and what ends a job (store, catalog).
    """
    tally = Tally.begin(ctx)
    ours: set[str] = set()
    checked: set[int] = set()
    for batch in _batches(items):
        for root_id in {item.root_id for item in batch} - checked:
            root = ctx.root(root_id)
            marker.check_marker(root.path, root.marker)
            checked.add(root_id)
        ours |= _park_batch(ctx, candidates(ctx, batch, tally), tally, wait_parked=wait_parked)
        if ctx.stop.is_set():
            tally.notes.add("stopped before the end; run it again to go on")
            break
    if ours and wait_parked:
        ctx.clock.sleep(ctx.config.release.park_s)
        finish_rows(ctx, ours, tally)
    elif ours:
        park_s = ctx.config.release.park_s
        tally.notes.add(f"{len(ours)} files are parked; their bytes are freed by the next pass after {park_s:g} s")
    return tally.report()


def finish_parked(ctx: Context) -> JobReport:
    """Free, or put back, every file whose parking time is over and that no other live process is about to finish."""
    tally = Tally.begin(ctx)
    with ctx.catalog.write() as tx:
        rows = journal.of_kind(tx, JournalKind.RELEASE, step="parked")
        mine = {row.op_id for row in rows if _is_due(ctx, row) and row.owner == ctx.owner}
        for row in rows:
            if row.op_id in mine or not _is_due(ctx, row) or row.lease_until_ns > tx.now_ns:
                continue
            if journal.take_over(tx, row.op_id, owner=ctx.owner, until_ns=tx.now_ns + LEASE_NS):
                mine.add(row.op_id)
    finish_rows(ctx, mine, tally)
    return tally.report()


def resume(ctx: Context, row: JournalRow) -> str:
    """Bring a release of a dead process on, and say how: "undone", "finished", or "parked" (its time is not over
    yet).

    The caller has made the row its own (journal.take_over). May run again. Raises SpotLost when the file cannot be
    found; then the row stays.
    """
    if row.step == "parked":
        if not _is_due(ctx, row):
            return "parked"
        finish_rows(ctx, {row.op_id}, Tally.begin(ctx))
        return "finished"
    detail = json.loads(row.detail)
    with slots_of(ctx, row.op_id, detail) as (slots, there):
        for slot in slots:
            inode = (os.fstat(slot.dir_fd).st_dev, detail["identity"][1])
            undo([slot], inode=inode, op=row.op_id)
            os.fsync(slot.dir_fd)
        note_put_back(ctx, [spot.file_id for spot in there], op_id=row.op_id)
    with ctx.catalog.write() as tx:
        journal.finish(tx, [row.op_id])
    return "undone"


def _is_due(ctx: Context, row: JournalRow) -> bool:
    return bool(json.loads(row.detail)["until_ns"] <= ctx.clock.now_ns())


def _batches(items: Iterable[FileItem]) -> Iterator[list[FileItem]]:
    batch: list[FileItem] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH_FILES:
            yield batch
            batch = []
    if batch:
        yield batch


def _park_batch(ctx: Context, found: Sequence[Candidate], tally: Tally, *, wait_parked: bool) -> set[str]:
    """Swap the files of one batch; return the op ids of those that are parked now."""
    claims = _claim(ctx, found, tally)
    if not claims:
        return set()
    ctx.step("release.intent")
    surroundings = Surroundings()
    begun = [_swap(ctx, claim, candidate, surroundings) for claim, candidate in claims]
    # Before the row says parked: from then on a crash leads forward, to the unlink.
    spots.sync_directories(ctx, [(row.root_id, row.dir) for _, candidate in claims for row in candidate.rows])
    _note(ctx, begun, tally, wait_parked=wait_parked)
    ctx.step("release.parked")
    return {item.claim.op_id for item in begun if isinstance(item.result, Parked)}


def _claim(ctx: Context, found: Sequence[Candidate], tally: Tally) -> list[tuple[journal.Claim, Candidate]]:
    """Write the intents, durably; return the granted ones."""
    base = secrets.token_hex(8)
    wanted: list[tuple[journal.Claim, Candidate]] = []
    for number, candidate in enumerate(found):
        try:
            with spots.opened(ctx, candidate.rows) as dir_fds:
                there = [spots.spot_of(row, fd) for row, fd in zip(candidate.rows, dir_fds, strict=True)]
        except SourceError as error:
            tally.skip(candidate.shown, error.what, Skip.CHANGED)
            continue
        detail = {
            "spots": [spot.as_json() for spot in there],
            "targets": [None if target is None else os.fsdecode(target) for target in _targets(ctx, candidate)],
            "identity": spots.identity_json(candidate.identity),
            "shown": candidate.shown,
        }
        op_id = f"release:{base}-{number}"
        claim = journal.Claim(op_id, JournalKind.RELEASE, candidate.row.file_id, "intent", spots.encode_detail(detail))
        wanted.append((claim, candidate))
    with ctx.catalog.write() as tx:
        claims = [claim for claim, _ in wanted]
        granted = {claim.op_id for claim in journal.claim(tx, claims, owner=ctx.owner, until_ns=tx.now_ns + LEASE_NS)}
    for claim, candidate in wanted:
        if claim.op_id not in granted:
            tally.skip(candidate.shown, "another operation is under way on it", Skip.BUSY)
    return [(claim, candidate) for claim, candidate in wanted if claim.op_id in granted]


def _targets(ctx: Context, candidate: Candidate) -> list[bytes | None]:
    settings = root_settings(ctx.config, ctx.root(candidate.row.root_id).name)
    if settings.placeholder is PlaceholderKind.NONE:
        return [None for _ in candidate.rows]
    return [format_target(ctx.store_id, candidate.recipe.recipe_id, row.name) for row in candidate.rows]


def _swap(ctx: Context, claim: journal.Claim, candidate: Candidate, surroundings: Surroundings) -> _Begun:
    """Judge and exchange one file."""
    without_lease = False
    try:
        with spots.opened(ctx, candidate.rows) as dir_fds:
            slots = [
                Slot(fd, row.name, names.parked(claim.op_id, index), target)
                for index, (fd, row, target) in enumerate(
                    zip(dir_fds, candidate.rows, _targets(ctx, candidate), strict=True)
                )
            ]
            fd = paths.open_file(dir_fds[0], candidate.row.name)
            try:
                without_lease, objection = check(ctx, candidate, fd, surroundings)
                if objection:
                    return _Begun(claim, candidate, objection)
                result = _exchanged(ctx, claim, candidate, fd, slots, without_lease=without_lease)
                return _Begun(claim, candidate, result, without_lease)
            finally:
                os.close(fd)
    except OSError as error:
        return _Begun(claim, candidate, paths.as_source_error(error, candidate.shown).what)
    except SourceError as error:
        return _Begun(claim, candidate, Undone(error.what, None, is_busy=isinstance(error, SourceBusy)))


def _exchanged(
    ctx: Context, claim: journal.Claim, candidate: Candidate, fd: int, slots: Sequence[Slot], *, without_lease: bool
) -> Parked | Undone | str:
    try:
        return begin(fd, slots, expected=candidate.identity, op=claim.op_id, without_lease=without_lease, step=ctx.step)
    except LeaseUnavailable as error:
        return error.what
    except OSError as error:
        undo(slots, inode=candidate.identity.inode, op=claim.op_id)
        return f"its names cannot be exchanged here: {error.strerror}"


def _note(ctx: Context, begun: Sequence[_Begun], tally: Tally, *, wait_parked: bool) -> None:
    """Write what the swaps of a batch came to; the directories are durable by now."""
    with ctx.catalog.write() as tx:
        until_ns = tx.now_ns + int(ctx.config.release.park_s * NS_PER_S)
        parked = [item for item in begun if isinstance(item.result, Parked)]
        others = [item for item in begun if not isinstance(item.result, Parked)]
        journal.advance_all(tx, [(item.claim.op_id, "parked", _parked_detail(item, until_ns)) for item in parked])
        # A process that waits finishes them itself; else they are anybody's as soon as their time is over.
        lease_ns = until_ns + (LEASE_NS if wait_parked else 0)
        journal.extend(tx, [item.claim.op_id for item in parked], owner=ctx.owner, until_ns=lease_ns)
        for item in others:
            if isinstance(item.result, Undone) and item.result.identity is not None:
                # Noted while the lease still stood: the bytes are the stored ones, only ctime moved.
                placed = [PlacedFile(row.file_id, item.result.identity) for row in item.candidate.rows]
                commit.refresh_identity(tx, placed, op_id=item.claim.op_id)
        journal.finish(tx, [item.claim.op_id for item in others])
    for item in others:
        if isinstance(item.result, Undone):
            kind = Skip.BUSY if item.result.is_busy else Skip.CHANGED
            tally.skip(item.candidate.shown, item.result.reason, kind)
        elif isinstance(item.result, str):
            tally.skip(item.candidate.shown, item.result, Skip.REFUSED)


def _parked_detail(item: _Begun, until_ns: int) -> str:
    if not isinstance(item.result, Parked):
        raise TypeError("only a parked file has this detail")
    detail = json.loads(item.claim.detail)
    detail |= {
        "parked": spots.identity_json(item.result.identity),
        "until_ns": until_ns,
        "without_lease": item.without_lease,
    }
    return spots.encode_detail(detail)
