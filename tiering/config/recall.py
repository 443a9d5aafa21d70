"""The section on bringing back."""

from typing import Literal

from pydantic import Field, field_validator

from tiering.clock import NS_PER_DAY
from tiering.config.quantities import Duration
from tiering.config.section import Section


class RecallConfig(Section):
    """Bringing back."""

    reserve_fraction: float = Field(
        0.02, ge=0, lt=1, description="Part of the file system that recall leaves free. Lower: a full disk sooner."
    )
    cool_off_ns: Duration = Field(
        NS_PER_DAY,
        alias="cool_off",
        description="A recalled file stays at least this long, so that it does not shuttle.",
    )
    speed: Literal["bulk", "standard", "expedited"] = Field(
        "standard", description="Speed of archive restores nobody asked a speed for. Faster costs more."
    )
    restore_days: int = Field(
        7, ge=1, le=90, description="Days a restored copy of an archived object stays readable, and billed."
    )
    restore_events: tuple[str, ...] = Field(
        (),
        description="SQS queues that are sent the s3:ObjectRestore events of the archive tiers' buckets: "
        '["https://sqs.us-east-1.amazonaws.com/123456789012/restores"], for this installation alone. Restores are then '
        "known of when they are through and packs are not asked about one by one. Empty: the buckets are asked.",
    )
    budget_usd_per_day: float | None = Field(
        None, ge=0, description="Archive restores that would cost more in 24 hours are refused, with the quote."
    )
    budget_usd_per_month: float | None = Field(
        None, ge=0, description="The same for 730 hours. Without either there is no limit."
    )

    @field_validator("restore_events")
    @classmethod
    def _urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not url.startswith(("https://", "http://")) or url.count("/") < 4:
                raise ValueError("must be the URL of a queue: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
        return value
