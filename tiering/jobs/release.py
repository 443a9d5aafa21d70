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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiering.catalog import commit, journal
from tiering.catalog.transaction import Tx, batches
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
from tiering.jobs.candidates import Candidate, candidates, check
from tiering.jobs.context import Context
from tiering.jobs.parked import BATCH_ROWS, finish_rows, is_due, slots_of
from tiering.jobs.put_back import note_put_back
from tiering.jobs.reports import JobReport, Skip
from tiering.jobs.standing import Standing
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
    run = _Run(ctx, tally, waits=wait_parked)
    standing = Standing(ctx)
    checked: set[int] = set()
    for batch in batches(items, BATCH_FILES):
        for root_id in {item.root_id for item in batch} - checked:
            root = ctx.root(root_id)
            marker.check_marker(root.path, root.marker)
            checked.add(root_id)
        run.park(candidates(ctx, batch, tally, standing))
        if ctx.stop.is_set():
            tally.notes.add("stopped before the end; run it again to go on")
            break
    run.end()
    return tally.report()


def finish_parked(ctx: Context) -> JobReport:
    """Free, or put back, every file whose parking time is over and that no other live process is about to finish."""
    tally = Tally.begin(ctx)
    after = ""
    while True:
        with ctx.catalog.write() as tx:
            rows = journal.page_of_kind(tx, JournalKind.RELEASE, step="parked", after=after, limit=BATCH_ROWS)
            mine = [row for row in rows if is_due(ctx, row) and _is_mine(ctx, tx, row)]
        if not rows:
            return tally.report()
        if mine:
            finish_rows(ctx, mine, tally)
        after = rows[-1].op_id


def resume(ctx: Context, row: JournalRow) -> str:
    """Bring a release of a dead process on, and say how: "undone", "finished", or "parked" (its time is not over
    yet).

    The caller has made the row its own (journal.take_over). May run again. Raises SpotLost when the file cannot be
    found; then the row stays.
    """
    if row.step == "parked":
        if not is_due(ctx, row):
            return "parked"
        with ctx.catalog.read() as tx:
            current = journal.get(tx, row.op_id)
        if current is not None:
            finish_rows(ctx, [current], Tally.begin(ctx))
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


def _is_mine(ctx: Context, tx: Tx, row: JournalRow) -> bool:
    """Whether a parked file is this process's to finish: its own, or one that no other is about to."""
    if row.owner == ctx.owner:
        return True
    is_free = row.lease_until_ns <= tx.now_ns
    return is_free and journal.take_over(tx, row.op_id, owner=ctx.owner, until_ns=tx.now_ns + LEASE_NS)


class _Run:
    """One call of release(): its parked files stand in the journal under ids of its own, which ascend. Where it waits,
    each is finished when its time is over, while others are being parked: so there are never many, and room comes soon.
    """

    def __init__(self, ctx: Context, tally: Tally, *, waits: bool) -> None:
        self._ctx = ctx
        self._tally = tally
        self._waits = waits
        self._ids = f"release:{secrets.token_hex(8)}-"
        self._number = self._parked = 0
        self._after = ""

    def park(self, found: Sequence[Candidate]) -> None:
        """Swap the files of one batch; finish those parked before whose time is over."""
        first = self._number
        self._number += len(found)
        op_ids = [f"{self._ids}{number:09d}" for number in range(first, self._number)]
        self._parked += _park_batch(self._ctx, found, op_ids, self._tally, wait_parked=self._waits)
        while self._waits and (due := [row for row in self._next() if is_due(self._ctx, row)]):
            self._finish(due)

    def end(self) -> None:
        """Finish the rest when its time is over, or say that it is left to others."""
        park_s = self._ctx.config.release.park_s
        if self._waits and self._next():
            self._ctx.clock.sleep(park_s)
            while rows := self._next():
                self._finish(rows)
        elif self._parked and not self._waits:
            self._tally.notes.add(
                f"{self._parked} files are parked; their bytes are freed by the next pass after {park_s:g} s"
            )

    def _next(self) -> list[JournalRow]:
        with self._ctx.catalog.read() as tx:
            return journal.page_of_kind(
                tx, JournalKind.RELEASE, step="parked", within=self._ids, after=self._after, limit=BATCH_ROWS
            )

    def _finish(self, rows: Sequence[JournalRow]) -> None:
        finish_rows(self._ctx, rows, self._tally)
        self._after = rows[-1].op_id  # what stays parked was told, and is left to the next pass


def _park_batch(
    ctx: Context, found: Sequence[Candidate], op_ids: Sequence[str], tally: Tally, *, wait_parked: bool
) -> int:
    """Swap the files of one batch; return how many are parked now."""
    claims = _claim(ctx, found, op_ids, tally)
    if not claims:
        return 0
    ctx.step("release.intent")
    surroundings = Surroundings()
    begun = [_swap(ctx, claim, candidate, surroundings) for claim, candidate in claims]
    # Before the row says parked: from then on a crash leads forward, to the unlink.
    spots.sync_directories(ctx, [(row.root_id, row.dir) for _, candidate in claims for row in candidate.rows])
    _note(ctx, begun, tally, wait_parked=wait_parked)
    ctx.step("release.parked")
    return sum(isinstance(item.result, Parked) for item in begun)


def _claim(
    ctx: Context, found: Sequence[Candidate], op_ids: Sequence[str], tally: Tally
) -> list[tuple[journal.Claim, Candidate]]:
    """Write the intents, durably; return the granted ones."""
    wanted: list[tuple[journal.Claim, Candidate]] = []
    for op_id, candidate in zip(op_ids, found, strict=True):
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
    settings = ctx.config.root(ctx.root(candidate.row.root_id).name)
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
