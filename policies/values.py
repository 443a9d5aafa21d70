"""The facts that decisions are made from, and the verdicts they end in.

tiering gathers FileFacts from the catalog; nothing here was read from a disk by this package. Times are ns since the
epoch (UTC), sizes bytes, money integer nano-dollars, paths raw bytes relative to the root.
"""

from dataclasses import dataclass
from enum import StrEnum

NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3600 * NS_PER_S
NS_PER_DAY = 24 * NS_PER_HOUR

HOT = "hot"
"""The name of the hot tier in rules and plans."""


class AccessQuality(StrEnum):
    """How far the evidence of reading can be trusted. Stored by these names."""

    ATIME_DAY = "relatime"
    """atime moves at most once a day: the true last read is up to 24 h later than it says."""
    ATIME = "strict"
    """atime moves at every read."""
    OPENS = "opens"
    """The fanotify open counter watched without a gap."""
    NONE = "none"
    """The mount keeps no atime (noatime) and nobody counts opens: reading is unknown, never "cold"."""
    SWEPT = "swept"
    """Sweeps (backup, antivirus) come so often that they hide everyone else's reads: unknown as well."""

    @property
    def is_evidence(self) -> bool:
        """Whether a last access of this quality may be called idle."""
        return self not in {AccessQuality.NONE, AccessQuality.SWEPT}

    @property
    def slack_ns(self) -> int:
        """How much later than recorded the last read may have been."""
        return NS_PER_DAY if self is AccessQuality.ATIME_DAY else 0


class Residency(StrEnum):
    """Where a file's bytes are, as far as plans care. Missing files are not planned for."""

    REGULAR = "regular"
    """On the hot tier only."""
    DUAL = "dual"
    """On the hot tier and stored."""
    OFFLINE = "offline"
    """Stored only."""
    BUSY = "busy"
    """An operation is under way on it (migrating, recalling): it is decided about when that has ended."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What must be unchanged for a decision about a file to still be about that file."""

    dev: int
    ino: int
    """Signed 64 bit, as the catalog stores it."""
    size_bytes: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """All that is known of one file when it is judged."""

    root: str
    """Name of the root."""
    dir: bytes
    """b"" or "a/b/" with a trailing slash."""
    name: bytes
    identity: FileIdentity
    """Of an offline file: its placeholder's, with the size the file had."""
    mode: int
    uid: int
    residency: Residency = Residency.REGULAR
    tier: str | None = None
    """Cold tier that holds the current version; None when not stored."""
    recipe_no: int | None = None
    """Number of the stored version in the catalog; None when not stored."""
    first_seen_ns: int = 0
    last_access_ns: int | None = None
    """Best evidence; None = unknown."""
    access_quality: AccessQuality = AccessQuality.NONE
    active_days: tuple[int, ...] = ()
    """Days since the epoch (UTC) with evidence of reading, ascending."""
    is_pinned: bool = False
    is_link_target: bool = False
    """A symlink somewhere under the roots resolves to it."""
    is_model_cache: bool = False
    """Lies in a Hugging Face cache (blobs/, refs/, snapshots/), whose links and locks break when files vanish."""
    step_rank: int | None = None
    """Where its folder is itself one checkpoint of a run (checkpoint-500): how many later steps stand beside it."""
    best_ranks: tuple[tuple[str, int], ...] = ()
    """(rule, place of its step among its run's by that rule's metric, 0 the best), of the rules that ask and of whose
    metric something is known."""
    stored_ns: int | None = None
    """When the current version was stored."""
    recalled_ns: int | None = None
    nlink: int = 1
    known_names: int = 1
    """How many names of the inode the catalog knows; below nlink, some lie outside the roots."""

    @property
    def size_bytes(self) -> int:
        """Apparent size."""
        return self.identity.size_bytes

    @property
    def path(self) -> str:
        """Root-relative path for matching and display: UTF-8 with surrogate escapes, so nothing is lost."""
        return text(self.dir + self.name)

    def best_rank(self, rule: str) -> int | None:
        """Return the place of its step by the metric of *rule*; None where nothing tells."""
        return next((rank for name, rank in self.best_ranks if name == rule), None)

    def idle_ns(self, now_ns: int) -> int | None:
        """Return for how long nobody read or wrote it *at least*, or None when reading is unknown.

        A day is taken off under relatime. Never negative. Writing and recall count as use.
        """
        if self.last_access_ns is None or not self.access_quality.is_evidence:
            return None
        used = max(self.last_access_ns + self.access_quality.slack_ns, self.identity.mtime_ns, self.recalled_ns or 0)
        return max(0, now_ns - used)

    def age_ns(self, now_ns: int) -> int:
        """Return the time since its content was last written. Never negative."""
        return max(0, now_ns - self.identity.mtime_ns)


@dataclass(frozen=True, slots=True)
class TierFacts:
    """One tier as the planner sees it."""

    name: str
    rank: int
    """0 hot, 1 the warmest cold tier, larger is colder."""
    price_class: str
    """Class of the price book; a local directory has "LOCAL", the hot tier any name of its own."""
    nano_per_gib_month: int | None = None
    """Overrides the book's storage price (LOCAL and hot, whose price only the operator knows)."""
    refundable: bool = False
    """Freed bytes come off a bill (a volume that is shrunk, a cloud file system); else the saving is avoided cost."""
    is_archive: bool = False
    """Must be restored before reading."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and why. Every reason is a sentence; of a refusal, all of them are listed, not the first."""

    ok: bool
    reasons: tuple[str, ...]


def text(path: bytes) -> str:
    """Return a path as text that encodes back to the same bytes (what os.fsdecode gives on a UTF-8 system)."""
    return path.decode("utf-8", "surrogateescape")


def raw(path: str) -> bytes:
    """Undo text()."""
    return path.encode("utf-8", "surrogateescape")
