"""Takes objects of a bucket into packs, as migrate does files, and deletes originals where the operator says so.

Used by `buckets apply` and the daemon for buckets in mode ingest. Objects and files share chunks, packs, recipes and
books; a stored object is a row among files, under its bucket, dual while its original stands and offline after. Batch
by batch: stored and committed, the segment written, then (delete_originals) proven by reading back and deleted.
Killed anywhere, it is run again: what is stored is not read again, what was being read is.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tiering.catalog import files, objects
from tiering.catalog.objects import CLASSES, ObjectFacts, etag_text
from tiering.catalog.presence import open_filter
from tiering.catalog.values import FileRow
from tiering.errors import CatalogBusy
from tiering.jobs import segments
from tiering.jobs.bucket_care import Care, alone, caring, refuse_other_mode
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.object_batch import Intake, ObjectBatch
from tiering.jobs.object_choice import Choice, Quote, chosen_objects
from tiering.jobs.object_reading import Wish
from tiering.jobs.object_release import delete_originals, obstacle_to_deletion
from tiering.jobs.object_rows import Shelter, rows_of, shelter_of, sync_rows
from tiering.jobs.object_savings import accrue_savings
from tiering.jobs.object_source import Fetcher
from tiering.jobs.outgoing import BatchOutcome, Wanted
from tiering.jobs.references import models_first

BATCH_OBJECTS = 2000  # as of migrate: one commit, one segment
BATCH_BYTES = 4 << 30
LISTED = 1000  # skipped objects named one by one; all are counted
OVER_BUDGET = "beyond the budget of one run"


@dataclass(slots=True)
class BucketIngestReport:
    """What one run took in."""

    bucket: str
    objects_stored: int = 0
    bytes_read: int = 0
    bytes_stored: int = 0
    """Bytes of packs uploaded."""
    originals_deleted: int = 0
    bytes_deleted: int = 0
    usd_nano: int = 0
    """Booked for the bucket: requests, reading, early deletion. What its packs cost stands with their tier."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Kind -> objects."""
    skipped_objects: list[tuple[str, str]] = field(default_factory=list)
    """(key, reason), the first LISTED."""
    requests: int = 0
    left: int = 0
    """Chosen, and for another run."""
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """3 where something was skipped or is worth knowing."""
        return 3 if self.skipped or self.notes else 0

    def skip(self, key: str, reason: str, kind: str) -> None:
        """Count an object that was left alone."""
        self.skipped[kind] += 1
        if len(self.skipped_objects) < LISTED:
            self.skipped_objects.append((key, reason))


def ingest_bucket(ctx: Context, name: str, *, confirm_missing: bool = False) -> BucketIngestReport:
    """Store what the rules choose, by key, within the limits of one run; delete originals where that is set.

    On return what is counted as stored is committed and in a durable segment (unless another process was writing one).
    Raises UsageError where the configuration forbids it, and what ends a job after booking what was done.
    """
    report = BucketIngestReport(name)
    with caring(ctx, name, reason="objects taken in") as care:
        refuse_other_mode(care.config, "ingest")
        with alone(ctx, name):
            accrue_savings(ctx, care)
            ctx, shelter = shelter_of(ctx, care)
            synced = sync_rows(ctx, care, shelter, confirm_missing=confirm_missing)
            report.notes += synced.notes
            _Run(ctx, care, shelter, report).run()
            with ctx.catalog.write() as tx:  # what went an instant ago has saved nothing yet
                objects.note_accrued(tx, care.row.bucket_id, tx.now_ns)
            charge(ctx, reason="objects taken in")
    report.requests = care.asked.total()
    return report


class _Run:
    """One run over what is chosen."""

    def __init__(self, ctx: Context, care: Care, shelter: Shelter, report: BucketIngestReport) -> None:
        self._ctx = ctx
        self._care = care
        self._shelter = shelter
        self._report = report
        self._deletes = care.config.delete_originals
        self._spent = 0
        self._taken = 0

    def run(self) -> None:
        ctx, care = self._ctx, self._care
        if self._deletes and (why := obstacle_to_deletion(ctx, care)):
            self._report.notes.append(why)
            self._deletes = False
        quote = Quote(care.config.name, care.config.url, care.config.tier, self._deletes)
        ctx.progress.start(f"take in {care.config.url}")
        with (
            open_filter(ctx.catalog, ctx.config.catalog.state_dir) as known,
            ThreadPoolExecutor(care.config.max_concurrency, thread_name_prefix="frostline-objects") as pool,
        ):
            fetcher = Fetcher(care.remote, pool, ctx.clock, care.config.requests_per_s, care.remote.url)
            intake = Intake(ctx, care, ctx.tier(care.config.tier), fetcher, known)
            try:
                for batch in _batches(self._within_limits(chosen_objects(ctx, care.config, quote))):
                    if ctx.stop.is_set():
                        self._report.left += len(batch)
                        continue
                    self._batch(intake, pool, batch)
            finally:
                ctx.progress.finish()

    def _within_limits(self, choices: Iterator[Choice]) -> Iterator[Choice]:
        for choice in choices:
            if choice.is_stored and not self._deletes:
                continue
            if self._taken >= self._care.config.max_objects:
                self._report.left += 1
            elif self._spent + choice.once_nano > self._care.config.budget_nano:
                self._report.left += 1
                self._report.skipped[OVER_BUDGET] += 1
            else:
                self._taken += 1
                self._spent += choice.once_nano
                yield choice

    def _batch(self, intake: Intake, pool: ThreadPoolExecutor, batch: Sequence[Choice]) -> None:
        facts_of = {choice.facts[0]: choice.facts for choice in batch}
        rule_of = {choice.facts[0]: choice.rule for choice in batch}
        rows = rows_of(self._ctx, self._shelter, list(facts_of.values()))
        stored = [(rows[choice.facts[0]], choice.facts) for choice in batch if choice.is_stored]
        new = {row.file_id: (row, facts_of[key]) for key, row in rows.items() if row.file_id not in _ids(stored)}
        wanted = [Wanted(row, (), rule_of[facts[0]]) for row, facts in new.values()]
        wishes = {file_id: _wish(facts) for file_id, (_, facts) in new.items()}
        again: list[Wanted] = models_first(wanted)
        tried: set[int] = set()
        while again and not self._ctx.stop.is_set():
            run = ObjectBatch(intake)
            outcome = run.run(again, wishes)
            self._report.usd_nano += run.spent_nano
            self._count(outcome, new)
            stored += [(wanted.row, new[wanted.row.file_id][1]) for wanted in outcome.stored]
            self._refuse_if_denied(intake, outcome)
            # A chunk that a rejected one reused was collected meanwhile: the second reading stores it anew.
            retried = [wanted for wanted, _ in outcome.rejected if wanted.row.file_id not in tried]
            tried |= {wanted.row.file_id for wanted in retried}
            again = [*outcome.left, *retried]
        self._report.left += len(again)
        self._flush()
        if self._deletes and stored:
            self._delete(pool, stored)

    def _delete(self, pool: ThreadPoolExecutor, stored: Sequence[tuple[FileRow, ObjectFacts]]) -> None:
        with self._ctx.catalog.read() as tx:
            current = files.by_ids(tx, [row.file_id for row, _ in stored])
        pairs = [(current[row.file_id], facts) for row, facts in stored if row.file_id in current]
        deleted = delete_originals(self._ctx, self._care, pairs, pool)
        self._report.originals_deleted += deleted.deleted
        self._report.bytes_deleted += deleted.bytes_deleted
        self._report.usd_nano += deleted.spent_nano
        for key, reason in deleted.kept:
            self._report.skip(key.decode(), reason, "original kept")
        charge(self._ctx, reason="copies of objects read back")
        self._flush()

    def _count(self, outcome: BatchOutcome, new: dict[int, tuple[FileRow, ObjectFacts]]) -> None:
        self._report.objects_stored += len(outcome.stored)
        self._report.bytes_read += outcome.bytes_read
        self._report.bytes_stored += outcome.bytes_stored
        for wanted, reason, kind in outcome.skipped:
            self._report.skip(new[wanted.row.file_id][1][0].decode(), reason, str(kind))

    def _flush(self) -> None:
        try:
            segments.flush(self._ctx)
        except CatalogBusy:
            pass  # another process is writing segments: it, or the next flush, takes ours along

    def _refuse_if_denied(self, intake: Intake, outcome: BatchOutcome) -> None:
        """Stop where nothing at all may be read: asking for the rest would only cost."""
        denied = intake.fetcher.denied
        if denied and not outcome.stored and len(denied) >= len(outcome.skipped):
            raise denied[0]
        denied.clear()


def _ids(pairs: Sequence[tuple[FileRow, ObjectFacts]]) -> set[int]:
    return {row.file_id for row, _ in pairs}


def _wish(facts: ObjectFacts) -> Wish:
    return Wish(facts[0].decode(), etag_text(facts[3]), CLASSES[facts[2]])


def _batches(choices: Iterator[Choice]) -> Iterator[list[Choice]]:
    batch: list[Choice] = []
    size_bytes = 0
    for choice in choices:
        if batch and (len(batch) == BATCH_OBJECTS or size_bytes + choice.facts[1] > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(choice)
        size_bytes += choice.facts[1]
    if batch:
        yield batch
