"""What jobs return: plain values that can be printed, stored as JSON, or sent between processes."""

from dataclasses import dataclass, field
from enum import StrEnum


class Skip(StrEnum):
    """Why a file was left alone, for counting; the reason text says it in full."""

    CHANGED = "changed"
    BUSY = "busy"
    REFUSED = "refused"
    UNREADABLE = "unreadable"
    NO_SPACE = "no_space"
    WAITING = "waiting"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Skipped:
    """One file a job did not do."""

    path: str
    """Absolute, for display (os.fsdecode)."""
    reason: str
    """A sentence."""
    kind: Skip = Skip.OTHER


@dataclass(frozen=True, slots=True)
class JobReport:
    """The outcome of migrate, release, recall, restore and the like. Bytes are raw file bytes unless named stored."""

    files_done: int = 0
    files_skipped: tuple[Skipped, ...] = ()
    bytes_read: int = 0
    bytes_stored: int = 0
    """Bytes uploaded, everything counted."""
    bytes_freed: int = 0
    seconds: float = 0.0
    tickets: tuple[int, ...] = ()
    """Restore tickets opened or waited on."""
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """0 done; 4 waiting on a restore; 3 some items skipped."""
        if self.tickets:
            return 4
        return 3 if self.files_skipped else 0

    def merged(self, other: "JobReport") -> "JobReport":
        """Return the sum of both."""
        return JobReport(
            files_done=self.files_done + other.files_done,
            files_skipped=self.files_skipped + other.files_skipped,
            bytes_read=self.bytes_read + other.bytes_read,
            bytes_stored=self.bytes_stored + other.bytes_stored,
            bytes_freed=self.bytes_freed + other.bytes_freed,
            seconds=self.seconds + other.seconds,
            tickets=self.tickets + other.tickets,
            notes=self.notes + other.notes,
        )
