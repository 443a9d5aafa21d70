"""The one tree of errors that frostline raises on purpose.

Every error says three things: what failed and on which object, how things stand now, and what to do next.
It carries an exit code (the documented ones) and a retry class. Everything here is printed as a sentence;
anything that is *not* from here and reaches the command line's main is a bug and is shown as one.

    FrostlineError                 1   failed
    ├─ UsageError                  2   the command or the configuration is wrong
    │  ├─ ConfigError              2
    │  └─ SchemaError              2   catalog newer than this program, or not a supported database
    ├─ SourceError                 3   a file of the user's; the job skips it and goes on
    │  ├─ SourceChanged            3   it is no longer the file that was read
    │  ├─ SourceBusy               3   another process has it open in a way that forbids the step
    │  └─ SourceRefused            3   it is of a kind that is not tiered (immutable, setuid, ...)
    ├─ WaitingOnRestore            4   an archived object must be restored first; carries the ticket number
    ├─ Discrepancy                10   an audit or verification found books and things disagreeing
    ├─ IntegrityError             20   stored bytes are not what was stored; never retried
    ├─ NotOwner                    1   the store belongs to another catalog
    ├─ RootMissing                 1   a root is not mounted, or another tree is mounted there
    ├─ NoSpace                     1   a disk or quota is full, or the reserve would be touched
    ├─ OverBudget                  1   it would cost more than the operator allows; carries the quote
    └─ StoreError                  1   the object store said no
       ├─ StoreUnavailable        75   unreachable, throttled, timed out: try again later
       ├─ StoreDenied              1   credentials or permissions
       ├─ ObjectMissing            1
       ├─ ObjectExists             1   a conditional create lost
       ├─ ObjectArchived           4   readable only after a restore
       ├─ ObjectLocked             1   the store keeps it: Object Lock or a legal hold
       └─ ChecksumRefused         20   the store received other bytes than were sent
    CatalogBusy                   75   (FrostlineError) the catalog is locked by another process
"""

from enum import Enum


class Retry(Enum):
    """Whether doing the same thing again can help."""

    NEVER = "never"
    """The same call will fail the same way."""
    SOON = "soon"
    """Transient: the retry wrapper of the stores may try again within its deadline."""
    LATER = "later"
    """Only time or another actor changes the outcome: the next cycle tries again."""


class FrostlineError(Exception):
    """Base of every expected failure.

    *what* names the failure and the object in one sentence; *now* says what is true after it; *hint* is what the
    reader does next. `str()` is *what* alone; `sentence()` is the three lines that the command line prints.
    """

    exit_code = 1
    retry = Retry.NEVER

    def __init__(self, what: str, *, now: str = "", hint: str = "") -> None:
        """Keep the three parts; none of them ends in a newline."""
        super().__init__(what)
        self.what = what
        self.now = now
        self.hint = hint

    def sentence(self) -> str:
        """Return the message as printed: what, then `now:` and `next:` lines where they are known."""
        lines = [self.what]
        if self.now:
            lines.append(f"  now:  {self.now}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class UsageError(FrostlineError):
    """The command line asks for something that cannot be meant."""

    exit_code = 2


class ConfigError(UsageError):
    """The configuration is missing, malformed, or contradicts what is on the machine."""


class SchemaError(UsageError):
    """The catalog's database is unsupported, or was written by a newer version."""


class SourceError(FrostlineError):
    """Trouble with one file of the user's; jobs record it, skip the file and go on."""

    exit_code = 3
    retry = Retry.LATER


class SourceChanged(SourceError):
    """The file is not, or no longer, the one that was read."""


class SourceBusy(SourceError):
    """Another process holds the file in a way that forbids the step."""


class SourceRefused(SourceError):
    """The file is of a kind, or carries metadata, that frostline does not tier."""

    retry = Retry.NEVER


class WaitingOnRestore(FrostlineError):
    """Archived packs have to be restored by the provider first."""

    exit_code = 4
    retry = Retry.LATER

    def __init__(self, what: str, *, ticket: int, now: str = "", hint: str = "") -> None:
        """Keep the number of the *ticket* under which the restore is followed."""
        super().__init__(what, now=now, hint=hint)
        self.ticket = ticket


class Discrepancy(FrostlineError):
    """Ledger, catalog, store and disk do not agree."""

    exit_code = 10


class IntegrityError(FrostlineError):
    """Stored bytes fail their digest or their format. Never retried, never papered over."""

    exit_code = 20


class NotOwner(FrostlineError):
    """The store is owned by another catalog, or by a later epoch of this one."""


class RootMissing(FrostlineError):
    """A root does not carry its marker: not mounted, or another tree is mounted there. Says nothing about its files."""

    retry = Retry.LATER


class NoSpace(FrostlineError):
    """No room: the disk, the quota, or the reserve that recall must leave free."""

    retry = Retry.LATER


class OverBudget(FrostlineError):
    """It would cost more than the configuration allows. Nothing was asked for."""

    retry = Retry.LATER


class CatalogBusy(FrostlineError):
    """Another process holds the catalog's lock or lease for longer than the timeout."""

    exit_code = 75
    retry = Retry.LATER


class StoreError(FrostlineError):
    """The object store refused or failed."""


class StoreUnavailable(StoreError):
    """Unreachable, throttled or timed out. The retry wrapper handles it; above that it ends the job."""

    exit_code = 75
    retry = Retry.SOON


class StoreDenied(StoreError):
    """Credentials are missing or wrong, or do not permit this."""


class ObjectMissing(StoreError):
    """No object stands under that key."""


class ObjectExists(StoreError):
    """A conditional create found the key taken."""


class ObjectArchived(StoreError):
    """The object is in an archive class and no restored copy is readable."""

    exit_code = 4
    retry = Retry.LATER


class ObjectLocked(StoreError):
    """The store keeps the version until its retention is over, or its legal hold is lifted. It was left as it is."""

    retry = Retry.LATER


class SpeedUnavailable(StoreError):
    """The provider has no room for expedited restores at this moment. Nothing was started or changed."""

    retry = Retry.LATER


class ChecksumRefused(StoreError):
    """The store computed another checksum than the one sent: the bytes were damaged on the way."""

    exit_code = 20
    retry = Retry.SOON
