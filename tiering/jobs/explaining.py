"""explain: why the planner decides about one file as it does, the same batch of files decided about as plan does it.

Reads only. Where the stored copy should sink to a colder tier, the packs it needs are looked at as if what else of its
folders should go went along.
"""

import os
from dataclasses import dataclass

from policies.judging import judge
from policies.plan import Action
from policies.planner import Explanation, explain, shifts
from policies.units import top_of
from policies.values import FileFacts
from tiering.catalog import files
from tiering.catalog.values import FileRow
from tiering.config.policy import root_limits
from tiering.errors import UsageError
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.deciding import Batch, Policy, batches, policy_of
from tiering.jobs.folder_facts import FolderFacts
from tiering.jobs.foresight import scales, settled
from tiering.jobs.plan import links_of


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a file is decided about as it is."""

    why: Explanation
    row: FileRow
    """Its leader's, where it is a further name of an inode."""
    move: Action | None = None
    """How its stored copy would go to a colder tier, with what else of the same folders goes."""
    move_refused: str = ""
    """Why it does not, though it should."""


def explain_file(ctx: Context, root: OpenRoot, dir: bytes, name: bytes) -> Explained:
    """Return why the planner decides about one file as it does. Raises UsageError if there is nothing to decide."""
    policy = policy_of(ctx)
    shown = os.fsdecode(os.path.join(root.path, dir, name))
    with ctx.catalog.read() as tx:
        row = files.get(tx, root.root_id, dir, name)
        if row is not None and row.leader_id is not None:
            leader = files.by_ids(tx, [row.leader_id]).get(row.leader_id)
            row = leader or row  # decided for all names of the inode at once
    if row is None:
        raise UsageError(f"{shown} is not in the catalog", hint="frostline scan")
    gathered = FolderFacts(ctx, root, policy.rules, links_of(ctx, ctx.roots, policy))
    batch, facts = _batch_of(ctx, gathered, policy, root.name, row)
    if batch is None or facts is None:
        raise UsageError(
            f"{shown} was not seen by the last scan", now="its stored copy, if any, is kept", hint="frostline ls"
        )
    limits = root_limits(ctx.config, root.name)
    why = explain(
        facts,
        batch.files,
        policy.rules,
        policy.tiers,
        prices=policy.prices,
        now_ns=ctx.clock.now_ns(),
        wishes=batch.wishes,
        limits=limits,
    )
    if not why.sinks_to:
        return Explained(why, row)
    judged = judge(batch.files, policy.rules, ctx.clock.now_ns(), tiers=policy.tiers, wishes=batch.wishes)
    wanted = list(shifts(judged, policy.tiers, policy.prices, ctx.clock.now_ns(), limits=limits))
    found, _ = settled(ctx, wanted, scales(ctx, policy.tiers, policy.prices, policy.terms))
    place = (facts.root, facts.dir, facts.name)
    move = next((action for action in found.actions if action.place == place), None)
    refused = next((no.reason for no in found.refused if (no.root, no.dir, no.name) == place), "")
    return Explained(why, row, move, refused)


def _batch_of(
    ctx: Context, gathered: FolderFacts, policy: Policy, root: str, row: FileRow
) -> tuple[Batch | None, FileFacts | None]:
    """Return the batch that plan decides the file in, and its facts; without strategies its folders alone will do."""
    under = b"" if policy.asks_strategies else top_of(row.dir)
    for batch in batches(ctx, gathered, policy, root=root, under=under):
        for facts in batch.files:
            if (facts.dir, facts.name) == (row.dir, row.name):
                return batch, facts
    return None, None
