"""What S3 remembers of an object beside its bytes: its class since when, and the restored copy, if any.

Sources: docs.aws.amazon.com, "Restoring an archived object", "RestoreObject", "S3 storage classes".
"""

from dataclasses import dataclass, field

from tiering.clock import NS_PER_DAY, NS_PER_S

HOUR_NS = 3600 * NS_PER_S
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
SPEEDS = ("Bulk", "Standard", "Expedited")

# Upper ends of the documented restore times, in seconds; nothing here comes early.
RESTORE_S = {
    ("GLACIER", "Expedited"): 5 * 60,
    ("GLACIER", "Standard"): 5 * 3600,
    ("GLACIER", "Bulk"): 12 * 3600,
    ("DEEP_ARCHIVE", "Standard"): 12 * 3600,
    ("DEEP_ARCHIVE", "Bulk"): 48 * 3600,
}


@dataclass(slots=True)
class Restore:
    """A readable copy that is on its way, there, or gone again."""

    speed: str
    ready_ns: int
    days: int
    expires_ns: int = 0
    """0 until the copy is there; then a midnight UTC."""

    def settle(self, now_ns: int) -> None:
        """Fix the expiry once the copy is there: Days after it, rounded up to the next midnight UTC."""
        if not self.expires_ns and now_ns >= self.ready_ns:
            self.expires_ns = midnight_after(self.ready_ns + self.days * NS_PER_DAY)

    def extend(self, days: int, now_ns: int) -> None:
        """Move the expiry of a copy that is there to *days* from now; it may come nearer, as with S3."""
        self.days = days
        self.expires_ns = midnight_after(now_ns + days * NS_PER_DAY)


@dataclass(slots=True)
class StoredObject:
    """One object as S3 bills it."""

    size: int
    storage_class: str
    since_ns: int
    """When it came into this class: minimum stays count from here."""
    billed_to_ns: int
    """Until when its storage has been billed."""
    restore: Restore | None = field(default=None)
    etag: str = ""
    """With its quotes."""

    def look(self, now_ns: int) -> str:
        """Return instant, cold, warming or warm."""
        if self.storage_class not in ARCHIVED:
            return "instant"
        if self.restore is None:
            return "cold"
        self.restore.settle(now_ns)
        if now_ns < self.restore.ready_ns:
            return "warming"
        return "warm" if now_ns < self.restore.expires_ns else "cold"


def midnight_after(at_ns: int) -> int:
    """Return the first midnight UTC at or after *at_ns*."""
    return -(-at_ns // NS_PER_DAY) * NS_PER_DAY


def restore_seconds(storage_class: str, speed: str) -> int | None:
    """Return how long a restore takes; None if the class does not offer the speed."""
    return RESTORE_S.get((storage_class, speed))
