"""P6: a provider's bill is read in its own words and held against the ledger, category by category."""

import csv
import gzip
import io
from pathlib import Path

import pytest

from tiering.catalog import accounts
from tiering.catalog.accounts import NANOUSD, Line
from tiering.catalog.ledger import PostedEntry
from tiering.clock import NS_PER_DAY
from tiering.config import TierConfig
from tiering.errors import UsageError
from tiering.report.bill import Difference, booked, category_of, compare, open_bill, read_bill
from tiering.report.focus import HEAD, write_focus

OLD = (
    "lineItem/ProductCode,lineItem/ResourceId,lineItem/UsageType,lineItem/UsageStartDate,"
    "lineItem/UsageEndDate,lineItem/UnblendedCost\n"
)
DAY = 20_000


def line(usage: str, cost: str, *, resource: str = "cold", service: str = "AmazonS3", day: int = 1) -> str:
    """One line of an old Cost and Usage Report."""
    return f"{service},{resource},{usage},2026-03-{day:02}T00:00:00Z,2026-03-{day + 1:02}T00:00:00Z,{cost}\n"


def entry(day: int, *costs: tuple[str, str, int]) -> PostedEntry:
    """A ledger entry of (account, tier, nano-dollars)."""
    lines = tuple(Line(account, tier, NANOUSD, amount) for account, tier, amount in costs)
    return PostedEntry(1, "op", day * NS_PER_DAY + 5, "accrual", "", "book-1", "", "", lines)


@pytest.mark.parametrize(
    ("usage", "category"),
    [
        ("TimedStorage-ByteHrs", "storage"),
        ("USE2-TimedStorage-GIR-ByteHrs", "storage"),
        ("EU-TimedStorage-GDA-ByteHrs", "storage"),
        ("Monitoring-Automation-INT", "storage"),
        ("Requests-Tier1", "requests"),
        ("EUC1-Requests-GDA-Tier1", "requests"),
        ("EarlyDelete-GlacierByteHrs", "early_delete"),
        ("EarlyDelete-SIA", "early_delete"),
        ("Retrieval-SIA", "retrieval"),
        ("Standard-Retrieval-Bytes", "retrieval"),
        ("Bulk-Retrieval-Bytes", "retrieval"),
        ("DataTransfer-Out-Bytes", "other"),
    ],
)
def test_usage_types_are_understood(usage: str, category: str) -> None:
    assert category_of(usage) == category


def test_only_our_buckets_count_and_the_time_is_the_bills() -> None:
    text = OLD + line("TimedStorage-ByteHrs", "0.1") + line("Requests-Tier1", "0.0000050000", day=4)
    text += line("TimedStorage-ByteHrs", "7", resource="arn:aws:s3:::another") + line(
        "BoxUsage", "9", resource="", service="EC2"
    )
    text += line("Requests-Tier2", "0.2", resource="arn:aws:s3:::cold")
    bill = read_bill(io.StringIO(text), {"cold"})
    assert bill.nano == {"storage": 100_000_000, "requests": 200_005_000}
    assert (bill.rows, bill.rows_elsewhere) == (3, 2)
    assert (bill.until_ns - bill.since_ns) == 4 * NS_PER_DAY


def test_a_focus_export_is_read_too() -> None:
    text = "BilledCost,ChargePeriodStart,ChargePeriodEnd,ResourceId,ServiceName,SkuMeter\n"
    text += "1.5,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z,cold,Amazon Simple Storage Service,TimedStorage-ByteHrs\n"
    assert read_bill(io.StringIO(text), {"cold"}).nano == {"storage": 1_500_000_000}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "no bill that frostline knows"),
        (OLD, "no line about cold"),
        (OLD + line("TimedStorage-ByteHrs", "plenty"), "line 2 of the bill"),
        (OLD + line("TimedStorage-ByteHrs", "1").replace("2026-03-01", "soon"), "line 2 of the bill"),
    ],
)
def test_p8_a_bill_that_is_none_gets_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_bill(io.StringIO(text), {"cold"})


def test_a_gzipped_bill_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    packed = gzip.compress((OLD + line("Requests-Tier1", "1")).encode())
    (tmp_path / "whole.csv.gz").write_bytes(packed)
    with open_bill(str(tmp_path / "whole.csv.gz")) as rows:
        assert read_bill(rows, {"cold"}).rows == 1
    (tmp_path / "half.csv.gz").write_bytes(packed[:-10])
    with pytest.raises(UsageError, match="cannot be read"), open_bill(str(tmp_path / "half.csv.gz")) as rows:
        read_bill(rows, {"cold"})


def test_p6_the_ledger_is_compared_by_category_and_rounding_is_forgiven() -> None:
    ours = booked(
        [
            entry(1, (accounts.COST_STORAGE, "cold", 10**9), (accounts.COST_STORAGE, "hot", 5)),
            entry(2, (accounts.COST_REQUESTS, "cold", 7), (accounts.COST_TRANSITION, "cold", 8)),
        ],
        {"cold"},
    )
    assert ours == {"storage": 10**9, "requests": 15}
    text = OLD + line("TimedStorage-ByteHrs", "1.009") + line("EarlyDelete-SIA", "0.5")
    found = compare(read_bill(io.StringIO(text), {"cold"}), ours)
    assert found == [
        Difference("storage", 1_009_000_000, 10**9),
        Difference("requests", 0, 15),
        Difference("early_delete", 500_000_000, 0),
    ]
    assert [difference.is_rounding for difference in found] == [True, True, False]


def test_the_focus_export_adds_up_to_the_ledger_and_is_read_by_our_own_reader() -> None:
    tiers = {"cold": TierConfig(store="s3://cold/x", region="us-east-1", storage_class="GLACIER")}
    entries = [
        entry(DAY, (accounts.COST_STORAGE, "cold", 123), (accounts.PAYABLE, "", -123)),
        entry(DAY, (accounts.COST_STORAGE, "cold", 77)),
        entry(DAY + 1, (accounts.COST_STORAGE, "hot", 10**9), (accounts.COST_RETRIEVAL, "cold", 5)),
    ]
    out = io.StringIO()
    assert write_focus(entries, tiers, out, installation="catalog-1") == 3
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert set(rows[0]) == set(HEAD)
    assert [row["BilledCost"] for row in rows] == ["0.0000002", "0.000000005", "1"]
    assert rows[0]["ResourceId"] == "s3://cold/x"
    assert rows[0]["BillingPeriodStart"] < rows[0]["ChargePeriodStart"] <= rows[0]["ChargePeriodEnd"]
    assert {row["ProviderName"] for row in rows} == {"AWS", "Self"}
