"""Holds hot file systems below their high mark: what leaves beyond the rules, and what is copied out ahead.

Used by plan. Roots on one file system share its marks (the lowest of theirs); a root with a capacity of its own is
held to that alone. Only asks statvfs and the catalog.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.amounts import GIB, say_bytes, say_usd
from policies.capacity import Cut, cut
from policies.cost import month_nano, packed_put_usd
from policies.plan import Action, ActionKind, HotReport
from policies.room import Candidate
from policies.values import HOT, FileFacts, Residency
from tiering.catalog.totals import totals_of
from tiering.catalog.values import FileState
from tiering.config import RootConfig
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.deciding import Policy

CANDIDATES = 100_000
"""Files remembered per file system, of the units least valuable per byte: as many as a plan lists. A KB each."""
SPARE_UNITS = 1000
"""Remembered beyond what has to leave: which of those near the mark go is chosen among them."""
RULE, AHEAD = "high-water", "premigrate"
HOT_STATES = (FileState.REGULAR, FileState.DUAL, FileState.MIGRATING)


@dataclass(slots=True)
class Room:
    """One hot file system, or one capped root."""

    roots: tuple[str, ...]
    capacity_bytes: int
    used_bytes: int
    high_bytes: int
    low_bytes: int
    rules_free_bytes: int = 0
    ahead_bytes: int = 0
    """To be copied out ahead."""
    units: list[Candidate] = field(default_factory=list)
    is_cut: bool = False
    """Whether units were forgotten that may have to leave."""
    _files: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the high mark is reached."""
        return self.used_bytes >= self.high_bytes

    def offer(self, found: Sequence[Candidate]) -> None:
        """Remember candidates, the least worth per byte if there are too many."""
        self.units += found
        self._files += sum(len(unit.files) for unit in found)
        if self._files > CANDIDATES + CANDIDATES // 2:
            self._forget()

    def _forget(self) -> None:
        """Keep what would leave, and be copied ahead, if the rules freed nothing; no more than CANDIDATES files."""
        self.units.sort(key=_density)
        wanted = (max(0, self.used_bytes - self.low_bytes) if self.is_full else 0) + self.ahead_bytes
        kept, files, size, spare = 0, 0, 0, SPARE_UNITS
        for unit in self.units:
            if files >= CANDIDATES or not spare:
                break
            spare -= size >= wanted
            kept, files, size = kept + 1, files + len(unit.files), size + unit.item.size_bytes
        self.is_cut |= size < wanted
        del self.units[kept:]
        self._files = files


def rooms(ctx: Context, roots: Sequence[OpenRoot]) -> list[Room]:
    """Return what has a high mark among *roots*; empty where none has. A root that cannot be looked at has none."""
    shared: dict[int, list[RootConfig]] = {}
    found: list[Room] = []
    by_name = {settings.name: settings for settings in ctx.config.roots}
    for root in roots:
        settings = by_name.get(root.name)
        if settings is None or settings.high_water >= 1:
            continue
        if settings.capacity_bytes:
            found.append(_room(ctx, (settings,), settings.capacity_bytes, _hot_bytes(ctx, root)))
            continue
        try:
            shared.setdefault(os.stat(root.path).st_dev, []).append(settings)
        except OSError:
            continue
    for members in shared.values():
        status = os.statvfs(members[0].path_bytes)
        total = status.f_blocks * status.f_frsize
        found.append(_room(ctx, members, total, total - status.f_bavail * status.f_frsize))
    return found


def make_room(room: Room, policy: Policy) -> tuple[HotReport, list[Action], str]:
    """Return how it stands, what leaves or is copied ahead, and a warning ("" if all is well).

    Units leave once the high mark is reached, down to the low one; what would be next is copied ahead.
    """
    units = sorted(room.units, key=lambda unit: (unit.files[0].root, unit.files[0].dir, unit.files[0].name))
    need = max(0, room.used_bytes - room.rules_free_bytes - room.low_bytes) if room.is_full else 0
    found = cut([unit.item for unit in units], need)
    actions = [
        _action(facts, units[i], policy, _why(room, found, units[i]), is_ahead=False)
        for i in found.leaving
        for facts in units[i].files
    ]
    actions += _ahead(room, units, found, policy)
    report = HotReport(
        roots=room.roots, capacity_bytes=room.capacity_bytes, used_bytes=room.used_bytes,
        high_bytes=room.high_bytes, low_bytes=room.low_bytes, rules_free_bytes=room.rules_free_bytes,
        marks_free_bytes=found.freed_bytes, missing_bytes=found.missing_bytes,
        shadow_nano_per_gib_month=found.shadow_nano_per_gib,
    )  # fmt: skip
    warning = ""
    if found.missing_bytes and room.is_cut:
        warning = (
            f"{', '.join(room.roots)}: the low mark is not reached by one plan: {say_bytes(found.missing_bytes)} more "
            f"have to go, in more than {CANDIDATES:,} files; the next plan goes on"
        )
    elif found.missing_bytes:
        warning = (
            f"{', '.join(room.roots)}: the low mark cannot be reached: {say_bytes(found.missing_bytes)} more would "
            "have to go, and all else is pinned, kept by a rule, in use or of unknown reading"
        )
    return report, actions, warning


def _ahead(room: Room, units: Sequence[Candidate], leaving: Cut, policy: Policy) -> list[Action]:
    """Return what to copy out ahead: the next to leave, less what is stored already."""
    ahead_bytes = room.ahead_bytes
    gone = set(leaving.leaving)
    left = [unit for i, unit in enumerate(units) if i not in gone]
    actions: list[Action] = []
    for unit in sorted(left, key=_density):
        if ahead_bytes <= 0:
            break
        ahead_bytes -= unit.item.size_bytes
        why = f"among the next to leave when {', '.join(room.roots)} fills up: {_worth(unit)}"
        actions += [
            _action(facts, unit, policy, why, is_ahead=True)
            for facts in unit.files
            if facts.residency is Residency.REGULAR
        ]
    return actions


def _density(unit: Candidate) -> tuple[float, bytes, bytes]:
    first = unit.files[0]
    return unit.item.value_nano / unit.item.size_bytes, first.dir, first.name


def _why(room: Room, found: Cut, unit: Candidate) -> str:
    return (
        f"{', '.join(room.roots)} is {room.used_bytes / room.capacity_bytes:.1%} full, above "
        f"{room.high_bytes / room.capacity_bytes:.0%}; {_worth(unit)}, and the last GiB that stays is worth "
        f"{say_usd(found.shadow_nano_per_gib)} a month"
    )


def _worth(unit: Candidate) -> str:
    per_gib = unit.item.value_nano * GIB // unit.item.size_bytes
    return f"having it hot saves {say_usd(unit.item.value_nano)} a month ({say_usd(per_gib)} per GiB)"


def _action(facts: FileFacts, unit: Candidate, policy: Policy, why: str, *, is_ahead: bool) -> Action:
    is_stored = facts.residency is Residency.DUAL and facts.tier is not None
    target = policy.tiers.get(facts.tier or "", policy.tiers[unit.target]) if is_stored else policy.tiers[unit.target]
    hot = month_nano(policy.tiers[HOT], facts.size_bytes, policy.prices)
    cold = 0 if is_stored else month_nano(target, facts.size_bytes, policy.prices)
    put = (
        0
        if is_stored
        else packed_put_usd(
            policy.prices, target.price_class, facts.size_bytes, pack_bytes=policy.terms.pack_bytes or 1
        )
    )
    kind = ActionKind.PREMIGRATE if is_ahead else ActionKind.RELEASE if is_stored else ActionKind.MIGRATE
    return Action(
        kind=kind, root=facts.root, dir=facts.dir, name=facts.name, identity=facts.identity,
        residency=facts.residency, target=facts.tier if is_stored and facts.tier else target.name,
        rule=AHEAD if is_ahead else RULE, reason=why, saved_nano_month=-cold if is_ahead else hot - cold, once_nano=put,
    )  # fmt: skip


def _room(ctx: Context, members: Sequence[RootConfig], capacity: int, used: int) -> Room:
    return Room(
        roots=tuple(settings.name for settings in members),
        capacity_bytes=max(1, capacity),
        used_bytes=used,
        high_bytes=int(min(settings.high_water for settings in members) * capacity),
        low_bytes=int(min(settings.low_water for settings in members) * capacity),
        ahead_bytes=int(ctx.config.planning.premigrate * capacity),
    )


def _hot_bytes(ctx: Context, root: OpenRoot) -> int:
    with ctx.catalog.read() as tx:
        totals = totals_of(tx, root_id=root.root_id)
    return sum(totals[state].size_bytes for state in HOT_STATES if state in totals)
