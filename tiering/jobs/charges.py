"""Turns what the stores were asked into dollars in the ledger: requests, transitions, and retrieval by the gigabyte.

Jobs that run for long call charge() at the end of a batch; whatever else a process asked is booked by charging() when
it closes its installation. A meter is emptied when it is read, so nothing is booked twice. Restores from archives are
booked by tiering.jobs.tickets, where their speed is known. Amounts come from the price book that the entry names.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from policies.amounts import GIB
from policies.prices import PriceBook
from tiering.catalog import accounts, ledger
from tiering.catalog.accounts import Amounts
from tiering.catalog.open import Catalog
from tiering.config import Config
from tiering.config.policy import price_book
from tiering.errors import FrostlineError
from tiering.jobs.context import Context, OpenTier
from tiering.jobs.pack_reads import note_reads
from tiering.jobs.price_class import price_class_of
from tiering.stores.metered import Meter, Usage

# What AWS bills at the price of a PUT, a GET, or not at all. A LIST counts as a PUT of class STANDARD, whatever the
# class of what it lists (aws.amazon.com/s3/pricing, "Requests & data retrievals").
_AS_PUT = "put"
_AS_GET = frozenset({"get", "head"})
_AS_LIST = "list"
_AS_TRANSITION = "copy"
_OF_QUEUE = "queue"
# "restore" is not here: its price depends on the speed, and is booked with the restore.


def price_class(ctx: Context, tier: str, storage_class: str = "") -> str:
    """Return price_class_of() for the configuration in use."""
    return price_class_of(ctx.config, tier, storage_class)


def charge(ctx: Context, *, reason: str) -> int:
    """Book what all stores were asked since the last call; see charge_meters."""
    meters = [(tier.name, tier.meter) for tier in metered_once(ctx)]
    return charge_meters(ctx.catalog, ctx.config, meters, reason=reason)


@contextmanager
def charging(ctx: Context, *, reason: str) -> Iterator[None]:
    """Book at the end whatever the stores were asked inside and nobody has booked, also when it failed."""
    try:
        yield
    except BaseException:
        try:
            charge(ctx, reason=reason)
        except FrostlineError:
            pass  # the first error says more
        raise
    charge(ctx, reason=reason)


def charge_meters(catalog: Catalog, config: Config, meters: Sequence[tuple[str, Meter]], *, reason: str) -> int:
    """Book what *meters*, each with its tier, counted: one entry each, none where nothing costs. Return nano-dollars.

    What was asked is taken out of the meters and is in the ledger when this returns. If the catalog cannot be written
    it is put back and the error raised: the next call books it. A process that dies in between loses the costs of its
    last batch, which no bill of ours can lose: audit --bill compares with the provider's.
    """
    if all(meter.snapshot().is_empty for _, meter in meters):
        return 0  # most commands that only look; they need no price book
    book = price_book(config)
    note_reads(config, catalog, book, meters)
    total = 0
    for tier, meter in meters:
        usage = meter.take()
        try:
            amounts, cost = _priced(config, book, tier, usage)
            if cost:
                with catalog.write() as tx:
                    ledger.post(tx, _entry(book, tier, usage, amounts, reason))
        except FrostlineError:
            meter.give_back(usage)
            raise
        total += cost
    return total


def metered_once(ctx: Context) -> Iterator[OpenTier]:
    """Yield one tier for each distinct meter."""
    seen: set[int] = set()
    for tier in (*ctx.tiers.values(), ctx.metadata):
        if id(tier.meter) not in seen:
            seen.add(id(tier.meter))
            yield tier


def _priced(config: Config, book: PriceBook, tier: str, usage: Usage) -> tuple[Amounts, int]:
    requests = transitions = 0
    for (kind, storage_class), times in usage.requests.items():
        price = book.price(price_class_of(config, tier, storage_class))
        if kind == _AS_PUT:
            requests += price.put_nano * times
        elif kind in _AS_GET:
            requests += price.get_nano * times
        elif kind == _AS_LIST:
            requests += book.price(price_class_of(config, tier, "STANDARD")).put_nano * times
        elif kind == _OF_QUEUE:
            requests += book.queue_nano * times
        elif kind == _AS_TRANSITION:
            transitions += price.put_nano * times
    retrieval = sum(
        book.price(price_class_of(config, tier, name)).retrieval_nano_per_gib * size_bytes // GIB
        for name, size_bytes in usage.down.items()
    )
    amounts = Amounts()
    amounts.add(accounts.COST_REQUESTS, requests, tier)
    amounts.add(accounts.COST_TRANSITION, transitions, tier)
    amounts.add(accounts.COST_RETRIEVAL, retrieval, tier)
    total = requests + transitions + retrieval
    amounts.add(accounts.PAYABLE, -total)
    return amounts, total


def _entry(book: PriceBook, tier: str, usage: Usage, amounts: Amounts, reason: str) -> ledger.Entry:
    asked = ", ".join(
        f"{times} {kind}{f' {storage_class}' if storage_class else ''}"
        for (kind, storage_class), times in sorted(usage.requests.items())
    )
    return ledger.Entry(
        op_id=f"requests:{tier}:{secrets.token_hex(8)}",
        kind="requests",
        reason=f"{reason}: {asked}; {usage.bytes_up} bytes up, {usage.bytes_down} down",
        lines=amounts.lines(),
        price_book=book.book_id,
    )
