"""The class that new packs of a tier go up to: its own, or STANDARD for some days first, whichever is cheaper.

Used by packing when a batch begins, by uploads, and by whoever shows the arithmetic (plan, explain, doctor). Only tiers
of GLACIER and DEEP_ARCHIVE in S3, at the price book's prices, have a choice.
"""

from collections.abc import Container, Iterator

from policies.cost import HOURS_PER_DAY
from policies.prices import LOCAL
from policies.uploading import STANDARD, WAITS, Churn, Upload, weigh
from tiering.catalog import churn
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.config.policy import price_book
from tiering.jobs.charges import price_class
from tiering.jobs.context import Context, OpenTier
from tiering.stores.archive import ARCHIVE_CLASSES
from tiering.stores.base import ArchiveStore


def upload_of(ctx: Context, tx: Tx, tier: OpenTier) -> Upload | None:
    """Return what is weighed for new packs of *tier*; None where there is nothing to choose."""
    if tier.storage_class not in ARCHIVE_CLASSES or not isinstance(tier.store, ArchiveStore):
        return None
    if price_class(ctx, tier.name) == LOCAL or not tier.capabilities.archives:
        return None
    deaths, watched_ns = churn.young_packs(tx, tier.name, young_ns=max(WAITS) * NS_PER_DAY)
    seen = Churn(deaths, watched_ns / NS_PER_S / 3600 / HOURS_PER_DAY)
    return weigh(price_book(ctx.config), tier.storage_class, ctx.config.chunking.pack_bytes, seen)


def class_of_new_packs(ctx: Context, tier: OpenTier) -> str:
    """Return the class that new packs of *tier* are uploaded to."""
    with ctx.catalog.read() as tx:
        found = upload_of(ctx, tx, tier)
    return STANDARD if found is not None and found.chosen.wait_days else tier.storage_class


def sentences(ctx: Context, among: Container[str] | None = None) -> Iterator[str]:
    """Yield the arithmetic of each tier (of *among*, where given) that has a choice."""
    for name, tier in ctx.tiers.items():
        if among is not None and name not in among:
            continue
        with ctx.catalog.read() as tx:
            found = upload_of(ctx, tx, tier)
        if found is not None:
            yield f"tier {name}: {found.sentence()}"
