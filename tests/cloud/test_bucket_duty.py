"""The daemon's care for buckets: each on its schedule, armed or not, within dollars a month and requests a day."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.cloud.intake import DELETING, body, context, keys
from tests.cloud.lake import MIB, TO_COLD, Lake
from tiering.clock import FakeClock
from tiering.logs import Log
from tiering.report.status import status
from tiering.service import duties
from tiering.service.timetable import triggers

pytestmark = [pytest.mark.s3, pytest.mark.usefixtures("aws_credentials")]


class Told:
    """Remembers what a person would be told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def tell(self, kind: str, what: str, *, now: str = "", hint: str = "") -> None:
        """See Notifier."""
        self.said.append(what)


@pytest.fixture
def bucket_rules() -> Sequence[Mapping[str, Any]]:
    """None: everything is taken in."""
    return []


@pytest.fixture
def bucket_settings() -> Mapping[str, Any]:
    """Taken in once a day."""
    return {**DELETING, "schedule": "24h"}


def duty(lake: Lake, *, act: bool = True) -> tuple[str, dict[str, Any], list[str]]:
    """Let the daemon's duty for the bucket be due now; return its outcome, facts, and what was told."""
    told = Told()
    config = lake.lab.context.config.model_copy(update={"act": act})
    ctx = context(lake, config=config)
    outcome = duties.perform("bucket:lake", ctx, Log(logging.getLogger("frostline.test")), told)
    return outcome, status(ctx).buckets[0].facts, told.said


def test_each_bucket_is_due_on_its_own_schedule(lake: Lake) -> None:
    config = lake.lab.context.config
    assert "bucket:lake" in triggers(config.schedule, config.buckets)
    assert "bucket:lake" not in triggers(config.schedule, ())


def test_an_unarmed_daemon_scans_and_plans_and_touches_nothing(lake: Lake) -> None:
    body(lake, "k", os.urandom(5000))
    outcome, facts, told = duty(lake, act=False)
    assert (outcome, facts["planned"], facts["acted"], facts["objects_done"], told) == ("done", 1, False, 0, [])
    assert keys(lake) == {"k"}


def test_an_armed_daemon_takes_objects_in_and_says_so_in_status(lake: Lake) -> None:
    body(lake, "k", os.urandom(5000))
    outcome, facts, _ = duty(lake)
    assert (outcome, facts["objects_done"], facts["originals_deleted"]) == ("done", 1, 1)
    assert keys(lake) == set()
    (seen,) = status(context(lake)).buckets
    assert (seen.mode, seen.schedule, seen.requests_today) == ("ingest", "24h", facts["requests"])
    assert 0 < seen.usd_nano_month < 1_000_000
    assert seen.last is not None


@pytest.mark.parametrize(
    ("bucket_rules", "bucket_settings"), [([TO_COLD], {"budget_usd_per_month": 0.0, "schedule": "24h"})]
)
def test_a_bucket_whose_month_is_spent_waits_and_somebody_is_told(lake: Lake) -> None:
    lake.put("big", MIB)
    outcome, facts, told = duty(lake)
    assert (outcome, facts["stopped"][:6]) == ("done", "$0.00 ")
    assert told == ["bucket lake waits: $0.00 booked this month, of $0.00 allowed"]
    assert lake.class_of("big") == "STANDARD"


@pytest.mark.parametrize("bucket_settings", [{**DELETING, "schedule": "24h", "requests_per_day": 12}])
def test_a_day_s_requests_bound_what_is_done_and_the_next_day_goes_on(lake: Lake) -> None:
    for number in range(4):
        body(lake, f"k{number}", os.urandom(5000))
    _, facts, _ = duty(lake)
    assert facts["objects_done"] == 2
    assert duty(lake)[1]["stopped"].endswith("requests today, of 12 allowed")
    assert isinstance(lake.clock, FakeClock)
    lake.clock.advance(86_400)
    assert duty(lake)[1]["objects_done"] == 2


@pytest.mark.parametrize(("bucket_rules", "bucket_settings"), [([TO_COLD], {"schedule": "24h"})])
def test_an_armed_daemon_changes_classes(lake: Lake) -> None:
    lake.put("big", MIB)
    outcome, facts, _ = duty(lake)
    assert (outcome, facts["objects_done"], lake.class_of("big")) == ("done", 1, "GLACIER_IR")
