"""One batch of migrate: claimed, read with all cores, packed and uploaded on the way, committed in one transaction.

Used by tiering.jobs.migrate alone, which reads one batch while the one before is being committed. Kill points, each
passed when that much is durable: migrate.claimed, .packed, .pending, .uploaded (per pack), .recipes_uploaded,
.committed. A batch that fails releases its claims and dooms its packs.
"""

import os
import secrets
from collections.abc import Sequence
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
from tiering.jobs.committing import Described, Packed, describe, store_recipes, stored_batch, used_packs
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.crew import Crew
from tiering.jobs.newcomers import Filter, Newcomers, Recent
from tiering.jobs.outgoing import BatchOutcome, Outgoing, Wanted, groups_of
from tiering.jobs.packing import Packer, UploadedPack, UploadJournal
from tiering.jobs.priming import prime
from tiering.jobs.reading import Reader
from tiering.jobs.reports import Skip

# Longer than the slowest upload of the packs on the spool; reconcile need not wait for it where the process is known
# dead.
LEASE_S = 900
HEARTBEAT_S = 30.0
# After this long no further file is begun: what is read gets committed, and its segment written.
BATCH_S = 60.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What all batches of one call have in common."""

    tier: OpenTier
    filter: Filter
    fingerprint: str = DEFAULT_FINGERPRINT
    shelf: Shelf = field(default_factory=Shelf)
    """Models stored so far, which others may be coded against."""
    recent: Recent = field(default_factory=Recent)


class BatchRun:
    """One batch: read() it, then settle() it, perhaps in another thread; abandon() it if either raises."""

    def __init__(self, ctx: Context, batch: Batch, before: "BatchRun | None" = None) -> None:
        """Prepare; *before* is a batch whose commit is under way, and comes first."""
        self.ctx = ctx
        self.batch = batch
        self.op_id = f"migrate:{secrets.token_hex(12)}"
        self.packer = Packer(ctx, batch.tier)
        self.outcome = BatchOutcome()
        earlier = before.newcomers if before is not None and before.batch is batch else None
        self.newcomers: Newcomers = Newcomers(ctx.catalog, self.tiers, batch.filter, earlier, batch.recent)
        self._claimed: list[Wanted] = []
        self._outgoing: list[Outgoing] = []
        self._crew: Crew[list[Wanted], RawBlock] | None = None
        self._failure: BaseException | None = None
        self._is_committed = False

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers whose chunks may be reused: none colder than the batch's own, which is the last."""
        own = self.batch.tier
        warmer = [tier.name for tier in self.ctx.tiers.values() if tier.rank <= own.rank and tier.name != own.name]
        return (*warmer, own.name)

    def fail(self, error: BaseException) -> None:
        """Let a read() under way end with *error* soon."""
        self._failure = error
        if self._crew is not None:
            self._crew.fail(error)

    def read(self, wanted: Sequence[Wanted]) -> None:
        """Claim *wanted* and read them; their new chunks are with the packer, what was not begun is in outcome.left."""
        self._claim(wanted)
        self.ctx.step("migrate.claimed")
        self.outcome.overtaken = prime(self.ctx, self.batch.shelf, self.tiers, self._claimed)
        reader = Reader(
            ctx=self.ctx,
            packer=self.packer,
            newcomers=self.newcomers,
            fingerprint=resolve_fingerprint(self.batch.fingerprint),
            shelf=self.batch.shelf,
            outcome=self.outcome,
            until_s=self.ctx.clock.monotonic_s() + BATCH_S,
        )
        crew = Crew(len(os.sched_getaffinity(0)), groups_of(self._claimed), reader.code)
        self._crew = crew
        if self._failure is not None:
            raise self._failure
        left = crew.run(lambda groups: reader.read_groups(crew, groups), every_s=HEARTBEAT_S, heartbeat=self.extend)
        place = {item.row.file_id: number for number, item in enumerate(self._claimed)}
        self.outcome.left += [item for group in left for item in group]
        self.outcome.left.sort(key=lambda item: place[item.row.file_id])
        self._give_up(self.outcome.left)
        self._outgoing = sorted(reader.outgoing, key=lambda item: place[item.wanted.row.file_id])

    def settle(self) -> None:
        """Upload what is still open, store the recipes, commit. Raises what ends a job: nothing is committed then."""
        data_packs = self.packer.finish()
        described = describe(self.ctx, self._outgoing, self.outcome)
        recipes = store_recipes(self.ctx, described, self.packer) if described else None
        live = self._commit(data_packs, described, recipes)
        # The filter first: a batch that asks the catalog from now on must not be told that there is nothing to ask.
        stored = [block for pack in data_packs if pack.pack_no in live for block in pack.summary.blocks]
        self.batch.filter.add([chunk.fingerprint for block in stored for chunk in block.chunks])
        # Not those with a base: a commit leaves out what would stand too deep.
        self.batch.recent.add(chunk.digest for block in stored if block.base is None for chunk in block.chunks)
        if self.outcome.rejected:
            self.batch.recent.forget()
        self.newcomers.settle()
        self.ctx.step("migrate.committed")
        self.outcome.bytes_read = sum(item.recipe.size - item.recipe.hole_bytes for item in described)
        self.outcome.bytes_stored = self.packer.journal.uploaded_bytes

    def abandon(self) -> None:
        """Release claims and doom packs of a batch that failed; what a dead catalog prevents, reconcile does."""
        self.close()  # no upload may land behind our back
        if self._is_committed:
            return
        try:
            with self.ctx.catalog.write() as tx:
                _doom(tx, self.packer.journal, set(), self.op_id)
                journal.finish(tx, [item.op_id for item in self._claimed])
        except FrostlineError:
            pass  # the catalog is what failed; the first error says so

    def close(self) -> None:
        """Free the spool; the last call in any case."""
        self.packer.close()

    def _claim(self, wanted: Sequence[Wanted]) -> None:
        named = {f"{self.op_id}:{item.row.file_id}": item for item in wanted}
        claims = [Claim(op_id, JournalKind.MIGRATE, item.row.file_id, step="claimed") for op_id, item in named.items()]
        with self.ctx.catalog.write() as tx:
            granted = journal.claim(tx, claims, owner=self.ctx.owner, until_ns=_lease_until(tx))
        won = {claim.op_id for claim in granted}
        self._claimed = [
            Wanted(item.row, item.links, item.reason, op_id, item.is_again)
            for op_id, item in named.items()
            if op_id in won
        ]
        for op_id, item in named.items():
            if op_id not in won:
                self.outcome.skipped.append((item, "is being worked on by another process", Skip.BUSY))

    def _give_up(self, left: Sequence[Wanted]) -> None:
        """End the claims of what was not begun: the next batch claims it while this one is being committed."""
        if left:
            with self.ctx.catalog.write() as tx:
                journal.finish(tx, [item.op_id for item in left])
            gone = {item.op_id for item in left}
            self._claimed = [item for item in self._claimed if item.op_id not in gone]

    def extend(self) -> None:
        """Keep the claims for another while."""
        with self.ctx.catalog.write() as tx:
            op_ids = [item.op_id for item in self._claimed]
            journal.extend(tx, op_ids, owner=self.ctx.owner, until_ns=_lease_until(tx))

    def _commit(
        self, data_packs: Sequence[UploadedPack], described: Sequence[Described], recipes: UploadedPack | None
    ) -> set[int]:
        """Make it so: packs live, files dual, claims gone; packs that nothing refers to are doomed. Return the live."""
        with self.ctx.catalog.write() as tx:
            held = journal.held(tx, owner=self.ctx.owner, prefix=f"{self.op_id}:")
            ready = [item for item in described if item.outgoing.wanted.op_id in held]
            used = used_packs(data_packs, ready)
            refused: dict[int, str] = {}
            live = {pack.pack_no for pack in used}
            if ready and recipes is not None:
                packed = Packed(recipes, self.packer.bases)
                stored = stored_batch(self.op_id, self.tiers, ready, used, packed)
                refused = {item.file_id: item.reason for item in commit_stored(tx, stored)}
                live.add(recipes.pack_no)
            _doom(tx, self.packer.journal, live, self.op_id)
            journal.finish(tx, [item.op_id for item in self._claimed])
        self._is_committed = True
        for wanted in (item.outgoing.wanted for item in described):
            if wanted.op_id not in held:
                self.outcome.skipped.append((wanted, "was taken over by another process", Skip.BUSY))
            elif wanted.row.file_id in refused:
                self.outcome.rejected.append((wanted, refused[wanted.row.file_id]))
            else:
                self.outcome.stored.append(wanted)
        return live


def _doom(tx: Tx, uploads: UploadJournal, live: set[int], op_id: str) -> None:
    """Doom the batch's packs that are not *live*: they are nobody's, and are never adopted."""
    sizes = [(pack_no, size) for pack_no, size in uploads.sizes.items() if pack_no not in live]
    if sizes:
        packs.doom_pending(tx, sizes, op_id=f"{op_id}:unused", reason="uploaded, then not needed")


def _lease_until(tx: Tx) -> int:
    return tx.now_ns + LEASE_S * NS_PER_S
