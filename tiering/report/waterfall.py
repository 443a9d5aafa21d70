"""The savings waterfall: from the bytes that files have to the bytes that the bucket holds, step by step, exactly."""

from dataclasses import dataclass
from typing import Protocol


class Books(Protocol):
    """The totals an audit reports; tiering.jobs.audit.AuditReport is one. Bytes."""

    @property
    def dual_bytes(self) -> int:
        """See AuditReport."""

    @property
    def offline_bytes(self) -> int:
        """See AuditReport."""

    @property
    def retained_bytes(self) -> int:
        """See AuditReport."""

    @property
    def dedup_saved_bytes(self) -> int:
        """See AuditReport."""

    @property
    def compression_saved_bytes(self) -> int:
        """See AuditReport."""

    @property
    def overhead_bytes(self) -> int:
        """See AuditReport."""

    @property
    def stored_bytes(self) -> int:
        """See AuditReport."""

    @property
    def dead_bytes(self) -> int:
        """See AuditReport."""

    @property
    def metadata_bytes(self) -> int:
        """See AuditReport."""

    @property
    def bucket_bytes(self) -> int:
        """See AuditReport."""


@dataclass(frozen=True, slots=True)
class Step:
    """One bar."""

    label: str
    change_bytes: int
    """Added (or, negative, saved) by this step; of a subtotal its whole height."""
    total_bytes: int
    """After this step."""
    is_total: bool = False


def waterfall(books: Books) -> list[Step]:
    """Return the steps; each total is the one before plus the change, and the subtotals are the books' own numbers."""
    steps: list[Step] = []
    running = 0

    def add(label: str, change: int) -> None:
        nonlocal running
        running += change
        steps.append(Step(label, change, running))

    def total(label: str, value: int) -> None:
        steps.append(Step(label, value, value, is_total=True))

    add("stored files (dual + offline)", books.dual_bytes + books.offline_bytes)
    add("retained versions", books.retained_bytes)
    add("saved by dedup", -books.dedup_saved_bytes)
    add("saved by compression and holes", -books.compression_saved_bytes)
    add("pack overhead", books.overhead_bytes)
    total("live in the store", books.stored_bytes)
    add("dead, waiting for gc", books.dead_bytes)
    add("recipes, segments, ownership", books.metadata_bytes)
    total("in the bucket", books.bucket_bytes)
    return steps
