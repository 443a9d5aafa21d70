"""A plan as a plain value: what would be done, to exactly which files, why, and for how much.

What `plan` prints is this value, and what `apply` does is this value: it goes to JSON and back unchanged
(policies.plan_json). Each action carries the identity of the file it was decided for, so that whoever carries it out
can refuse a file that has moved on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from policies.moving import MoveQuote
from policies.values import FileIdentity, Residency, text

NO_QUOTE = MoveQuote()


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
