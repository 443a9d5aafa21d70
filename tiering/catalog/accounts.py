"""The ledger's accounts and the sum of lines that a change adds up before it is booked.

Unit byte: each of the three books sums to zero in every entry. Unit nanousd: the two dollar books do.
docs/ledger.md says what each account means and how it is recomputed.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

BYTE = "byte"
NANOUSD = "nanousd"

FILES_HOT_ONLY = "files.hot_only"
FILES_DUAL = "files.dual"
FILES_OFFLINE = "files.offline"
FILES_LOGICAL = "files.logical"

STORE_LIVE = "store.live"
STORE_DEDUP_SAVED = "store.dedup_saved"
STORE_COMPRESSION_SAVED = "store.compression_saved"
STORE_OVERHEAD = "store.overhead"
HELD_CURRENT = "held.current"
HELD_RETAINED = "held.retained"

BUCKET_LIVE = "bucket.live"
BUCKET_DEAD = "bucket.dead"
BUCKET_METADATA = "bucket.metadata"
BUCKET_TOTAL = "bucket.total"

COST_STORAGE = "cost.storage"
COST_REQUESTS = "cost.requests"
COST_RETRIEVAL = "cost.retrieval"
COST_EARLY_DELETE = "cost.early_delete"
COST_TRANSITION = "cost.transition"
PAYABLE = "payable"
BASELINE_STORAGE = "baseline.storage"
BASELINE = "baseline"

CARE = "bucket:"
"""Begins what stands in place of a tier on the dollars of a bucket under care, which are no part of the tiers' sums."""

BOOKS: dict[str, tuple[str, frozenset[str]]] = {
    "files": (BYTE, frozenset({FILES_HOT_ONLY, FILES_DUAL, FILES_OFFLINE, FILES_LOGICAL})),
    "store": (
        BYTE,
        frozenset(
            {STORE_LIVE, STORE_DEDUP_SAVED, STORE_COMPRESSION_SAVED, STORE_OVERHEAD, HELD_CURRENT, HELD_RETAINED}
        ),
    ),
    "bucket": (BYTE, frozenset({BUCKET_LIVE, BUCKET_DEAD, BUCKET_METADATA, BUCKET_TOTAL})),
    "cost": (
        NANOUSD,
        frozenset({COST_STORAGE, COST_REQUESTS, COST_RETRIEVAL, COST_EARLY_DELETE, COST_TRANSITION, PAYABLE}),
    ),
    "baseline": (NANOUSD, frozenset({BASELINE_STORAGE, BASELINE})),
}
"""Book -> (unit, its accounts). Every account is in exactly one book."""

BOOK_OF = {account: book for book, (_, accounts) in BOOKS.items() for account in accounts}
UNIT_OF = {account: unit for unit, accounts in BOOKS.values() for account in accounts}


@dataclass(frozen=True, slots=True)
class Line:
    """One amount on one account."""

    account: str
    tier: str
    """"" where the account has no tier."""
    unit: str
    """byte or nanousd."""
    amount: int


class Amounts:
    """Adds up amounts per account and tier; what cancels out leaves no line."""

    def __init__(self) -> None:
        """Start at zero."""
        self._sums: Counter[tuple[str, str]] = Counter()

    def add(self, account: str, amount: int, tier: str = "") -> None:
        """Add *amount* (may be negative). Raises KeyError for an account that does not exist."""
        if account not in UNIT_OF:
            raise KeyError(account)
        self._sums[account, tier] += amount

    def lines(self) -> tuple[Line, ...]:
        """Return what is not zero, ordered by account and tier."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[Line]:
        for (account, tier), amount in sorted(self._sums.items()):
            if amount:
                yield Line(account, tier, UNIT_OF[account], amount)
