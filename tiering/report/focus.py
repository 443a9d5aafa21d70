"""The ledger's costs as a FOCUS table, for the tools that finance already has.

FOCUS 1.2 (focus.finops.org): one row per day, tier and account, costs in dollars. What was saved is no charge and is
not in it; the ledger's own CSV has that.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TextIO

from tiering.catalog import accounts
from tiering.catalog.ledger import PostedEntry
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.config import TierConfig

NANO = 1_000_000_000
HEAD = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "ResourceId",
    "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "Tags",
    "x_PriceBook", "x_StorageClass",
)  # fmt: skip

_SAID: Mapping[str, str] = {
    accounts.COST_STORAGE: "storage",
    accounts.COST_REQUESTS: "requests",
    accounts.COST_TRANSITION: "class changes",
    accounts.COST_RETRIEVAL: "retrieval and restored copies",
    accounts.COST_EARLY_DELETE: "early deletion",
}


@dataclass(frozen=True, slots=True)
class _Key:
    day: int
    tier: str
    account: str
    price_book: str


def write_focus(
    entries: Iterable[PostedEntry], tiers: Mapping[str, TierConfig], out: TextIO, *, installation: str
) -> int:
    """Write the cost lines of *entries* to *out* and return the number of rows; *installation* is the account's id.

    Memory grows with days times tiers, not with entries.
    """
    sums: Counter[_Key] = Counter()
    for entry in entries:
        day = entry.at_ns // NS_PER_DAY
        for line in entry.lines:
            if line.account in _SAID:
                sums[_Key(day, line.tier, line.account, entry.price_book)] += line.amount
    writer = csv.DictWriter(out, HEAD, lineterminator="\n", restval="")
    writer.writeheader()
    keys = sorted((key for key in sums if sums[key]), key=lambda key: (key.day, key.tier, key.account, key.price_book))
    writer.writerows(_row(key, sums[key], tiers.get(key.tier), installation) for key in keys)
    return len(keys)


def _row(key: _Key, nano: int, tier: TierConfig | None, installation: str) -> dict[str, str]:
    cost = f"{Decimal(nano) / NANO:f}"
    start = datetime.fromtimestamp(key.day * NS_PER_DAY // NS_PER_S, UTC)
    month = start.replace(day=1)
    next_month = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    row = dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost)
    row |= _of_tier(key.tier, tier) | {
        "BillingAccountId": installation,
        "BillingAccountName": "frostline",
        "BillingCurrency": "USD",
        "BillingPeriodStart": _iso(month),
        "BillingPeriodEnd": _iso(next_month),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{_SAID[key.account]} on the {key.tier} tier",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": _iso(start),
        "ChargePeriodEnd": _iso(datetime.fromtimestamp((key.day + 1) * NS_PER_DAY // NS_PER_S, UTC)),
        "PricingCategory": "Standard",
        "ServiceCategory": "Storage",
        "SkuId": f"{key.tier}:{key.account}",
        "SkuMeter": key.account,
        "x_PriceBook": key.price_book,
    }
    return row


def _of_tier(name: str, tier: TierConfig | None) -> dict[str, str]:
    """Return who provides what; a tier that is not configured is a bucket under care, or the hot one."""
    if name.startswith(accounts.CARE):
        provider, region, resource, storage_class = "AWS", "", name, ""
        kind = ("Bucket", "Object storage", "Object Storage")
    elif tier is None:
        provider, region, resource, storage_class = "Self", "", name, ""
        kind = ("Disk", "Hot tier", "Block Storage")
    else:
        provider = "Self" if tier.is_local else tier.endpoint_url or "AWS"
        region, resource, storage_class = tier.region, tier.store, tier.storage_class
        kind = ("Bucket", "Object storage", "Object Storage")
    row = dict.fromkeys(("InvoiceIssuerName", "ProviderName", "PublisherName"), provider)
    row |= dict(zip(("ResourceType", "ServiceName", "ServiceSubcategory"), kind, strict=True))
    return row | {"RegionId": region, "ResourceId": resource, "x_StorageClass": storage_class}


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
