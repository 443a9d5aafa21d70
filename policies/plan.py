"""A plan as a plain value: what would be done, to exactly which files, why, and for how much.

What `plan` prints is this value, and what `apply` does is this value: it goes to JSON and back unchanged. Each action
carries the identity of the file it was decided for, so that whoever carries it out can refuse a file that has moved on.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from policies.amounts import NANO
from policies.cost import break_even_days
from policies.moving import MoveQuote
from policies.values import FileIdentity, Residency, raw, text

FORMAT = 3
NO_QUOTE = MoveQuote()


class PlanError(ValueError):
    """A saved plan is not one, or was written by another version. The message names the field."""


class ActionKind(StrEnum):
    """What is done to a file."""

    MIGRATE = "migrate"
    """Copy it out to the target, then release the hot bytes once the copy is proven."""
    PREMIGRATE = "premigrate"
    """Copy it out ahead and leave it hot: should room be needed, no upload stands before it."""
    RELEASE = "release"
    """It is stored already: release the hot bytes."""
    MOVE = "move"
    """It is stored already: its copy goes to a colder tier, with the packs that nothing warmer needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One step for one file (or one inode with several names)."""

    kind: ActionKind
    root: str
    dir: bytes
    name: bytes
    identity: FileIdentity
    """Of the file judged; another identity means the plan is out of date for it."""
    residency: Residency
    target: str
    """Cold tier that holds, or will hold, the bytes."""
    rule: str
    reason: str
    """Facts -> rule -> arithmetic."""
    saved_nano_month: int
    """Nano-dollars per month of 730 h, before dedup and compression (of a move: what its packs save); negative when it
    costs more."""
    once_nano: int
    source: str = ""
    """Of a move: the tier that its copy is on."""
    quote: MoveQuote = NO_QUOTE
    """Of a move: its part of what the packs' move costs and saves."""

    @property
    def size_bytes(self) -> int:
        """Apparent size."""
        return self.identity.size_bytes

    @property
    def path(self) -> str:
        """Root-relative, for display."""
        return text(self.dir + self.name)

    @property
    def place(self) -> tuple[str, bytes, bytes]:
        """(root, folder, name)."""
        return self.root, self.dir, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A file that a rule would move, and why it is left alone."""

    root: str
    dir: bytes
    name: bytes
    size_bytes: int
    target: str
    rule: str
    cause: str
    """For counting: hard-links, special-mode, no-saving."""
    reason: str
    """A sentence."""

    @property
    def path(self) -> str:
        """Root-relative, for display."""
        return text(self.dir + self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over all decisions, also over those beyond a plan's limit."""

    files_seen: int = 0
    migrate_files: int = 0
    migrate_bytes: int = 0
    premigrate_files: int = 0
    premigrate_bytes: int = 0
    release_files: int = 0
    """Dual files whose hot bytes go; migrated files are released as well and not counted here."""
    release_bytes: int = 0
    move_files: int = 0
    """Stored files whose copy goes to a colder tier; a dual file may be released besides."""
    move_bytes: int = 0
    """Their size as files; their packs' is in Plan.moves."""
    refused_files: int = 0
    refused_bytes: int = 0
    unknown_access_files: int = 0
    """Files whose reading nobody recorded; only rules by age move them."""
    saved_nano_month: int = 0
    once_nano: int = 0
    bytes_to: Mapping[str, int] = field(default_factory=dict)
    """Bytes by target tier."""
    refused_by_cause: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HotReport:
    """One hot file system, or one root with a capacity of its own."""

    roots: tuple[str, ...]
    capacity_bytes: int
    used_bytes: int
    """Now."""
    high_bytes: int
    low_bytes: int
    rules_free_bytes: int
    """What leaves by the rules."""
    marks_free_bytes: int
    """What leaves besides, because the high mark was reached."""
    missing_bytes: int
    """What cannot be freed, though it should."""
    shadow_nano_per_gib_month: int
    """What one more hot GiB would be worth a month; 0 while there is room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """One budget: what is allowed, was spent before, and is planned."""

    name: str
    limit: int
    """Nano-dollars, bytes or requests."""
    spent: int
    planned: int
    put_off_files: int
    """Files that wait because of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveReport:
    """All moves from one cold tier to another."""

    source: str
    target: str
    files: int
    quote: MoveQuote
    packs: tuple[tuple[int, str], ...] = ()
    """(number in the catalog, what becomes of it: change or rewrite). No other pack moves when the plan is carried out,
    and none otherwise than so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReport:
    """What the plan's bytes draw a month where they are and where they would be; estimates, all of them."""

    kwh_before: float = 0.0
    kwh_after: float = 0.0
    gco2e_before: float = 0.0
    gco2e_after: float = 0.0
    source: str = ""
    """Where the estimates come from, and of when."""


NO_ENERGY = EnergyReport()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """See the module docstring."""

    made_ns: int
    catalog_id: str
    """The catalog whose facts it was made from; apply refuses another's."""
    price_book: str
    refundable: bool
    """Whether freed hot bytes come off a bill; else the saving is avoided cost."""
    actions: tuple[Action, ...]
    refused: tuple[Refusal, ...]
    totals: Totals
    hot: tuple[HotReport, ...] = ()
    """How full the hot tier is and will be, per file system or capped root."""
    budgets: tuple[BudgetReport, ...] = ()
    moves: tuple[MoveReport, ...] = ()
    """What goes from one cold tier to another, per pair of tiers."""
    energy: EnergyReport = NO_ENERGY
    warnings: tuple[str, ...] = ()
    """What needs a person: capacity or budgets that do not suffice."""
    notes: tuple[str, ...] = ()
    """Sentences on the whole: mounts without evidence, roots that will not release, lists cut short."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; from_json() of them equals this plan. The usd_ fields are for readers."""
        return {
            "format": FORMAT,
            "made_ns": self.made_ns,
            "catalog_id": self.catalog_id,
            "price_book": self.price_book,
            "refundable": self.refundable,
            "actions": [_action_to_json(action) for action in self.actions],
            "refused": [_refusal_to_json(refusal) for refusal in self.refused],
            "totals": _totals_to_json(self.totals),
            "hot": [asdict(report) | {"roots": list(report.roots)} for report in self.hot],
            "budgets": [asdict(report) for report in self.budgets],
            "moves": [_moves_to_json(report) for report in self.moves],
            "energy": asdict(self.energy),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Return the plan that to_json() wrote. Raises PlanError."""
        try:
            if data["format"] != FORMAT:
                raise PlanError(f"the plan has format {data['format']!r}; this program reads {FORMAT}")
            return cls(
                made_ns=int(data["made_ns"]),
                catalog_id=str(data["catalog_id"]),
                price_book=str(data["price_book"]),
                refundable=bool(data["refundable"]),
                actions=tuple(_action_from_json(item) for item in data["actions"]),
                refused=tuple(_refusal_from_json(item) for item in data["refused"]),
                totals=_totals_from_json(data["totals"]),
                hot=tuple(HotReport(**(item | {"roots": tuple(item["roots"])})) for item in data["hot"]),
                budgets=tuple(BudgetReport(**item) for item in data["budgets"]),
                moves=tuple(_moves_from_json(item) for item in data["moves"]),
                energy=EnergyReport(**data["energy"]),
                warnings=tuple(str(warning) for warning in data["warnings"]),
                notes=tuple(str(note) for note in data["notes"]),
            )
        except KeyError as error:
            raise PlanError(f"not a saved plan: {error.args[0]} is missing") from error
        except (TypeError, ValueError) as error:
            raise error if isinstance(error, PlanError) else PlanError(f"not a saved plan: {error}") from error


def _moves_to_json(report: MoveReport) -> dict[str, Any]:
    quote = report.quote
    days = break_even_days(saved_nano_month=quote.saved_nano_month, once_nano=quote.once_nano)
    return {
        "source": report.source,
        "target": report.target,
        "files": report.files,
        "usd_once": quote.once_nano / NANO,
        "usd_per_month_saved": quote.saved_nano_month / NANO,
        "break_even_days": None if math.isinf(days) else round(days, 2),
        "quote": asdict(quote),
        "packs": [list(pack) for pack in report.packs],
    }


def _moves_from_json(item: Mapping[str, Any]) -> MoveReport:
    return MoveReport(
        source=str(item["source"]),
        target=str(item["target"]),
        files=int(item["files"]),
        quote=MoveQuote(**item["quote"]),
        packs=tuple((int(number), str(way)) for number, way in item["packs"]),
    )


def _action_to_json(action: Action) -> dict[str, Any]:
    identity = action.identity
    return {
        "path": action.path,
        "action": str(action.kind),
        "target": action.target,
        "reason": action.reason,
        "size_bytes": action.size_bytes,
        "usd_per_month_saved": action.saved_nano_month / NANO,
        "usd_once": action.once_nano / NANO,
        **({"source": action.source, "quote": asdict(action.quote)} if action.kind is ActionKind.MOVE else {}),
        "root": action.root,
        "dir": text(action.dir),
        "name": text(action.name),
        "residency": str(action.residency),
        "rule": action.rule,
        "saved_nano_month": action.saved_nano_month,
        "once_nano": action.once_nano,
        "identity": {
            "dev": identity.dev, "ino": identity.ino, "mtime_ns": identity.mtime_ns, "ctime_ns": identity.ctime_ns,
        },
    }  # fmt: skip


def _action_from_json(item: Mapping[str, Any]) -> Action:
    found = item["identity"]
    return Action(
        kind=ActionKind(item["action"]),
        root=str(item["root"]),
        dir=raw(item["dir"]),
        name=raw(item["name"]),
        identity=FileIdentity(
            dev=int(found["dev"]),
            ino=int(found["ino"]),
            size_bytes=int(item["size_bytes"]),
            mtime_ns=int(found["mtime_ns"]),
            ctime_ns=int(found["ctime_ns"]),
        ),
        residency=Residency(item["residency"]),
        target=str(item["target"]),
        rule=str(item["rule"]),
        reason=str(item["reason"]),
        saved_nano_month=int(item["saved_nano_month"]),
        once_nano=int(item["once_nano"]),
        source=str(item.get("source", "")),
        quote=MoveQuote(**item["quote"]) if "quote" in item else NO_QUOTE,
    )


def _refusal_to_json(refusal: Refusal) -> dict[str, Any]:
    return {
        "path": refusal.path,
        "root": refusal.root,
        "dir": text(refusal.dir),
        "name": text(refusal.name),
        "size_bytes": refusal.size_bytes,
        "target": refusal.target,
        "rule": refusal.rule,
        "cause": refusal.cause,
        "reason": refusal.reason,
    }


def _refusal_from_json(item: Mapping[str, Any]) -> Refusal:
    return Refusal(
        root=str(item["root"]),
        dir=raw(item["dir"]),
        name=raw(item["name"]),
        size_bytes=int(item["size_bytes"]),
        target=str(item["target"]),
        rule=str(item["rule"]),
        cause=str(item["cause"]),
        reason=str(item["reason"]),
    )


_SUMS = (
    "files_seen", "migrate_files", "migrate_bytes", "premigrate_files", "premigrate_bytes", "release_files",
    "release_bytes", "move_files", "move_bytes", "refused_files", "refused_bytes", "unknown_access_files",
    "saved_nano_month", "once_nano",
)  # fmt: skip


def _totals_to_json(totals: Totals) -> dict[str, Any]:
    return {
        **{name: getattr(totals, name) for name in _SUMS},
        "usd_per_month_saved": totals.saved_nano_month / NANO,
        "usd_once": totals.once_nano / NANO,
        "bytes_to": dict(totals.bytes_to),
        "refused_by_cause": dict(totals.refused_by_cause),
    }


def _totals_from_json(item: Mapping[str, Any]) -> Totals:
    return Totals(
        **{name: int(item[name]) for name in _SUMS},
        bytes_to={str(tier): int(size) for tier, size in item["bytes_to"].items()},
        refused_by_cause={str(cause): int(count) for cause, count in item["refused_by_cause"].items()},
    )
