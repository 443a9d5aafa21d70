"""What is known of a bucket that objects stand in: its settings, and what lies about in it. Plain values."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """One enabled lifecycle rule that is about keys of ours."""

    name: str
    prefix: str
    """Whole keys."""
    needs_tags: Mapping[str, str]
    """Only objects with all of them are concerned."""
    transitions: tuple[tuple[int, str], ...]
    """(days, class)."""
    expires_days: int | None
    ends_old_versions_days: int | None
    aborts_uploads_days: int | None


@dataclass(slots=True)
class Survey:
    """Everything that was found."""

    versioning: str = ""
    """Enabled, Suspended or "" for never."""
    retention: str = ""
    """Of new versions, e.g. "COMPLIANCE for 30 days"; "on" for locks without a default; "" for no Object Lock."""
    replicas: tuple[tuple[str, str], ...] = ()
    """(destination, its class; "" for the same)."""
    rules: tuple[RuleFacts, ...] = ()
    archiving: tuple[int, int] = (0, 0)
    """Days to the archive access tiers, of configurations that are about packs."""
    old_versions: Counter[str] = field(default_factory=Counter)
    """Class -> bytes of noncurrent versions."""
    old_count: int = 0
    markers: int = 0
    marker_bytes: int = 0
    is_cut: bool = False
    """There are more versions than were listed."""
    upload_parts: Counter[str] = field(default_factory=Counter)
    """Class -> bytes of parts of unfinished uploads."""
    uploads: int = 0
    lists: int = 0
    """LIST requests that it took."""
    gets: int = 0
    """Settings that were asked for: billed as GET requests."""
    unknown: list[str] = field(default_factory=list)
    """Settings that could not be read, and why."""
