"""What a batch holds in the journal, and the transaction that makes it so: the same for files and for objects.

Used by tiering.jobs.batch and object_batch.
"""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from tiering.catalog import journal, packs
from tiering.catalog.commit import commit_stored
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_S
from tiering.jobs.committing import Described, Packed, file_ids, stored_batch, used_packs
from tiering.jobs.context import Context
from tiering.jobs.outgoing import BatchOutcome, Wanted
from tiering.jobs.packing import Packer, UploadedPack, UploadJournal
from tiering.jobs.reports import Skip

# Longer than the slowest upload of the packs on the spool; reconcile need not wait for it where the process is known
# dead.
LEASE_S = 900
_id_of, _wanted_of = attrgetter("row.file_id"), attrgetter("outgoing.wanted")


class Made(NamedTuple):
    """What a commit made of a batch."""

    held: Collection[int]
    """Files whose claims were still ours."""
    refused: Mapping[int, str]
    """File id -> why its row was not taken."""
    live: set[int]
    """Packs."""
    ready: int
    """Files that were committed or refused."""


def take(ctx: Context, op_id: str, wanted: Sequence[Wanted], outcome: BatchOutcome) -> list[Wanted]:
    """Claim *wanted* for the batch *op_id* and return those that were free; the others are skipped in *outcome*."""
    file_ids = _ids_of(wanted)
    with ctx.catalog.write() as tx:
        won = journal.claim_batch(tx, op_id, file_ids, owner=ctx.owner, until_ns=_lease_until(tx))
    if won.issuperset(file_ids):
        return list(wanted)
    for item in wanted:
        if item.row.file_id not in won:
            outcome.skipped.append((item, "is being worked on by another process", Skip.BUSY))
    return [item for item in wanted if item.row.file_id in won]


def extend(ctx: Context, op_id: str) -> None:
    """Keep the claims for another while."""
    with ctx.catalog.write() as tx:
        journal.extend(tx, [op_id], owner=ctx.owner, until_ns=_lease_until(tx))


def release(tx: Tx, op_id: str, claimed: Sequence[Wanted]) -> None:
    """End claims: the files are what they were before."""
    journal.give_up(tx, op_id, _ids_of(claimed))


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
    held = journal.of_batch(tx, op_id, _ids_of(claimed), owner=owner)
    ready, ids = batched.described, file_ids(batched.described)
    if len(held) < len(claimed):
        ready = [item for item, file_id in zip(ready, ids, strict=True) if file_id in held]
        ids = file_ids(ready)
    # Where all that was claimed was read and is to be committed, nothing in the packs was read of anything else.
    is_whole = len(ready) == len(claimed)
    used = batched.data_packs if is_whole else used_packs(batched.data_packs, ready)
    refused: dict[int, str] = {}
    live = {pack.pack_no for pack in used}
    if ready and recipes is not None:
        stored = stored_batch(op_id, batched.tiers, ready, ids, Packed(used, recipes, batched.packer.bases))
        refused = {item.file_id: item.reason for item in commit_stored(tx, stored)}
        live.add(recipes.pack_no)
    doom_unused(tx, batched.packer.journal, live, op_id)
    if refused or not is_whole:
        done = set(ids) - refused.keys()
        release(tx, op_id, [item for item in claimed if item.row.file_id not in done])
    journal.end_batch(tx, op_id)
    return Made(held, refused, live, len(ready))


def tell(outcome: BatchOutcome, described: Sequence[Described], made: Made) -> None:
    """Note in *outcome* what became of each that was read."""
    if not made.refused and made.ready == len(described):
        outcome.stored += map(_wanted_of, described)
        return
    for wanted in (item.outgoing.wanted for item in described):
        if wanted.row.file_id not in made.held:
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


def _ids_of(wanted: Sequence[Wanted]) -> list[int]:
    return list(map(_id_of, wanted))


def _lease_until(tx: Tx) -> int:
    return tx.now_ns + LEASE_S * NS_PER_S
