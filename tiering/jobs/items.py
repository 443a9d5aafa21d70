"""A file that is to be stored on a tier, and what the catalog's row of it says to that.

Apart from migrate and the mover, which do it: whoever only plans or chooses files must not load what stores them.
"""

from typing import NamedTuple

from tiering.catalog.values import FileRow, FileState
from tiering.jobs.context import Context

_STORED = (FileState.DUAL, FileState.OFFLINE, FileState.RECALLING)


class MigrateItem(NamedTuple):
    """One file to store, as a plan names it."""

    root_id: int
    dir: bytes
    """b"" or "a/b/"."""
    name: bytes
    tier: str
    reason: str = ""
    """Goes into the ledger entry."""
    seen: FileRow | None = None
    """The row, where it was read a moment ago; claim and commit look at the row again in any case."""


def stored_elsewhere(ctx: Context, row: FileRow, tier: str) -> str:
    """Return why a file that is stored cannot be stored on *tier*; "" if it can: it is there, or stored nowhere, or its
    bytes are at hand and it is to be warmer: then it is stored again (adr/0003).

    On the way to a colder tier its chunks would be found in the warmer one and nothing would move: what is to be colder
    is given to the mover instead.
    """
    if row.tier is None or row.tier == tier or row.state not in _STORED:
        return ""
    if row.state is not FileState.DUAL:
        return f"is offline on {row.tier} and stays there: bring it back first; it can be stored on {tier} again then"
    if row.tier in ctx.tiers and tier in ctx.tiers and ctx.tiers[tier].rank < ctx.tiers[row.tier].rank:
        return ""
    return f"is stored on {row.tier} and stays there; free its hot bytes with --to {row.tier} --release"


def can_follow(ctx: Context, row: FileRow, tier: str) -> bool:
    """Return whether a stored file can be given to *tier*: one that is colder than its own."""
    if row.tier is None or row.tier not in ctx.tiers or tier not in ctx.tiers:
        return False
    is_stored = row.state in {FileState.DUAL, FileState.OFFLINE} and row.recipe_no is not None
    return is_stored and ctx.tiers[tier].rank > ctx.tiers[row.tier].rank
