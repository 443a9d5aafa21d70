"""A provider's bill, read and held against the ledger: what was really charged, beside what frostline booked.

Takes AWS Cost and Usage Reports (the old "lineItem/..." and the newer "line_item_..." columns) and FOCUS exports of any
provider, as CSV, plain or gzipped. Usage types are read as docs.aws.amazon.com, "Understanding your AWS billing and
usage reports for Amazon S3", names them.
"""

import csv
import gzip
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TextIO

from tiering.catalog import accounts
from tiering.catalog.ledger import PostedEntry
from tiering.clock import NS_PER_S
from tiering.errors import UsageError

NANO = 1_000_000_000
_GZIP_MAGIC = b"\x1f\x8b"
CATEGORIES = ("storage", "requests", "retrieval", "early_delete", "other")

# A bill is rounded line by line and averages storage over the hours it saw; ours is by the hour and exact.
ROUNDING_NANO = NANO // 100
ROUNDING_SHARE = 100
"""A difference up to a hundredth of the amount is rounding as well."""

# In order: the first that is found in the usage type decides.
_BY_USAGE = (
    (re.compile(r"EarlyDelete", re.IGNORECASE), "early_delete"),
    (re.compile(r"Retrieval|Select-Returned", re.IGNORECASE), "retrieval"),
    (re.compile(r"Requests|Transition", re.IGNORECASE), "requests"),
    (re.compile(r"TimedStorage|StorageObjectCount|ByteHrs|Monitoring", re.IGNORECASE), "storage"),
)
# A copy that changes a class is a PUT on the bill; a restored copy is storage there, and part of the restore here.
_BOOKED_AS: Mapping[str, str] = {
    accounts.COST_STORAGE: "storage",
    accounts.COST_REQUESTS: "requests",
    accounts.COST_TRANSITION: "requests",
    accounts.COST_RETRIEVAL: "retrieval",
    accounts.COST_EARLY_DELETE: "early_delete",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """What a format calls the five things needed. "" where it has no such column."""

    usage: str
    cost: str
    start: str
    end: str
    resource: str
    service: str


FORMATS = (
    Columns("lineItem/UsageType", "lineItem/UnblendedCost", "lineItem/UsageStartDate", "lineItem/UsageEndDate",
            "lineItem/ResourceId", "lineItem/ProductCode"),
    Columns("line_item_usage_type", "line_item_unblended_cost", "line_item_usage_start_date",
            "line_item_usage_end_date", "line_item_resource_id", "line_item_product_code"),
    Columns("x_UsageType", "BilledCost", "ChargePeriodStart", "ChargePeriodEnd", "ResourceId", "ServiceName"),
    Columns("SkuMeter", "BilledCost", "ChargePeriodStart", "ChargePeriodEnd", "ResourceId", "ServiceName"),
    Columns("ChargeDescription", "BilledCost", "ChargePeriodStart", "ChargePeriodEnd", "ResourceId", "ServiceName"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bill:
    """What a provider charged for some buckets over some time."""

    nano: Mapping[str, int]
    """Category -> nano-dollars; see CATEGORIES."""
    since_ns: int
    until_ns: int
    rows: int
    """That counted."""
    rows_elsewhere: int
    """Of other services and buckets."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One category, on the bill and in the ledger."""

    category: str
    billed_nano: int
    booked_nano: int

    @property
    def is_rounding(self) -> bool:
        """Whether no more than rounding tells them apart: a cent, or a hundredth of what was billed."""
        allowed = max(ROUNDING_NANO, abs(self.billed_nano) // ROUNDING_SHARE)
        return abs(self.billed_nano - self.booked_nano) <= allowed


@contextmanager
def open_bill(path: str) -> Iterator[TextIO]:
    """Open a bill, gzipped or not. Raises UsageError for one that cannot be read."""
    try:
        with open(path, "rb") as raw:
            is_packed = raw.read(2) == _GZIP_MAGIC
        if is_packed:
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as packed:
                yield packed
        else:
            with open(path, encoding="utf-8-sig", newline="") as plain:
                yield plain
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the bill {path} cannot be read: {error}",
            now="nothing was compared",
            hint="give a Cost and Usage Report or a FOCUS export as .csv or .csv.gz",
        ) from error


def read_bill(rows: TextIO, buckets: Collection[str]) -> Bill:
    """Return what the lines about *buckets* add up to; a line that names no resource counts when its service is S3.

    Raises UsageError for a file in no known format, and for a line whose cost or time cannot be read.
    """
    reader = csv.DictReader(rows)
    columns = _columns(reader.fieldnames or ())
    nano: Counter[str] = Counter()
    starts: list[int] = []
    ends: list[int] = []
    counted = elsewhere = 0
    for number, row in enumerate(reader, start=2):
        if not _is_ours(row, columns, buckets):
            elsewhere += 1
            continue
        try:
            start, end = _moment_ns(row[columns.start]), _moment_ns(row[columns.end])
            amount = _nano(row[columns.cost])
        except (ValueError, InvalidOperation, TypeError) as error:
            raise UsageError(f"line {number} of the bill makes no sense: {error}", now="nothing was compared") from None
        counted += 1
        nano[category_of(row[columns.usage] or "")] += amount
        starts, ends = [min([start, *starts])], [max([end, *ends])]
    if not counted:
        raise UsageError(
            f"the bill has no line about {', '.join(sorted(buckets)) or 'any bucket'}",
            now=f"nothing was compared; {elsewhere:,} lines are about something else",
            hint="export the report with resource ids, for the account that owns the bucket",
        )
    return Bill(dict(nano), starts[0], ends[0], counted, elsewhere)


def category_of(usage: str) -> str:
    """Return which of CATEGORIES a usage type is."""
    return next((category for pattern, category in _BY_USAGE if pattern.search(usage)), "other")


def booked(entries: Iterable[PostedEntry], tiers: Collection[str]) -> Mapping[str, int]:
    """Return category -> nano-dollars that the ledger has for *tiers*."""
    nano: Counter[str] = Counter()
    for entry in entries:
        for line in entry.lines:
            if line.account in _BOOKED_AS and line.tier in tiers:
                nano[_BOOKED_AS[line.account]] += line.amount
    return dict(nano)


def compare(bill: Bill, ours: Mapping[str, int]) -> list[Difference]:
    """Return every category that either side has, in the order of CATEGORIES."""
    return [
        Difference(category, bill.nano.get(category, 0), ours.get(category, 0))
        for category in CATEGORIES
        if bill.nano.get(category) or ours.get(category)
    ]


def _columns(names: Collection[str]) -> Columns:
    for columns in FORMATS:
        if {columns.usage, columns.cost, columns.start, columns.end} <= set(names):
            return columns
    raise UsageError(
        "this is no bill that frostline knows: it has neither the columns of a Cost and Usage Report nor of FOCUS",
        now="nothing was compared",
        hint="export it as CSV, with its header line",
    )


def _is_ours(row: Mapping[str, str | None], columns: Columns, buckets: Collection[str]) -> bool:
    resource = row.get(columns.resource) or ""
    if resource:
        return resource.rpartition(":")[2].split("/", 1)[0] in buckets
    service = (row.get(columns.service) or "").lower()
    return service in {"amazons3", "amazon s3", "amazon simple storage service"}


def _moment_ns(text: str | None) -> int:
    moment = datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * NS_PER_S


def _nano(text: str | None) -> int:
    return round(Decimal(text or "0") * NANO)
