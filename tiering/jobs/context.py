"""What a job is handed: configuration, catalog, open tiers, a clock, and ways to report and to be stopped.

Built by tiering.app (or by a test); jobs never open anything process-wide themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from tiering.catalog.open import Catalog
from tiering.clock import Clock
from tiering.config import Config
from tiering.errors import UsageError
from tiering.stores.base import Capabilities, Store
from tiering.stores.metered import Meter


@dataclass(frozen=True, slots=True)
class OpenTier:
    """One cold tier, ready for use."""

    name: str
    store: Store
    """With its wrappers."""
    storage_class: str
    """Sent with every put."""
    rank: int
    """1 is the warmest cold tier; larger is colder."""
    capabilities: Capabilities
    meter: Meter = field(default_factory=Meter)
    """What its store was asked, not yet booked; shared by tiers on one store only if they share the store object."""


@dataclass(frozen=True, slots=True)
class OpenRoot:
    """One directory under care."""

    root_id: int
    name: str
    path: bytes
    """Absolute, no trailing slash."""
    marker: str
    """What its marker file must contain."""


class Progress(Protocol):
    """Where a job says how far it is. Called from several threads."""

    def start(self, what: str, *, total_bytes: int | None = None, total_files: int | None = None) -> None:
        """Begin a phase; totals are None where they are not known."""

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        """Add to the current phase."""

    def finish(self) -> None:
        """End the phase."""


class NoProgress:
    """Says nothing."""

    def start(self, what: str, *, total_bytes: int | None = None, total_files: int | None = None) -> None:
        """See Progress."""

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        """See Progress."""

    def finish(self) -> None:
        """See Progress."""


def no_step(name: str) -> None:
    """Pass every step; a test's stand-in raises or kills at the one it names."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a job needs, and nothing global."""

    config: Config
    catalog: Catalog
    tiers: Mapping[str, OpenTier]
    """By tier name; the hot tier is not here."""
    metadata: OpenTier
    """Where recipe packs, segments and the ownership file live: always an instant class."""
    roots: tuple[OpenRoot, ...]
    clock: Clock
    store_id: str
    """8 characters; stands in every placeholder."""
    catalog_id: str
    epoch: int
    owner: str
    """host:pid:boot-id of this process, for leases and the journal."""
    progress: Progress = field(default_factory=NoProgress)
    stop: Event = field(default_factory=Event)
    """Set when the job should finish the step in hand and return."""
    buckets: tuple[OpenRoot, ...] = ()
    """Buckets whose objects are stored like files (mode ingest): their paths begin with s3://, and nothing of theirs is
    on a disk.
    """
    step: Callable[[str], None] = no_step
    """Called before each durable step with its name, e.g. "migrate.uploaded"."""

    def root(self, root_id: int) -> OpenRoot:
        """Return the open root or bucket; raises UsageError if it is not configured any more."""
        for root in (*self.roots, *self.buckets):
            if root.root_id == root_id:
                return root
        raise UsageError(f"root {root_id} is in the catalog but not in the configuration")

    def tier(self, name: str) -> OpenTier:
        """Return the tier; raises UsageError naming the tiers there are."""
        if name in self.tiers:
            return self.tiers[name]
        known = ", ".join(self.tiers)
        raise UsageError(f'there is no tier "{name}"', hint=f"choose one of: {known}")
