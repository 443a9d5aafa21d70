"""One batch of objects taken in: claimed, read with all cores, packed and uploaded on the way, committed at once.

Used by object_ingest. What tiering.jobs.batch is for files, over the same packs, commits and journal: a batch that
fails releases its claims and dooms its packs, one whose process dies is undone by reconcile and read again. Requests
are booked every HEARTBEAT_S, so that a kill leaves few of them in no book. Kill points: objects.claimed, .read,
.recipes, .committed, and those of packing.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dedup.blocks import RawBlock
from dedup.fingerprint import DEFAULT_FINGERPRINT, resolve_fingerprint
from dedup.references import Shelf
from tiering.catalog import journal, packs
from tiering.catalog.commit import commit_stored
from tiering.catalog.journal import Claim
from tiering.catalog.transaction import Tx
from tiering.catalog.values import JournalKind
from tiering.clock import NS_PER_S
from tiering.errors import FrostlineError
from tiering.jobs.bucket_care import Care, book_usage
from tiering.jobs.committing import Described, Packed, describe, store_recipes, stored_batch, used_packs
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.crew import Crew
from tiering.jobs.newcomers import Filter, Newcomers
from tiering.jobs.object_reading import ObjectReader, Wish
from tiering.jobs.object_source import Fetcher, threads
from tiering.jobs.outgoing import BatchOutcome, Outgoing, Wanted, groups_of
from tiering.jobs.packing import Packer, UploadedPack
from tiering.jobs.reports import Skip

LEASE_S = 900  # far longer than the slowest upload; a live process extends it
HEARTBEAT_S = 30.0
BATCH_S = 60.0  # after this long no further object is begun: what a kill can cost


@dataclass(frozen=True, slots=True)
class Intake:
    """What all batches of one run have in common."""

    ctx: Context
    care: Care
    tier: OpenTier
    fetcher: Fetcher
    filter: Filter
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers whose chunks may be reused: none colder than the bucket's own, which is the last."""
        warmer = [
            tier.name for tier in self.ctx.tiers.values() if tier.rank <= self.tier.rank and tier.name != self.tier.name
        ]
        return (*warmer, self.tier.name)


class ObjectBatch:
    """One batch: run() it."""

    def __init__(self, intake: Intake) -> None:
        """Prepare; nothing is asked for yet."""
        self._in = intake
        self._ctx = intake.ctx
        self._op_id = f"migrate:{secrets.token_hex(12)}"
        self._packer = Packer(intake.ctx, intake.tier)
        self._newcomers = Newcomers(intake.ctx.catalog, intake.tiers, intake.filter)
        self._claimed: list[Wanted] = []
        self._is_committed = False
        self.outcome = BatchOutcome()
        self.spent_nano = 0
        """Booked for the bucket so far."""

    def run(self, wanted: Sequence[Wanted], wishes: Mapping[int, Wish]) -> BatchOutcome:
        """Store *wanted*, of which *wishes* says what the scan saw; return what became of each.

        On return those stored are dual and committed; the segment that says so is yet to be written. Raises what ends
        the job: nothing of the batch is committed then, and nothing stays claimed.
        """
        try:
            self._claim(wanted)
            self._ctx.step("objects.claimed")
            outgoing = self._read(wishes)
            self._ctx.step("objects.read")
            data_packs = self._packer.finish()
            described = describe(self._ctx, outgoing, self.outcome)
            recipes = store_recipes(self._ctx, described, self._packer) if described else None
            self._ctx.step("objects.recipes")
            self._commit(data_packs, described, recipes)
            self._note(data_packs, described)
            self._ctx.step("objects.committed")
            return self.outcome
        except BaseException:
            self._abandon()
            raise
        finally:
            self._packer.close()

    def _claim(self, wanted: Sequence[Wanted]) -> None:
        named = {f"{self._op_id}:{item.row.file_id}": item for item in wanted}
        claims = [Claim(op_id, JournalKind.MIGRATE, item.row.file_id, step="claimed") for op_id, item in named.items()]
        with self._ctx.catalog.write() as tx:
            won = {claim.op_id for claim in journal.claim(tx, claims, owner=self._ctx.owner, until_ns=_lease_until(tx))}
        for op_id, item in named.items():
            if op_id in won:
                self._claimed.append(Wanted(item.row, (), item.reason, op_id))
            else:
                self.outcome.skipped.append((item, "is being worked on by another process", Skip.BUSY))

    def _read(self, wishes: Mapping[int, Wish]) -> list[Outgoing]:
        reader = ObjectReader(
            ctx=self._ctx,
            fetcher=self._in.fetcher,
            packer=self._packer,
            newcomers=self._newcomers,
            fingerprint=resolve_fingerprint(DEFAULT_FINGERPRINT),
            shelf=self._in.shelf,
            outcome=self.outcome,
            wishes=wishes,
            until_s=self._ctx.clock.monotonic_s() + BATCH_S,
        )
        crew: Crew[list[Wanted], RawBlock] = Crew(threads(), groups_of(self._claimed), reader.code)
        left = crew.run(lambda groups: reader.read_groups(crew, groups), every_s=HEARTBEAT_S, heartbeat=self._heartbeat)
        place = {item.row.file_id: number for number, item in enumerate(self._claimed)}
        self.outcome.left += [item for group in left for item in group]
        self.outcome.left.sort(key=lambda item: place[item.row.file_id])
        return sorted(reader.outgoing, key=lambda item: place[item.wanted.row.file_id])

    def _heartbeat(self) -> None:
        """Keep the claims for another while, and book what was asked until now."""
        with self._ctx.catalog.write() as tx:
            op_ids = [item.op_id for item in self._claimed]
            journal.extend(tx, op_ids, owner=self._ctx.owner, until_ns=_lease_until(tx))
        self._book("reading objects", op_id="")

    def _commit(
        self, data_packs: Sequence[UploadedPack], described: Sequence[Described], recipes: UploadedPack | None
    ) -> None:
        """Make it so: packs live, objects dual, claims gone, requests booked; packs that nothing refers to doomed."""
        usage = self._in.care.meter.take()
        try:
            with self._ctx.catalog.write() as tx:
                held = journal.held(tx, owner=self._ctx.owner, prefix=f"{self._op_id}:")
                ready = [item for item in described if item.outgoing.wanted.op_id in held]
                used = used_packs(data_packs, ready)
                refused: dict[int, str] = {}
                live = {pack.pack_no for pack in used}
                if ready and recipes is not None:
                    packed = Packed(recipes, self._packer.bases)
                    stored = stored_batch(self._op_id, self._in.tiers, ready, used, packed)
                    refused = {item.file_id: item.reason for item in commit_stored(tx, stored)}
                    live.add(recipes.pack_no)
                self._doom(tx, live)
                journal.finish(tx, [item.op_id for item in self._claimed])
                reason, op_id = f"{len(ready)} objects taken in", f"{self._op_id}:requests"
                self.spent_nano += book_usage(tx, self._in.care, usage, reason=reason, op_id=op_id)
        except FrostlineError:
            self._in.care.meter.give_back(usage)
            raise
        self._is_committed = True
        for wanted in (item.outgoing.wanted for item in described):
            if wanted.op_id not in held:
                self.outcome.skipped.append((wanted, "was taken over by another process", Skip.BUSY))
            elif wanted.row.file_id in refused:
                self.outcome.rejected.append((wanted, refused[wanted.row.file_id]))
            else:
                self.outcome.stored.append(wanted)

    def _note(self, data_packs: Sequence[UploadedPack], described: Sequence[Described]) -> None:
        stored = (chunk for pack in data_packs for block in pack.summary.blocks for chunk in block.chunks)
        self._in.filter.add([chunk.fingerprint for chunk in stored])
        self._newcomers.settle()
        self.outcome.bytes_read = sum(item.recipe.size for item in described)
        self.outcome.bytes_stored = self._packer.journal.uploaded_bytes

    def _abandon(self) -> None:
        """Release claims and doom packs of a batch that failed; what a dead catalog prevents, reconcile does."""
        self._packer.close()  # no upload may land behind our back
        if self._is_committed:
            return
        try:
            with self._ctx.catalog.write() as tx:
                self._doom(tx, set())
                journal.finish(tx, [item.op_id for item in self._claimed])
            self._book("a batch that failed", op_id="")
        except FrostlineError:
            pass  # the catalog is what failed; the first error says so

    def _doom(self, tx: Tx, live: set[int]) -> None:
        """Doom the batch's packs that are not *live*: they are nobody's, and are never adopted."""
        sizes = [(number, size) for number, size in self._packer.journal.sizes.items() if number not in live]
        if sizes:
            packs.doom_pending(tx, sizes, op_id=f"{self._op_id}:unused", reason="uploaded, then not needed")

    def _book(self, reason: str, *, op_id: str) -> None:
        care = self._in.care
        usage = care.meter.take()
        try:
            with self._ctx.catalog.write() as tx:
                self.spent_nano += book_usage(tx, care, usage, reason=reason, op_id=op_id)
        except FrostlineError:
            care.meter.give_back(usage)
            raise


def _lease_until(tx: Tx) -> int:
    return tx.now_ns + LEASE_S * NS_PER_S
