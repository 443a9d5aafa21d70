"""What a batch holds in the journal, and the transaction that makes it so: the same for files and for objects.

Used by tiering.jobs.batch and object_batch.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tiering.catalog import journal, packs
from tiering.catalog.commit import commit_stored
from tiering.catalog.journal import Claim
from tiering.catalog.transaction import Tx
from tiering.catalog.values import JournalKind
from tiering.clock import NS_PER_S
from tiering.jobs.committing import Described, Packed, stored_batch, used_packs
from tiering.jobs.context import Context
from tiering.jobs.outgoing import BatchOutcome, Wanted
from tiering.jobs.packing import Packer, UploadedPack, UploadJournal
from tiering.jobs.reports import Skip

# Longer than the slowest upload of the packs on the spool; reconcile need not wait for it where the process is known
# dead.
LEASE_S = 900


class Made(NamedTuple):
    """What a commit made of a batch."""

    held: Collection[str]
    """Claims that were still ours."""
    refused: Mapping[int, str]
    """File id -> why its row was not taken."""
    live: set[int]
    """Packs."""
    ready: int
    """Files that were committed or refused."""


def take(ctx: Context, op_id: str, wanted: Sequence[Wanted], outcome: BatchOutcome) -> list[Wanted]:
    """Claim *wanted* for the batch *op_id* and return those that were free; the others are skipped in *outcome*."""
    named = {f"{op_id}:{item.row.file_id}": item for item in wanted}
    claims = [Claim(name, JournalKind.MIGRATE, item.row.file_id, step="claimed") for name, item in named.items()]
    with ctx.catalog.write() as tx:
        won = {claim.op_id for claim in journal.claim(tx, claims, owner=ctx.owner, until_ns=_lease_until(tx))}
    for name, item in named.items():
        if name not in won:
            outcome.skipped.append((item, "is being worked on by another process", Skip.BUSY))
    return [item._replace(op_id=name) for name, item in named.items() if name in won]


def extend(ctx: Context, claimed: Sequence[Wanted]) -> None:
    """Keep the claims for another while."""
    with ctx.catalog.write() as tx:
        journal.extend(tx, [item.op_id for item in claimed], owner=ctx.owner, until_ns=_lease_until(tx))


def release(tx: Tx, claimed: Sequence[Wanted]) -> None:
    """End claims."""
    journal.finish(tx, [item.op_id for item in claimed])


def in_order(outcome: BatchOutcome, claimed: Sequence[Wanted], left: Sequence[list[Wanted]]) -> dict[int, int]:
    """Add groups that nobody began to what is left, in the order of the claims; return file id -> place in that."""
    place = {item.row.file_id: number for number, item in enumerate(claimed)}
    outcome.left += [item for group in left for item in group]
    outcome.left.sort(key=lambda item: place[item.row.file_id])
    return place


class Batched(NamedTuple):
    """What is ready to be committed."""

    op_id: str
    tiers: tuple[str, ...]
    packer: Packer
    data_packs: Sequence[UploadedPack]
    described: Sequence[Described]
    recipes: UploadedPack | None


def make(tx: Tx, batched: Batched, claimed: Sequence[Wanted], *, owner: str) -> Made:
    """Make it so: packs live, files dual, claims gone; packs that nothing refers to are doomed."""
    op_id, recipes = batched.op_id, batched.recipes
    held = journal.held(tx, owner=owner, prefix=f"{op_id}:")
    ready = [item for item in batched.described if item.outgoing.wanted.op_id in held]
    used = used_packs(batched.data_packs, ready)
    refused: dict[int, str] = {}
    live = {pack.pack_no for pack in used}
    if ready and recipes is not None:
        packed = Packed(recipes, batched.packer.bases)
        stored = stored_batch(op_id, batched.tiers, ready, used, packed)
        refused = {item.file_id: item.reason for item in commit_stored(tx, stored)}
        live.add(recipes.pack_no)
    doom_unused(tx, batched.packer.journal, live, op_id)
    release(tx, claimed)
    return Made(held, refused, live, len(ready))


def tell(outcome: BatchOutcome, described: Sequence[Described], made: Made) -> None:
    """Note in *outcome* what became of each that was read."""
    for wanted in (item.outgoing.wanted for item in described):
        if wanted.op_id not in made.held:
            outcome.skipped.append((wanted, "was taken over by another process", Skip.BUSY))
        elif wanted.row.file_id in made.refused:
            outcome.rejected.append((wanted, made.refused[wanted.row.file_id]))
        else:
            outcome.stored.append(wanted)


def doom_unused(tx: Tx, uploads: UploadJournal, live: Collection[int], op_id: str) -> None:
    """Doom the batch's packs that are not *live*: they are nobody's, and are never adopted."""
    sizes = [(pack_no, size) for pack_no, size in uploads.sizes.items() if pack_no not in live]
    if sizes:
        packs.doom_pending(tx, sizes, op_id=f"{op_id}:unused", reason="uploaded, then not needed")


def _lease_until(tx: Tx) -> int:
    return tx.now_ns + LEASE_S * NS_PER_S
