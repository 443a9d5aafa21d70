"""Counts what a job has done so far, and turns into its report."""

from dataclasses import dataclass, field
from typing import Protocol

from tiering.jobs.context import Context
from tiering.jobs.reports import JobReport, Notes, Skip, Skips


class FileItem(Protocol):
    """A file to work on, as plans and commands name it. A MigrateItem is one."""

    @property
    def root_id(self) -> int:
        """Number of its root."""

    @property
    def dir(self) -> bytes:
        """b"" or "a/b/"."""

    @property
    def name(self) -> bytes:
        """Its last component."""

    @property
    def reason(self) -> str:
        """Goes into the ledger entry."""


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A FileItem."""

    root_id: int
    dir: bytes
    name: bytes
    reason: str = ""


@dataclass(slots=True)
class Tally:
    """What has become of the items so far."""

    ctx: Context
    started_s: float
    done: int = 0
    bytes_read: int = 0
    bytes_freed: int = 0
    skipped: Skips = field(default_factory=Skips)
    notes: Notes = field(default_factory=Notes)
    tickets: list[int] = field(default_factory=list)

    @classmethod
    def begin(cls, ctx: Context) -> "Tally":
        """Start counting now."""
        return cls(ctx, ctx.clock.monotonic_s())

    def skip(self, shown: str, reason: str, kind: Skip) -> None:
        """Note one file that was left alone; *shown* is its absolute path."""
        self.skipped.add(shown, reason, kind)

    def report(self) -> JobReport:
        """Return the sum."""
        return JobReport(
            files_done=self.done,
            files_skipped=tuple(self.skipped.listed),
            bytes_read=self.bytes_read,
            bytes_freed=self.bytes_freed,
            seconds=self.ctx.clock.monotonic_s() - self.started_s,
            tickets=tuple(self.tickets),
            notes=tuple(self.notes.listed),
            more_skipped=dict(self.skipped.more),
            more_notes=self.notes.more,
        )
