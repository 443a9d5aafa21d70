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
from tiering.errors import FrostlineError
from tiering.jobs import claims
from tiering.jobs.bucket_care import Care, book_usage
from tiering.jobs.committing import Described, describe, store_recipes
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.crew import Crew
from tiering.jobs.group_reading import read_groups
from tiering.jobs.newcomers import Filter, Newcomers
from tiering.jobs.object_reading import ObjectReader, Wish
from tiering.jobs.object_source import Fetcher, threads
from tiering.jobs.outgoing import BatchOutcome, Outgoing, Wanted, groups_of
from tiering.jobs.packing import Packer, UploadedPack

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
            self._claimed = claims.take(self._ctx, self._op_id, wanted, self.outcome)
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
        left = crew.run(
            lambda groups: read_groups(reader, crew, groups), every_s=HEARTBEAT_S, heartbeat=self._heartbeat
        )
        place = claims.in_order(self.outcome, self._claimed, left)
        return sorted(reader.outgoing, key=lambda item: place[item.wanted.row.file_id])

    def _heartbeat(self) -> None:
        """Keep the claims for another while, and book what was asked until now."""
        claims.extend(self._ctx, self._op_id)
        self._book("reading objects", op_id="")

    def _commit(
        self, data_packs: Sequence[UploadedPack], described: Sequence[Described], recipes: UploadedPack | None
    ) -> None:
        """Make it so: packs live, objects dual, claims gone, requests booked; packs that nothing refers to doomed."""
        usage = self._in.care.meter.take()
        batched = claims.Batched(self._op_id, self._in.tiers, self._packer, data_packs, described, recipes)
        try:
            with self._ctx.catalog.write() as tx:
                made = claims.make(tx, batched, self._claimed, owner=self._ctx.owner)
                reason, op_id = f"{made.ready} objects taken in", f"{self._op_id}:requests"
                self.spent_nano += book_usage(tx, self._in.care, usage, reason=reason, op_id=op_id)
        except FrostlineError:
            self._in.care.meter.give_back(usage)
            raise
        self._is_committed = True
        claims.tell(self.outcome, described, made)

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
                claims.doom_unused(tx, self._packer.journal, (), self._op_id)
                claims.release(tx, self._op_id, self._claimed)
            self._book("a batch that failed", op_id="")
        except FrostlineError:
            pass  # the catalog is what failed; the first error says so

    def _book(self, reason: str, *, op_id: str) -> None:
        care = self._in.care
        usage = care.meter.take()
        try:
            with self._ctx.catalog.write() as tx:
                self.spent_nano += book_usage(tx, care, usage, reason=reason, op_id=op_id)
        except FrostlineError:
            care.meter.give_back(usage)
            raise
