"""Which files a command acts on: those of its targets that are in a state it can do something about."""

import os
from collections.abc import Iterator, Sequence

from tiering.app.targets import Target
from tiering.catalog.values import FileRow, FileState
from tiering.errors import UsageError
from tiering.jobs.context import Context
from tiering.jobs.migrate import MigrateItem, stored_elsewhere
from tiering.jobs.mover import can_follow
from tiering.jobs.reports import Skip, Skipped

# 40 MB of rows: they go along from here to the quote and to the claim; those of larger moves are fetched again.
CARRIED_ROWS = 50_000
AWAY = (FileState.OFFLINE, FileState.RECALLING)


def to_migrate(
    context: Context, targets: Sequence[Target], tier: str, *, with_stored: bool = True
) -> tuple[list[MigrateItem], list[Skipped]]:
    """Return the files of *targets* to be stored on *tier*, and those left alone.

    Those stored there already are among them unless *with_stored* is off: stored_already() counts these without a look
    at each. Pins hold; files that are offline on a colder tier are left alone. Names of one inode go under its leader.
    """
    items: list[MigrateItem] = []
    skipped: list[Skipped] = []
    for target in targets:
        with context.catalog.read() as tx:
            for row in target.rows(tx, not_on="" if with_stored else tier):
                follows = row.is_leader and not row.pinned and can_follow(context, row, tier)
                reason, kind = ("", Skip.OTHER) if follows else _objection(context, row, tier)
                if follows:
                    items.append(MigrateItem(row.root_id, row.dir, row.name, tier, "asked for"))
                elif reason:
                    skipped.append(Skipped(_shown(target, row), reason, kind))
                elif row.is_leader and row.state in {FileState.REGULAR, FileState.DUAL, FileState.MIGRATING}:
                    seen = row if len(items) < CARRIED_ROWS else None
                    items.append(MigrateItem(row.root_id, row.dir, row.name, tier, "asked for", seen))
    return items, skipped


def stored_already(context: Context, targets: Sequence[Target], tier: str) -> int:
    """Return how many files of *targets* are on the hot tier and stored on *tier*; those that a pin keeps not counted.

    Of targets that overlap some are counted twice.
    """
    with context.catalog.read() as tx:
        return sum(target.stored_on(tx, tier) for target in targets)


def to_recall(context: Context, targets: Sequence[Target]) -> Iterator[MigrateItem]:
    """Yield the offline files of *targets*."""
    for target in targets:
        with context.catalog.read() as tx:
            rows = [row for row in target.rows(tx) if row.state in AWAY]
        for row in rows:
            yield MigrateItem(target.root.root_id, row.dir, row.name, row.tier or "", "asked for")


def refuse_read_only(context: Context, targets: Sequence[Target]) -> None:
    """Raise UsageError for a target under a root that is only looked at."""
    read_only = {root.name for root in context.config.roots if root.read_only}
    for target in targets:
        if target.root.name in read_only:
            raise UsageError(
                f"root {target.root.name} ({os.fsdecode(target.root.path)}) is read-only: nothing is moved there",
                now="nothing was done",
                hint="set read_only = false for it, then run: frostline init",
            )


def missing_from_catalog(context: Context, targets: Sequence[Target]) -> Iterator[Target]:
    """Yield targets that name one file which the catalog does not know: they need a scan first."""
    for target in targets:
        if not target.is_folder:
            with context.catalog.read() as tx:
                if not any(True for _ in target.rows(tx)):
                    yield target


def _objection(context: Context, row: FileRow, tier: str) -> tuple[str, Skip]:
    if row.pinned and row.state in {FileState.REGULAR, FileState.DUAL}:
        return "it is pinned (frostline unpin lets it go)", Skip.REFUSED
    return stored_elsewhere(context, row, tier) if row.is_leader else "", Skip.REFUSED


def _shown(target: Target, row: FileRow) -> str:
    return os.fsdecode(os.path.join(target.root.path, row.path))
