"""What is known of a bucket under care without asking it: the last scan, and its part of the ledger."""

from dataclasses import dataclass, field

from tiering.catalog import accounts, bucket_roots, ledger, object_moves, objects
from tiering.catalog.totals import totals_of
from tiering.catalog.values import FileState
from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.context import Context

_SPENT = (
    accounts.COST_REQUESTS,
    accounts.COST_TRANSITION,
    accounts.COST_RETRIEVAL,
    accounts.COST_EARLY_DELETE,
)


@dataclass(frozen=True, slots=True)
class BucketStatus:
    """One bucket; amounts in nano-dollars, since its care began."""

    name: str
    url: str
    mode: str
    scanned_ns: int | None = None
    classes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Class -> (objects, bytes)."""
    spent_nano: int = 0
    """Requests, changes, reading out of classes and early deletion."""
    storage_nano: int = 0
    """Storage of the objects that changed class."""
    baseline_nano: int = 0
    """The same, had they stayed."""
    under_way: int = 0
    stored: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of mode ingest: dual (the original stands too), offline (it was deleted), missing -> (objects, bytes)."""


def bucket_status(ctx: Context, name: str) -> BucketStatus:
    """Return the status of a bucket. Raises UsageError where there is none of that name."""
    config = bucket_config(ctx, name)
    account = accounts.CARE + name
    with ctx.catalog.read() as tx:
        row = objects.find(tx, name)
        if row is None:
            return BucketStatus(name, config.url, config.mode)
        root = bucket_roots.find(tx, config.url)
        stored = {} if root is None else totals_of(tx, root_id=root.root_id)
        return BucketStatus(
            name=name,
            url=config.url,
            mode=config.mode,
            scanned_ns=row.scanned_ns,
            classes=objects.by_class(tx, row.bucket_id),
            spent_nano=sum(ledger.balance(tx, spent, account) for spent in _SPENT),
            storage_nano=ledger.balance(tx, accounts.COST_STORAGE, account),
            baseline_nano=ledger.balance(tx, accounts.BASELINE_STORAGE, account),
            under_way=len(object_moves.under_way(tx, row.bucket_id)),
            stored={
                str(state): (total.files, total.size_bytes)
                for state, total in stored.items()
                if state in {FileState.DUAL, FileState.OFFLINE, FileState.MISSING}
            },
        )
