"""migrate: copy files out to a cold tier, deduplicated and proven; the hot bytes stay where they are.

Called by cycle, apply and the migrate command. Batches: claim, read and pack with all cores, upload, commit in one
transaction, write the segment. A batch is committed whole or not at all; a file that cannot be read is skipped with a
reason and the rest goes on; what a dead process left claimed is taken over when its lease has run out.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby, repeat
from operator import itemgetter
from typing import Self

from dedup.fingerprint import DEFAULT_FINGERPRINT
from dedup.values import made_of
from tiering.catalog import files, journal
from tiering.catalog.presence import open_filter
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState, JournalKind
from tiering.errors import CatalogBusy
from tiering.hot import marker, paths
from tiering.jobs import segments
from tiering.jobs.batch import HEARTBEAT_S, Batch, BatchRun
from tiering.jobs.charges import charge
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.items import MigrateItem, stored_elsewhere
from tiering.jobs.mentions import Mentions
from tiering.jobs.newcomers import Filter
from tiering.jobs.outgoing import BatchOutcome, Wanted, display_path
from tiering.jobs.references import models_first
from tiering.jobs.reports import JobReport, Skip, Skips
from tiering.jobs.wanted_queue import BATCH_FILES, WantedQueue

# Items are looked up this many at a time, and no batch is of two such groups.
GROUP_ITEMS = BATCH_FILES

_WHY_NOT = {
    FileState.MIGRATING: "is being migrated by another process",
    FileState.OFFLINE: "is offline: its hot bytes are free already",
    FileState.RECALLING: "is being recalled",
    FileState.MISSING: "was not there at the last scan",
}


@dataclass(slots=True)
class _Tally:
    """What has become of the items so far. Two threads count: one looks items up, one has batches committed."""

    ctx: Context
    done: int = 0
    skipped: Skips = field(default_factory=Skips)
    bytes_read: int = 0
    bytes_stored: int = 0
    notes: list[str] = field(default_factory=list)
    mentions: Mentions = field(default_factory=Mentions)
    """Leaders that the items meant: each is stored once, and counts as often as it was asked for."""
    checked: set[int] = field(default_factory=set)
    """Roots whose marker was seen."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def skip(self, item: MigrateItem, reason: str, kind: Skip) -> None:
        path = paths.display(self.ctx.root(item.root_id).path, item.dir, item.name)
        with self.lock:
            self.skipped.add(path, reason, kind)

    def count(self, files: int) -> None:
        with self.lock:
            self.done += files

    def mention(self, file_id: int) -> bool:
        """Count an item that means that leader; False if another did before it: it is stored once."""
        with self.lock:
            is_first = file_id not in self.mentions
            self.done += self.mentions.add(file_id)
        return is_first

    def add(self, outcome: BatchOutcome) -> None:
        with self.lock:
            self.done += self.mentions.store(wanted.row.file_id for wanted in outcome.stored)
            self.mentions.skip(wanted.row.file_id for wanted, _, _ in outcome.skipped)
            for wanted, reason, kind in outcome.skipped:
                self.skipped.add(display_path(self.ctx.root(wanted.row.root_id), wanted.row), reason, kind)
        self.bytes_read += outcome.bytes_read
        self.bytes_stored += outcome.bytes_stored


def migrate(ctx: Context, items: Iterable[MigrateItem], *, fingerprint: str = DEFAULT_FINGERPRINT) -> JobReport:
    """Store every item in its tier and return what was done and what was left alone, with reasons.

    On return each file counted as done is dual and its commit is in a durable segment (unless another process was
    writing one; then that or the next one has it). Items already stored there count as done; those stored on another
    tier are skipped. With ctx.stop set, returns after the files in hand. Raises RootMissing, and whatever ends a job
    (store, space, catalog): batches committed before stay, the one in hand leaves nothing claimed. Running it again
    goes on where it ended.
    """
    started_s = ctx.clock.monotonic_s()
    _free_expired(ctx)
    tally = _Tally(ctx)
    ctx.progress.start("migrate", total_files=len(items) if isinstance(items, Sized) else None)
    try:
        with _Line(ctx, tally, fingerprint) as line:
            for tier, groups in groupby(_groups(items), key=itemgetter(0)):
                line.store(ctx.tier(tier), (_wanted(ctx, group, tally) for _, group in groups))
                if ctx.stop.is_set():
                    tally.notes.append("stopped before the end; run it again to go on")
                    break
    finally:
        ctx.progress.finish()
    return JobReport(
        files_done=tally.done,
        files_skipped=tuple(tally.skipped.listed),
        more_skipped=dict(tally.skipped.more),
        bytes_read=tally.bytes_read,
        bytes_stored=tally.bytes_stored,
        seconds=ctx.clock.monotonic_s() - started_s,
        notes=tuple(tally.notes),
    )


def _free_expired(ctx: Context) -> None:
    """End migrate claims whose lease has run out: there is nothing to undo, their packs are reconcile's."""
    with ctx.catalog.write() as tx:
        rows = journal.of_kind(tx, JournalKind.MIGRATE)
        journal.finish(tx, [row.op_id for row in rows if row.lease_until_ns < tx.now_ns])


def _groups(items: Iterable[MigrateItem]) -> Iterator[tuple[str, list[MigrateItem]]]:
    """Yield (tier, items of that tier), at most GROUP_ITEMS at a time, in the order they came."""
    waiting: dict[str, list[MigrateItem]] = {}
    for item in items:
        group = waiting.setdefault(item.tier, [])
        group.append(item)
        if len(group) >= GROUP_ITEMS:
            yield item.tier, waiting.pop(item.tier)
    yield from waiting.items()


class _Line:
    """Batches one after another, each claimed while the one before is read, and committed and its segment written while
    the next one is.

    A context manager: its end waits for the last commit, and reads anew what a commit rejected.
    """

    def __init__(self, ctx: Context, tally: _Tally, fingerprint: str) -> None:
        self._ctx = ctx
        self._tally = tally
        self._fingerprint = fingerprint
        self._stack = ExitStack()
        self._filter: Filter | None = None
        self._batches: dict[str, Batch] = {}
        self._settling: tuple[BatchRun, Future[None]] | None = None
        self._again: list[tuple[OpenTier, Wanted]] = []
        self._tried_again: set[int] = set()
        self._overtaken: list[tuple[OpenTier, Wanted]] = []
        self._ahead: Future[BatchRun | None] | None = None

    def __enter__(self) -> Self:
        self._pool = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="frostline-commit"))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with self._stack:
            if error is not None:
                return  # leaving the stack waits for a commit under way: it stays, or has undone itself
            self._settled()
            self._store_again()
            while self._again and not self._ctx.stop.is_set():
                again, self._again = self._again, []
                for tier in {tier.name: tier for tier, _ in again}.values():
                    self.store(tier, [[wanted for one, wanted in again if one is tier]])
                self._settled()

    def _store_again(self) -> None:
        """Code the models that newer ones have overtaken against those; quietly: they were stored before."""
        overtaken, self._overtaken = self._overtaken, []
        tally, self._tally = self._tally, _Tally(self._ctx)
        for tier in {tier.name: tier for tier, _ in overtaken}.values():
            self.store(tier, [[wanted for one, wanted in overtaken if one is tier]])
        self._settled()
        tally.bytes_stored += self._tally.bytes_stored
        self._tally, self._overtaken = tally, []

    def store(self, tier: OpenTier, groups: Iterable[list[Wanted]]) -> None:
        """Read all of *groups* for *tier*; on return the last batch of it may still be on its way into the catalog.

        No batch is of two groups. Each group is asked for while a batch before is read, by the thread that commits.
        """
        queue = WantedQueue(groups)
        run = self._begun(tier, queue, self._settling[0] if self._settling else None)
        while run is not None:
            left = self._read(run, queue)
            ahead, self._ahead = self._ahead, None
            following = ahead.result() if ahead is not None else None
            queue.put_back(left)
            if self._ctx.stop.is_set():
                if following is not None:
                    following.abandon()
                return
            run = following or self._begun(tier, queue, run)

    def _batch(self, tier: OpenTier) -> Batch:
        if self._filter is None:
            state_dir = self._ctx.config.catalog.state_dir
            self._filter = self._stack.enter_context(open_filter(self._ctx.catalog, state_dir))
        return self._batches.setdefault(tier.name, Batch(tier, self._filter, self._fingerprint))

    def _begun(self, tier: OpenTier, queue: WantedQueue, before: BatchRun | None) -> BatchRun | None:
        """Take a batch from *queue* and claim its files; None if nothing is left, or the job is to stop."""
        wanted = [] if self._ctx.stop.is_set() else queue.take()
        if not wanted:
            return None
        run = BatchRun(self._ctx, self._batch(tier), before)
        try:
            run.claim(wanted)
        except BaseException:
            run.abandon()
            raise
        return run

    def _read(self, run: BatchRun, queue: WantedQueue) -> list[Wanted]:
        """Read one batch, and claim the next one of *queue* meanwhile; begin its commit once the one before is done.
        Return what was not begun.
        """
        try:
            if self._settling:
                self._settling[1].add_done_callback(lambda done: _pass_on(done, run))
            # By the thread that commits, after it has: another one would take turns with it at the catalog's lock, and
            # have a connection with a cache of its own.
            self._ahead = self._pool.submit(self._begun, run.batch.tier, queue, run)
            run.read(lambda: self._extend(run))
            self._settled(meanwhile=run)
        except BaseException:
            run.abandon()
            self._abandon_ahead()
            raise
        self._settling = (run, self._pool.submit(self._settle, run))
        return run.outcome.left

    def _extend(self, run: BatchRun) -> None:
        """Keep the claims of *run*, and of the batches before and after it that are in work."""
        run.extend()
        if self._settling is not None:
            self._settling[0].extend()
        if self._ahead is not None and self._ahead.done() and self._ahead.exception() is None:
            following = self._ahead.result()
            if following is not None:
                following.extend()

    def _abandon_ahead(self) -> None:
        """End the claims of a batch that will not be read."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.exception() is None and (run := ahead.result()) is not None:
            run.abandon()

    def _settle(self, run: BatchRun) -> None:
        try:
            run.settle()
        except BaseException:
            run.abandon()
            raise
        finally:
            run.close()
        charge(self._ctx, reason="migrate")
        _flush(self._ctx)

    def _settled(self, *, meanwhile: BatchRun | None = None) -> None:
        """Wait for the commit under way, and tally its batch; both keep their claims."""
        if self._settling is None:
            return
        run, done = self._settling
        while wait([done], timeout=HEARTBEAT_S).not_done:
            self._extend(meanwhile or run)
        self._settling = None
        done.result()
        self._tally.add(run.outcome)
        self._overtaken += [(run.batch.tier, wanted) for wanted in run.outcome.overtaken]
        for wanted, reason in run.outcome.rejected:
            # A chunk it reused was collected between look-up and commit: the second reading stores it anew.
            if wanted.row.file_id in self._tried_again:
                self._tally.add(BatchOutcome(skipped=[(wanted, reason, Skip.CHANGED)]))
            else:
                self._tried_again.add(wanted.row.file_id)
                self._again.append((run.batch.tier, wanted))


def _pass_on(done: Future[None], run: BatchRun) -> None:
    """End the reading of *run* if the commit before it failed."""
    error = done.exception()
    if error is not None:
        run.fail(error)


def _wanted(ctx: Context, group: Sequence[MigrateItem], tally: _Tally) -> list[Wanted]:
    """Return the leaders that the items mean, each once; items that cannot be done go to the tally.

    Raises RootMissing.
    """
    root_ids = {item.root_id for item in group}
    _check_markers(ctx, root_ids - tally.checked)
    tally.checked |= root_ids
    found: dict[int, Wanted] = {}
    with ctx.catalog.read() as tx:
        if new := _all_new(group, tally):
            reasons = [item.reason for item in group]
            return models_first(list(made_of(Wanted, (new, [_links(tx, row) for row in new], reasons, repeat(False)))))
        rows = _rows_of(tx, [item for item in group if item.seen is None])
        for item in group:
            row = item.seen or rows.get((item.root_id, item.dir, item.name))
            if row is not None and row.leader_id is not None:
                row = files.by_ids(tx, [row.leader_id]).get(row.leader_id)
            if row is None:
                tally.skip(item, "is not known: scan first", Skip.OTHER)
            elif row.state is FileState.DUAL and row.tier == item.tier:
                tally.count(1)
            elif row.file_id in tally.mentions:
                tally.mention(row.file_id)
            elif reason := stored_elsewhere(ctx, row, item.tier):
                tally.skip(item, reason, Skip.REFUSED)
            elif row.state in _WHY_NOT:
                tally.skip(item, _WHY_NOT[row.state], Skip.OTHER)
            elif tally.mention(row.file_id):
                found[row.file_id] = Wanted(row, _links(tx, row), item.reason)
    return models_first(list(found.values()))


def _check_markers(ctx: Context, root_ids: Iterable[int]) -> None:
    for root_id in root_ids:
        root = ctx.root(root_id)
        marker.check_marker(root.path, root.marker)


def _all_new(group: Sequence[MigrateItem], tally: _Tally) -> list[FileRow]:
    """Return the rows of *group* where each was looked up, leads, is stored nowhere and is meant for the first time, as
    in most groups; nothing otherwise.
    """
    seen = [item.seen for item in group]
    rows = [row for row in seen if row is not None and row.state is FileState.REGULAR and row.is_leader]
    with tally.lock:
        return rows if len(rows) == len(group) and tally.mentions.add_new([row.file_id for row in rows]) else []


def _rows_of(tx: Tx, group: Sequence[MigrateItem]) -> dict[tuple[int, bytes, bytes], FileRow]:
    """Return (root, dir, name) -> row of the items whose path is known."""
    found: dict[tuple[int, bytes, bytes], FileRow] = {}
    for root_id in sorted({item.root_id for item in group}):
        places = [(item.dir, item.name) for item in group if item.root_id == root_id]
        found.update(((root_id, *place), row) for place, row in files.at_paths(tx, root_id, places).items())
    return found


def _links(tx: Tx, row: FileRow) -> tuple[FileRow, ...]:
    if row.nlink < 2:
        return ()
    return tuple(link for link in files.links_of(tx, row.file_id) if link.state != FileState.MISSING)


def _flush(ctx: Context) -> None:
    try:
        segments.flush(ctx)
    except CatalogBusy:
        return  # another process is writing segments: it, or the next flush, takes ours along
    ctx.step("migrate.flushed")
