"""One batch of migrate: claimed, read with all cores, packed and uploaded on the way, committed in one transaction.

Used by tiering.jobs.migrate alone, which reads one batch while the one before is being committed. Kill points, each
passed when that much is durable: migrate.claimed, .packed, .pending, .uploaded (per pack), .recipes_uploaded,
.committed. A batch that fails releases its claims and dooms its packs.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter, itemgetter

from dedup.blocks import RawBlock
from dedup.familiar import Familiar
from dedup.fingerprint import DEFAULT_FINGERPRINT, resolve_fingerprint
from dedup.references import Shelf
from tiering.errors import FrostlineError
from tiering.jobs import claims
from tiering.jobs.committing import Described, bytes_read, describe, store_recipes
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.crew import Crew
from tiering.jobs.group_reading import read_groups
from tiering.jobs.newcomers import Filter, Newcomers, Recent
from tiering.jobs.outgoing import BatchOutcome, Outgoing, Wanted, groups_of
from tiering.jobs.packing import Packer, UploadedPack
from tiering.jobs.priming import prime
from tiering.jobs.reading import Reader

HEARTBEAT_S = 30.0
# After this long no further file is begun: what is read gets committed, and its segment written.
BATCH_S = 60.0
_file_id_of, _first = attrgetter("wanted.row.file_id"), itemgetter(0)


@dataclass(frozen=True, slots=True)
class Batch:
    """What all batches of one call have in common."""

    tier: OpenTier
    filter: Filter
    fingerprint: str = DEFAULT_FINGERPRINT
    shelf: Shelf = field(default_factory=Shelf)
    """Models stored so far, which others may be coded against."""
    recent: Recent = field(default_factory=Recent)
    familiar: Familiar = field(default_factory=Familiar)


class BatchRun:
    """One batch: claim() it, read() it, then settle() it, each perhaps in another thread; abandon() it if one fails."""

    def __init__(self, ctx: Context, batch: Batch, before: "BatchRun | None" = None) -> None:
        """Prepare; *before* is a batch that comes first, and is being committed when this one is read."""
        self.ctx = ctx
        self.batch = batch
        self.op_id = f"migrate:{secrets.token_hex(12)}"
        self.packer = Packer(ctx, batch.tier)
        self.outcome = BatchOutcome()
        earlier = before.newcomers if before is not None and before.batch is batch else None
        self.newcomers: Newcomers = Newcomers(ctx.catalog, self.tiers, batch.filter, earlier, batch.recent)
        self._claimed: list[Wanted] = []
        self._place: dict[int, int] = {}
        self._groups: list[list[Wanted]] = []
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

    def claim(self, wanted: Sequence[Wanted]) -> None:
        """Claim *wanted*: those that are free will be read."""
        self._claimed = claims.take(self.ctx, self.op_id, wanted, self.outcome)
        self.ctx.step("migrate.claimed")
        self._groups = list(groups_of(self._claimed))

    def read(self, heartbeat: Callable[[], None]) -> None:
        """Read what was claimed; its new chunks are with the packer, what was not begun is in outcome.left.

        *heartbeat* is called every HEARTBEAT_S: it keeps the claims, extend() of every batch in work.
        """
        self.outcome.overtaken = prime(self.ctx, self.batch.shelf, self.tiers, self._claimed)
        reader = Reader(
            ctx=self.ctx,
            packer=self.packer,
            newcomers=self.newcomers,
            fingerprint=resolve_fingerprint(self.batch.fingerprint),
            shelf=self.batch.shelf,
            familiar=self.batch.familiar,
            outcome=self.outcome,
            until_s=self.ctx.clock.monotonic_s() + BATCH_S,
        )
        crew = Crew(len(os.sched_getaffinity(0)), self._groups, reader.code)
        self._crew = crew
        if self._failure is not None:
            raise self._failure
        left = crew.run(lambda groups: read_groups(reader, crew, groups), every_s=HEARTBEAT_S, heartbeat=heartbeat)
        self._place = claims.in_order(self.outcome, self._claimed, left)
        self._give_up(self.outcome.left)
        self._outgoing = reader.outgoing

    def settle(self) -> None:
        """Upload what is still open, store the recipes, commit. Raises what ends a job: nothing is committed then."""
        self.packer.seal()  # what is still open goes up meanwhile
        outgoing = _in_order(self._outgoing, self._place)
        described = describe(self.ctx, outgoing, self.outcome)
        recipes = store_recipes(self.ctx, described, self.packer) if described else None
        data_packs = self.packer.finish()
        live = self._commit(data_packs, described, recipes)
        # The filter first: a batch that asks the catalog from now on must not be told that there is nothing to ask.
        stored = [block for pack in data_packs if pack.pack_no in live for block in pack.summary.blocks]
        self.batch.filter.add([chunk[0] for chunk in chain.from_iterable([block.chunks for block in stored])])
        # Not those with a base: a commit leaves out what would stand too deep.
        plain = [block.chunks for block in stored if block.base is None]
        self.batch.recent.add([chunk[1] for chunk in chain.from_iterable(plain)])
        if self.outcome.rejected:
            self.batch.recent.forget()
        self.newcomers.settle()
        self.ctx.step("migrate.committed")
        self.outcome.bytes_read = bytes_read(described)
        self.outcome.bytes_stored = self.packer.journal.uploaded_bytes

    def abandon(self) -> None:
        """Release claims and doom packs of a batch that failed; what a dead catalog prevents, reconcile does."""
        self.close()  # no upload may land behind our back
        if self._is_committed:
            return
        try:
            with self.ctx.catalog.write() as tx:
                claims.doom_unused(tx, self.packer.journal, (), self.op_id)
                claims.release(tx, self.op_id, self._claimed)
        except FrostlineError:
            pass  # the catalog is what failed; the first error says so

    def close(self) -> None:
        """Free the spool; the last call in any case."""
        self.packer.close()

    def _give_up(self, left: Sequence[Wanted]) -> None:
        """End the claims of what was not begun: the next batch claims it while this one is being committed."""
        if left:
            with self.ctx.catalog.write() as tx:
                claims.release(tx, self.op_id, left)
            gone = {item.row.file_id for item in left}
            self._claimed = [item for item in self._claimed if item.row.file_id not in gone]

    def extend(self) -> None:
        """Keep the claims for another while."""
        claims.extend(self.ctx, self.op_id)

    def _commit(
        self, data_packs: Sequence[UploadedPack], described: Sequence[Described], recipes: UploadedPack | None
    ) -> set[int]:
        """Make it so, and return the packs that live."""
        batched = claims.Batched(self.op_id, self.tiers, self.packer, data_packs, described, recipes)
        with self.ctx.catalog.write() as tx:
            made = claims.make(tx, batched, self._claimed, owner=self.ctx.owner)
        self._is_committed = True
        claims.tell(self.outcome, described, made)
        return made.live


def _in_order(outgoing: list[Outgoing], place: dict[int, int]) -> list[Outgoing]:
    places = list(map(place.__getitem__, map(_file_id_of, outgoing)))
    return [item for _, item in sorted(zip(places, outgoing, strict=True), key=_first)]
