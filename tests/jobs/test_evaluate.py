"""The policy is held to its word: promise and outcome stand in the ledger, once for each month."""

from datetime import UTC, datetime

from tests.jobs.lab import Lab
from tests.jobs.test_plan import put, scan
from tiering.catalog import ledger
from tiering.jobs.accrue import accrue
from tiering.jobs.apply import apply_plan
from tiering.jobs.evaluate import EVALUATION, PROMISE, evaluate, promise
from tiering.jobs.plan import make_plan

HOUR_S = 3600


def booked(lab: Lab, kind: str) -> list[ledger.PostedEntry]:
    with lab.catalog.read() as tx:
        return [entry for entry in ledger.entries(tx) if entry.kind == kind]


def words(entry: ledger.PostedEntry) -> dict[str, int]:
    return {key: int(value) for key, value in (word.split("=") for word in entry.reason.partition(":")[0].split())}


def test_each_month_is_judged_once_by_what_was_promised_and_what_was_booked(lab: Lab) -> None:
    for number in range(4):
        put(lab, f"f{number}.bin", size=4_000_000)
    scan(lab)
    plan = make_plan(lab.context)
    promise(lab.context, plan)
    promise(lab.context, plan)
    apply_plan(lab.context, plan, wait_parked=True)
    lab.clock.advance(70 * 24 * HOUR_S)
    accrue(lab.context)

    assert evaluate(lab.context) == 2
    assert evaluate(lab.context) == 0
    (made,) = booked(lab, PROMISE)
    first, second = booked(lab, EVALUATION)
    assert words(made)["saved_nano_month"] == plan.totals.saved_nano_month
    assert first.op_id == f"evaluation:{datetime.fromtimestamp(made.at_ns // 10**9, UTC):%Y-%m}"
    assert words(first)["promised_nano"] < words(second)["promised_nano"]
    assert words(second)["cost_before_nano"] == words(first)["cost_nano"]
    assert words(second)["saved_nano"] > 0
    with lab.catalog.read() as tx:
        assert list(ledger.verify_chain(tx)) == []


def test_a_month_that_has_not_been_accrued_is_not_judged(lab: Lab) -> None:
    put(lab, "a.bin")
    scan(lab)
    lab.clock.advance(70 * 24 * HOUR_S)

    assert evaluate(lab.context) == 0


def test_a_plan_that_does_nothing_promises_nothing(lab: Lab) -> None:
    promise(lab.context, make_plan(lab.context))

    assert booked(lab, PROMISE) == []
