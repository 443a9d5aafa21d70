"""A bucket under care, opened: its configuration, its row, the way to it, and what was asked of it, for the ledger.

Used by the jobs on buckets (object_scan, object_apply, object_ingest ...). Look-ups of a bucket's own settings are not
counted: they cost less than a thousandth of a cent.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from policies.amounts import GIB
from policies.prices import PriceBook
from tiering.catalog import accounts, ledger, objects
from tiering.catalog.accounts import Amounts
from tiering.catalog.objects import BucketRow
from tiering.catalog.transaction import Tx
from tiering.config.bucket import BucketConfig
from tiering.config.policy import price_book
from tiering.errors import UsageError
from tiering.jobs import exclusive
from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.context import Context
from tiering.stores.metered import Meter, Usage
from tiering.stores.options import StoreOptions
from tiering.stores.originals import Originals, open_originals

LEASE_S = 24 * 3600  # bounds what a vanished host holds up


@dataclass(frozen=True, slots=True)
class Care:
    """One bucket, ready for use."""

    config: BucketConfig
    row: BucketRow
    remote: Originals
    meter: Meter
    book: PriceBook
    asked: Counter[str] = field(default_factory=Counter)
    """Requests booked by kind."""
    _others: dict[str, Originals] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The ledger's word for it, in place of a tier."""
        return accounts.CARE + self.config.name

    def bucket(self, name: str, options: StoreOptions, ctx: Context) -> Originals:
        """Return the bucket of that name, reached in the same way: inventories and logs stand in another one."""
        if name == self.config.bucket:
            return self.remote
        if name not in self._others:
            self._others[name] = open_originals(name, options, clock=ctx.clock, meter=self.meter)
        return self._others[name]


def bucket_options(config: BucketConfig) -> StoreOptions:
    """Return how a bucket is reached."""
    return StoreOptions(
        endpoint_url=config.endpoint_url,
        region=config.region,
        profile=config.profile,
        path_style=config.path_style,
        max_concurrency=config.max_concurrency,
    )


@contextmanager
def caring(ctx: Context, name: str, *, reason: str) -> Iterator[Care]:
    """Open a bucket; what it was asked and nobody has booked goes into the ledger at the end, with *reason*."""
    config = bucket_config(ctx, name)
    with ctx.catalog.write() as tx:
        row = objects.ensure(tx, name, config.url)
    meter = Meter()
    remote = open_originals(config.bucket, bucket_options(config), clock=ctx.clock, meter=meter)
    care = Care(config, row, remote, meter, price_book(ctx.config))
    try:
        yield care
    finally:
        with ctx.catalog.write() as tx:
            book_usage(tx, care, care.meter.take(), reason=reason)


@contextmanager
def alone(ctx: Context, name: str) -> Iterator[None]:
    """Hold the bucket against other processes that act on it; a dead one's hold counts for nothing.

    Raises CatalogBusy while one that lives, or may live, has it.
    """
    with exclusive.alone(ctx, f"bucket:{name}", seconds=LEASE_S):
        yield


def book_usage(
    tx: Tx, care: Care, usage: Usage, *, reason: str, retrieval: int = 0, early: int = 0, op_id: str = ""
) -> int:
    """Book requests and what came down, and the nano-dollars of reading objects out of their class in place and of
    leaving it early; return all.

    One entry, none where nothing costs. With the same *op_id* again nothing is booked twice.
    """
    for (kind, _), times in usage.requests.items():
        care.asked[kind] += times
    requests, transitions = request_nano(care.book, usage)
    retrieval += read_nano(care, usage)
    total = requests + transitions + retrieval + early
    if not total:
        return 0
    amounts = Amounts()
    amounts.add(accounts.COST_REQUESTS, requests, care.account)
    amounts.add(accounts.COST_TRANSITION, transitions, care.account)
    amounts.add(accounts.COST_RETRIEVAL, retrieval, care.account)
    amounts.add(accounts.COST_EARLY_DELETE, early, care.account)
    amounts.add(accounts.PAYABLE, -total)
    asked = ", ".join(f"{times} {kind} {name}" for (kind, name), times in sorted(usage.requests.items()))
    ledger.post(
        tx,
        ledger.Entry(
            op_id=op_id or f"bucket:{care.config.name}:{secrets.token_hex(8)}",
            kind="bucket",
            reason=f"{reason}: {asked}",
            lines=amounts.lines(),
            price_book=care.book.book_id,
        ),
    )
    return total


def read_nano(care: Care, usage: Usage) -> int:
    """Return the nano-dollars of the bytes that came down: reading them out of their class, and their way here."""
    book = care.book
    nano = Fraction(0)
    for storage_class, size_bytes in usage.down.items():
        price = book.price(storage_class if storage_class in book.classes else "STANDARD")
        nano += Fraction(price.retrieval_nano_per_gib * size_bytes, GIB)
    return int(nano) + int(Fraction(care.config.egress_nano_per_gib * usage.bytes_down, GIB))


def request_nano(book: PriceBook, usage: Usage) -> tuple[int, int]:
    """Return nano-dollars of (requests, class changes). A list is billed as a PUT of class STANDARD."""
    requests = transitions = 0
    for (kind, storage_class), times in usage.requests.items():
        price = book.price(storage_class if storage_class in book.classes else "STANDARD")
        if kind == "list":
            requests += book.price("STANDARD").put_nano * times
        elif kind in {"get", "head"}:
            requests += price.get_nano * times
        elif kind in {"put", "copy"}:
            transitions += price.put_nano * times
    return requests, transitions


def refuse_other_mode(config: BucketConfig, mode: str) -> None:
    """Raise UsageError unless the operator lets that be done with objects of this bucket."""
    if config.mode != mode:
        said = "looked at only" if config.mode == "report" else f"for {config.mode}"
        raise UsageError(
            f"bucket {config.name} is {said} (mode = {config.mode})",
            now="nothing was changed in it",
            hint=f'set mode = "{mode}" in its [[buckets]] table',
        )
