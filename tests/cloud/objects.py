"""What S3 remembers of an object beside its bytes: its class since when, and the restored copy, if any.

Sources: docs.aws.amazon.com, "Restoring an archived object", "RestoreObject", "S3 storage classes".
"""

from dataclasses import dataclass, field

from policies.cooling import CoolingStep, step_at
from tests.cloud.locks import Lock
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
    ("archive access", "Expedited"): 5 * 60,
    ("archive access", "Standard"): 5 * 3600,
    ("archive access", "Bulk"): 12 * 3600,
    ("deep archive access", "Standard"): 12 * 3600,
    ("deep archive access", "Bulk"): 48 * 3600,
}
ACCESS_STATUS = {"archive access": "ARCHIVE_ACCESS", "deep archive access": "DEEP_ARCHIVE_ACCESS"}
"""Step of Intelligent-Tiering -> what a HEAD says of it."""


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
    created_ns: int = 0
    """When it was written: lifecycle rules count from here."""
    version_id: str = ""
    """"" in a bucket that keeps none."""
    noncurrent_ns: int = 0
    """Since when it is an old version; 0 for the current one."""
    lock: Lock = field(default_factory=Lock)
    kms_key: str = ""
    """That it is encrypted with; "" for none."""
    ladder: tuple[CoolingStep, ...] = ()
    """The access tiers it goes down by itself."""
    warm_ns: int = 0
    """When it was last read, or came: access tiers count from here."""

    def look(self, now_ns: int) -> str:
        """Return instant, cold, warming or warm."""
        if self.ladder:
            if not self.step(now_ns).is_archived:
                return "instant"
            return "warming" if self.restore else "cold"
        if self.storage_class not in ARCHIVED:
            return "instant"
        if self.restore is None:
            return "cold"
        self.restore.settle(now_ns)
        if now_ns < self.restore.ready_ns:
            return "warming"
        return "warm" if now_ns < self.restore.expires_ns else "cold"

    def step(self, now_ns: int) -> CoolingStep:
        """Return the access tier it is on."""
        warm_ns = self.restore.ready_ns if self.restore and self.restore.ready_ns <= now_ns else self.warm_ns
        return self.ladder[step_at(self.ladder, now_ns - warm_ns)]

    def archived_as(self, now_ns: int) -> str:
        """Return under which name restore times of what it is now are known."""
        return self.step(now_ns).name if self.ladder else self.storage_class


def midnight_after(at_ns: int) -> int:
    """Return the first midnight UTC at or after *at_ns*."""
    return -(-at_ns // NS_PER_DAY) * NS_PER_DAY


def restore_seconds(archived_as: str, speed: str) -> int | None:
    """Return how long a restore takes out of a class or access tier; None if it does not offer the speed."""
    return RESTORE_S.get((archived_as, speed))
