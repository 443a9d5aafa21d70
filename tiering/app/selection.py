"""Which files a command acts on: those of its targets that are in a state it can do something about.

Nothing is listed: a selection looks its files up, a page at a time, whenever it is iterated, and the catalog adds up
how many there are.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from tiering.app.targets import Target
from tiering.catalog.files import EVERY, Only
from tiering.catalog.totals import Alike, StateTotal
from tiering.catalog.values import FileRow, FileState
from tiering.errors import UsageError
from tiering.jobs.context import Context
from tiering.jobs.items import MigrateItem, can_follow, stored_elsewhere
from tiering.jobs.reports import Skip, Skips

AWAY = (FileState.OFFLINE, FileState.RECALLING)
_AT_HAND = frozenset({FileState.REGULAR, FileState.DUAL, FileState.MIGRATING})


class Part(Enum):
    """What a migration does with a file."""

    STORE = "store"
    """It is read and stored."""
    MOVE = "move"
    """Its stored copy goes to the tier."""
    DONE = "done"
    """It is stored there already."""
    SKIP = "skip"
    """Left alone, with a reason."""
    NONE = "none"
    """Not a matter of this command: further names, missing files, what is offline there already."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The files of *targets*, which do not overlap, that a migration to *tier* is about. Names of one inode go under
    its leader.
    """

    context: Context
    targets: Sequence[Target]
    tier: str
    parts: dict[Part, StateTotal]
    """How much there was when it was made: select()."""

    def to_store(self) -> Iterator[MigrateItem]:
        """Yield what is to be read and stored, with its row as it stands now."""
        if self.parts[Part.STORE].files:
            for _, row in self._rows(Part.STORE, Only(not_on=self.tier)):
                yield MigrateItem(row.root_id, row.dir, row.name, self.tier, "asked for", row)

    def to_move(self) -> Iterator[FileRow]:
        """Yield the stored files whose copies are to go to the tier."""
        if self.parts[Part.MOVE].files:
            for _, row in self._rows(Part.MOVE, Only(states=(FileState.DUAL, FileState.OFFLINE))):
                yield row

    def stored(self) -> Iterator[MigrateItem]:
        """Yield what is hot and stored on the tier now: what may be released."""
        for _, row in self._rows(Part.DONE, Only(on=self.tier)):
            yield MigrateItem(row.root_id, row.dir, row.name, self.tier, "asked for")

    def skips(self) -> Skips:
        """Return what is left alone, with reasons: pins hold, and what is offline on a colder tier stays there."""
        found = Skips()
        if self.parts[Part.SKIP].files:
            for target, row in self._rows(Part.SKIP, EVERY):
                reason = _part(self.context, row, self.tier)[1]
                found.add(os.fsdecode(os.path.join(target.root.path, row.path)), reason, Skip.REFUSED)
        return found

    def _rows(self, part: Part, only: Only) -> Iterator[tuple[Target, FileRow]]:
        part_of: dict[tuple[object, ...], Part] = {}
        for target in self.targets:
            for row in target.stream(self.context, only):
                alike = row.state, row.tier, row.pinned, row.is_leader, row.recipe_no is None
                if alike not in part_of:
                    part_of[alike] = _part(self.context, row, self.tier)[0]
                if part_of[alike] is part:
                    yield target, row


def select(context: Context, targets: Sequence[Target], tier: str) -> Selection:
    """Return what a migration of *targets*, which do not overlap, to *tier* is about, added up by the catalog."""
    sums = dict.fromkeys(Part, (0, 0))
    with context.catalog.read() as tx:
        groups: list[Alike] = [group for target in targets for group in target.alike(tx)]
    for group in groups:
        part, _ = _part(context, group.example, tier)
        files, size_bytes = sums[part]
        sums[part] = files + group.files, size_bytes + group.size_bytes
    return Selection(context, targets, tier, {part: StateTotal(*counts) for part, counts in sums.items()})


def to_recall(context: Context, targets: Sequence[Target]) -> Iterator[MigrateItem]:
    """Yield the offline files of *targets*, a page at a time: those that are brought back meanwhile stand behind."""
    for target in targets:
        for row in target.stream(context, Only(states=AWAY)):
            yield MigrateItem(target.root.root_id, row.dir, row.name, row.tier or "", "asked for")


def away_total(context: Context, targets: Sequence[Target]) -> StateTotal:
    """Return how many items to_recall() would yield now, and their bytes; each name counts."""
    with context.catalog.read() as tx:
        groups = [group for target in targets for group in target.alike(tx) if group.example.state in AWAY]
    return StateTotal(sum(group.files for group in groups), sum(group.size_bytes for group in groups))


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


def _part(context: Context, row: FileRow, tier: str) -> tuple[Part, str]:
    """Return what is done with a file, and why it is left alone. Depends on nothing that files of a group differ in."""
    if row.pinned and row.state in {FileState.REGULAR, FileState.DUAL}:
        return Part.SKIP, "it is pinned (frostline unpin lets it go)"
    if not row.is_leader:
        return Part.NONE, ""
    if not row.pinned and can_follow(context, row, tier):
        return Part.MOVE, ""
    if reason := stored_elsewhere(context, row, tier):
        return Part.SKIP, reason
    if row.state is FileState.DUAL and row.tier == tier:
        return Part.DONE, ""
    return (Part.STORE if row.state in _AT_HAND else Part.NONE), ""
