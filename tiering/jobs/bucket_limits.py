"""What the daemon may still spend on a bucket: dollars of the month and requests of the day. Loads no S3 client."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from tiering.catalog import accounts, runs, spending
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.config.bucket import BucketConfig

REQUESTS_AN_OBJECT = 4
"""A look or its tags, reading it or its copy, a deletion, and a part of a listing: long ones take more."""


def job_of(name: str) -> str:
    """Return what the runs of a bucket's duty are called."""
    return accounts.CARE + name


@dataclass(frozen=True, slots=True)
class Watermarks:
    """How far a bucket's limits are used up."""

    spent_nano: int
    """Booked for it this month, by commands too."""
    month_nano: int
    requests: int
    """Asked by the daemon today."""
    requests_per_day: int

    @property
    def stop(self) -> str:
        """Return why nothing may be done, as the end of a sentence; "" where something may."""
        if self.requests_per_day - self.requests < REQUESTS_AN_OBJECT:
            return f"{self.requests:,} requests today, of {self.requests_per_day:,} allowed"
        if self.spent_nano >= self.month_nano:
            return f"${self.spent_nano / 1e9:,.2f} booked this month, of ${self.month_nano / 1e9:,.2f} allowed"
        return ""

    def limited(self, config: BucketConfig) -> BucketConfig:
        """Return *config* with the limits of one run cut to what is left."""
        left_usd = max(0, self.month_nano - self.spent_nano) / 1e9
        left_objects = (self.requests_per_day - self.requests) // REQUESTS_AN_OBJECT
        return config.model_copy(
            update={
                "budget_usd": min(config.budget_usd, left_usd),
                "max_objects": min(config.max_objects, left_objects),
            }
        )


def watermarks(tx: Tx, config: BucketConfig) -> Watermarks:
    """Return how far the limits of a bucket are used up now."""
    now = datetime.fromtimestamp(tx.now_ns // NS_PER_S, UTC)
    month = datetime(now.year, now.month, 1, tzinfo=UTC)
    day_ns = tx.now_ns // NS_PER_DAY * NS_PER_DAY
    return Watermarks(
        spent_nano=spending.once_nano(tx, since_ns=int(month.timestamp()) * NS_PER_S, tier=accounts.CARE + config.name),
        month_nano=config.month_nano,
        requests=sum(_requests(row.detail) for row in runs.since(tx, job_of(config.name), since_ns=day_ns)),
        requests_per_day=config.requests_per_day,
    )


def _requests(detail: str) -> int:
    return int(json.loads(detail).get("requests", 0))
