"""migrate: copy files out to a cold tier, deduplicated and proven; the hot bytes stay where they are.

Called by cycle, apply and the migrate command. Batches: claim, read and pack with all cores, upload, commit in one
transaction, write the segment. A batch is committed whole or not at all; a file that cannot be read is skipped with a
reason and the rest goes on; what a dead process left claimed is taken over when its lease has run out.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field

from dedup.fingerprint import DEFAULT_FINGERPRINT
from tiering.catalog import files, journal
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState, JournalKind
from tiering.errors import CatalogBusy
from tiering.hot import marker, paths
from tiering.jobs import segments
from tiering.jobs.batch import Batch, BatchOutcome, run_batch
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.outgoing import Wanted, display_path
from tiering.jobs.reports import JobReport, Skip, Skipped

# Items are looked up this many at a time; their rows are in memory.
GROUP_ITEMS = 4000
# A batch is one commit and one segment: 4 GiB are about 70,000 chunk rows (a third of a second in SQLite) and some ten
# seconds of reading, which is what a crash can cost.
BATCH_BYTES = 4 << 30
BATCH_FILES = 4000  # of small ones: half a second of rows

_WHY_NOT = {
    FileState.MIGRATING: "is being migrated by another process",
    FileState.OFFLINE: "is offline: its hot bytes are free already",
    FileState.RECALLING: "is being recalled",
    FileState.MISSING: "was not there at the last scan",
}
_STORED = (FileState.DUAL, FileState.OFFLINE, FileState.RECALLING)


@dataclass(frozen=True, slots=True)
class MigrateItem:
    """One file to store, as a plan names it."""

    root_id: int
    dir: bytes
    """b"" or "a/b/"."""
    name: bytes
    tier: str
    reason: str = ""
    """Goes into the ledger entry."""


@dataclass(slots=True)
class _Tally:
    """What has become of the items so far."""

    ctx: Context
    done: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    bytes_read: int = 0
    bytes_stored: int = 0
    notes: list[str] = field(default_factory=list)
    names: dict[int, int] = field(default_factory=dict)
    """leader's file id -> items that mean it."""

    def skip(self, item: MigrateItem, reason: str, kind: Skip) -> None:
        path = paths.display(self.ctx.root(item.root_id).path, item.dir, item.name)
        self.skipped.append(Skipped(path, reason, kind))

    def add(self, outcome: BatchOutcome) -> None:
        for wanted in outcome.stored:
            self.done += self.names.get(wanted.row.file_id, 1)
        for wanted, reason, kind in outcome.skipped:
            self.skipped.append(Skipped(display_path(self.ctx.root(wanted.row.root_id), wanted.row), reason, kind))
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
    checked: set[int] = set()
    ctx.progress.start("migrate", total_files=len(items) if isinstance(items, Sized) else None)
    try:
        for tier, group in _groups(items):
            for root_id in {item.root_id for item in group} - checked:
                root = ctx.root(root_id)
                marker.check_marker(root.path, root.marker)
                checked.add(root_id)
            _migrate_group(ctx, Batch(tier=ctx.tier(tier), fingerprint=fingerprint), group, tally)
            if ctx.stop.is_set():
                tally.notes.append("stopped before the end; run it again to go on")
                break
    finally:
        ctx.progress.finish()
    return JobReport(
        files_done=tally.done,
        files_skipped=tuple(tally.skipped),
        bytes_read=tally.bytes_read,
        bytes_stored=tally.bytes_stored,
        seconds=ctx.clock.monotonic_s() - started_s,
        notes=tuple(tally.notes),
    )


def stored_elsewhere(row: FileRow, tier: str) -> str:
    """Return why a file that is stored cannot be stored on *tier*; "" if it is there, or stored nowhere.

    On the way to a colder tier its chunks would be found in the warmer one (adr/0003) and nothing would move: that
    needs packs copied, which no job does yet.
    """
    if row.tier is None or row.tier == tier or row.state not in _STORED:
        return ""
    if row.state is FileState.DUAL:
        return (
            f"is stored on {row.tier} and stays there: moving between cold tiers is not there yet; free its hot bytes "
            f"with --to {row.tier} --release"
        )
    return f"is offline on {row.tier} and stays there: moving between cold tiers is not there yet"


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


def _migrate_group(ctx: Context, batch: Batch, group: Sequence[MigrateItem], tally: _Tally) -> None:
    queue = deque(_wanted(ctx, group, tally))
    tried_again: set[int] = set()
    while queue and not ctx.stop.is_set():
        outcome = run_batch(ctx, batch, _next_batch(queue))
        charge(ctx, reason="migrate")
        _flush(ctx)
        tally.add(outcome)
        queue.extendleft(reversed(outcome.left))
        for wanted, reason in outcome.rejected:
            # A chunk it reused was collected between look-up and commit: the second reading stores it anew.
            if wanted.row.file_id in tried_again:
                tally.add(BatchOutcome(skipped=[(wanted, reason, Skip.CHANGED)]))
            else:
                tried_again.add(wanted.row.file_id)
                queue.append(wanted)


def _next_batch(queue: deque[Wanted]) -> list[Wanted]:
    taken: list[Wanted] = []
    size_bytes = 0
    while queue and len(taken) < BATCH_FILES and (not taken or size_bytes + queue[0].row.size <= BATCH_BYTES):
        taken.append(queue.popleft())
        size_bytes += taken[-1].row.size
    return taken


def _wanted(ctx: Context, group: Sequence[MigrateItem], tally: _Tally) -> list[Wanted]:
    """Return the leaders that the items mean, each once; items that cannot be done go to the tally."""
    found: dict[int, Wanted] = {}
    with ctx.catalog.read() as tx:
        rows = _rows_of(tx, group)
        for item in group:
            row = rows.get((item.root_id, item.dir, item.name))
            if row is not None and row.leader_id is not None:
                row = files.by_ids(tx, [row.leader_id]).get(row.leader_id)
            if row is None:
                tally.skip(item, "is not known: scan first", Skip.OTHER)
            elif reason := stored_elsewhere(row, item.tier):
                tally.skip(item, reason, Skip.REFUSED)
            elif row.state in _WHY_NOT:
                tally.skip(item, _WHY_NOT[row.state], Skip.OTHER)
            elif row.state == FileState.DUAL:
                tally.done += 1
            elif row.file_id in found:
                tally.names[row.file_id] += 1
            else:
                tally.names[row.file_id] = 1
                found[row.file_id] = Wanted(row, _links(tx, row), item.reason)
    return list(found.values())


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
