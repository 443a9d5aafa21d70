"""What jobs return: plain values that can be printed, stored as JSON, or sent between processes.

They stay small whatever the number of files: of what was left alone, and of notes, the first are listed and the rest
is counted.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

SKIPS_LISTED = 2_000  # 1 MB at 500 bytes a path and its reason; who needs more mends the first kind and runs it again
NOTES_LISTED = 500  # of one job, about single files
NOTES_MERGED = 1_000  # of reports taken together


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
    """The first SKIPS_LISTED of them; skipped_count says how many there are."""
    bytes_read: int = 0
    bytes_stored: int = 0
    """Bytes uploaded, everything counted."""
    bytes_freed: int = 0
    seconds: float = 0.0
    tickets: tuple[int, ...] = ()
    """Restore tickets opened or waited on."""
    notes: tuple[str, ...] = field(default=())
    """Of those about single files the first NOTES_LISTED."""
    more_skipped: Mapping[Skip, int] = field(default_factory=dict)
    """How many files of each kind were left alone beside those listed; kinds without any are not named."""
    more_notes: int = 0
    """How many notes there were beside those listed."""

    @property
    def skipped_count(self) -> int:
        """How many files were left alone, listed or not."""
        return len(self.files_skipped) + sum(self.more_skipped.values())

    @property
    def skipped_by_kind(self) -> dict[Skip, int]:
        """How many files of each kind were left alone, listed or not."""
        return dict(Counter(item.kind for item in self.files_skipped) + Counter(self.more_skipped))

    @property
    def exit_code(self) -> int:
        """0 done; 4 waiting on a restore; 3 some items skipped."""
        if self.tickets:
            return 4
        return 3 if self.skipped_count else 0

    def merged(self, other: "JobReport") -> "JobReport":
        """Return the sum of both; what *self* lists comes first."""
        skips, notes = Skips(), Notes()
        for report in (self, other):
            skips.take(report)
            notes.take(report)
        return JobReport(
            files_done=self.files_done + other.files_done,
            files_skipped=tuple(skips.listed),
            bytes_read=self.bytes_read + other.bytes_read,
            bytes_stored=self.bytes_stored + other.bytes_stored,
            bytes_freed=self.bytes_freed + other.bytes_freed,
            seconds=self.seconds + other.seconds,
            tickets=self.tickets + other.tickets,
            notes=tuple(notes.listed),
            more_skipped=dict(skips.more),
            more_notes=notes.more,
        )

    def without(self, kind: Skip) -> "JobReport":
        """Return the report without the files that were left alone for reasons of *kind*."""
        return replace(
            self,
            files_skipped=tuple(item for item in self.files_skipped if item.kind is not kind),
            more_skipped={other: count for other, count in self.more_skipped.items() if other is not kind},
        )


@dataclass(slots=True)
class Skips:
    """What a job leaves alone, collected while it runs: the first SKIPS_LISTED in full, of the rest the numbers."""

    listed: list[Skipped] = field(default_factory=list)
    more: Counter[Skip] = field(default_factory=Counter)

    def add(self, path: str, reason: str, kind: Skip = Skip.OTHER) -> None:
        """Note one file, by its absolute path for display."""
        self.add_all((Skipped(path, reason, kind),))

    def add_all(self, skipped: Iterable[Skipped]) -> None:
        """Note more files, in this order."""
        for item in skipped:
            if len(self.listed) < SKIPS_LISTED:
                self.listed.append(item)
            else:
                self.more[item.kind] += 1

    def count_more(self, kind: Skip, count: int) -> None:
        """Note *count* files of one kind that are not to be listed."""
        if count:
            self.more[kind] += count

    def take(self, report: JobReport) -> None:
        """Note what *report* says was left alone."""
        self.add_all(report.files_skipped)
        self.more.update(report.more_skipped)

    @property
    def count(self) -> int:
        """How many files were noted."""
        return len(self.listed) + self.more.total()

    def report(self) -> JobReport:
        """Return a report of these alone; its merged() puts another's behind them."""
        return JobReport(files_skipped=tuple(self.listed), more_skipped=dict(self.more))


@dataclass(slots=True)
class Notes:
    """Notes collected while a job runs: the first NOTES_LISTED in full, of the rest the number."""

    listed: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, note: str) -> None:
        """Keep a note about the job as a whole: there are few of these, and each is listed."""
        self.listed.append(note)

    def add_of_file(self, note: str) -> None:
        """Keep a note about one file, of which there may be as many as files."""
        if len(self.listed) < NOTES_LISTED:
            self.listed.append(note)
        else:
            self.more += 1

    def take(self, report: JobReport) -> None:
        """Keep the notes of *report*, as long as there are not too many."""
        room = max(0, NOTES_MERGED - len(self.listed))
        self.listed += report.notes[:room]
        self.more += report.more_notes + len(report.notes[room:])
