"""What limits plans: budgets for moving, and what a move must be worth."""

from pydantic import Field, field_validator

from policies.budget import BYTES, DAY, MONTH, REQUESTS, USD
from policies.windows import parse_window
from tiering.config.quantities import Size
from tiering.config.section import Section, absolute_path

NANO = 1_000_000_000


class PlanningConfig(Section):
    """What a move must be worth, and who else is asked."""

    min_gain: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of what holding a file hot costs that a move must save. Higher: fewer moves for little.",
    )
    stall_usd_per_gib: float = Field(
        0.0111,
        ge=0,
        description="What a recall costs whoever waits for it, per GiB; strategies weigh it. 0.0111 is a node of $40 "
        "an hour behind 1 GiB/s. Higher: more stays hot.",
    )
    wait_usd_per_gib: float = Field(
        0.03,
        ge=0,
        description="What hours of waiting for an archive restore cost, per GiB; strategies weigh it. Higher: less is "
        "archived.",
    )
    premigrate: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Part of the hot capacity below the low mark that is copied out ahead and stays hot, so that room "
        "can be made without uploads. 0: none.",
    )
    look_every_bytes: Size = Field(
        64 * 2**30,
        alias="look_every",
        ge=1,
        description="Bytes of files moved between two looks at how full the hot tier is. Smaller: files that arrive "
        "meanwhile make room sooner; each look costs a scan where they fill it up again.",
    )
    windows: tuple[str, ...] = Field(
        (),
        description='When the daemon may move things, like "22:00-06:00" or "Sat-Sun 00:00-24:00", in '
        "schedule.timezone; empty: always. Outside it only what makes room on a full hot tier moves. Commands act when "
        "they are given.",
    )
    hints_dir: str = Field(
        "",
        description="Folder of *.toml files with [[hints]]: what is needed soon, or must stay (docs/config.md#hints); "
        '"" is hints.d in the state folder.',
    )

    @field_validator("windows")
    @classmethod
    def _known_windows(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for window in value:
            parse_window(window)
        return value

    @field_validator("hints_dir")
    @classmethod
    def _absolute(cls, value: str) -> str:
        return absolute_path(value) if value else ""


class BudgetConfig(Section):
    """What moving things out may take, per day and month (UTC). What does not fit waits, the least valuable first."""

    usd_per_day: float | None = Field(
        None, ge=0, description="Dollars of requests, transitions, retrieval and early deletion. Unset: no limit."
    )
    usd_per_month: float | None = Field(None, ge=0, description="The same in a calendar month.")
    bytes_per_day: Size | None = Field(None, description="Bytes of files copied out. Unset: no limit.")
    bytes_per_month: Size | None = Field(None, description="The same in a calendar month.")
    requests_per_day: int | None = Field(None, ge=0, description="Objects written. Unset: no limit.")
    requests_per_month: int | None = Field(None, ge=0, description="The same in a calendar month.")

    def limits(self) -> list[tuple[str, str, int]]:
        """Return (resource, period, limit) of the budgets that are set, dollars as nano-dollars."""
        found: list[tuple[str, str, float | int | None, int]] = [
            (USD, DAY, self.usd_per_day, NANO),
            (USD, MONTH, self.usd_per_month, NANO),
            (BYTES, DAY, self.bytes_per_day, 1),
            (BYTES, MONTH, self.bytes_per_month, 1),
            (REQUESTS, DAY, self.requests_per_day, 1),
            (REQUESTS, MONTH, self.requests_per_month, 1),
        ]
        return [(resource, period, round(limit * unit)) for resource, period, limit, unit in found if limit is not None]
