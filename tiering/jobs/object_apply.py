"""Changes the class of other people's objects in place, by plan: the only job that writes into a bucket under care.

Never deletes, and never writes an object whose bytes, headers, metadata, tags and encryption are not those that stood
there. In batches: claims are committed, objects are looked at and changed, and facts and costs are committed together.
A process that dies leaves its batch's claims; the next run looks at each object and books what was done, so that no
change is made, or billed, a second time.
"""

import secrets
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tiering.catalog import object_moves, objects
from tiering.catalog.object_moves import MoveRow
from tiering.catalog.objects import CLASS_NO
from tiering.catalog.transaction import batches
from tiering.clock import NS_PER_S
from tiering.errors import UsageError
from tiering.jobs.bucket_care import Care, alone, caring, refuse_other_mode
from tiering.jobs.context import Context
from tiering.jobs.object_change import Changer, Outcome, settle
from tiering.jobs.object_plan import Action, BucketPlan, plan_bucket
from tiering.jobs.object_recovery import recover_moves
from tiering.jobs.object_savings import accrue_savings

BATCH = 200  # what a kill leaves to be looked at again
LISTED = 1000  # skipped objects named one by one; all are counted
OVER_BUDGET = "beyond the budget of one run"


@dataclass(slots=True)
class BucketApplyReport:
    """What one run changed."""

    bucket: str
    objects_changed: int = 0
    bytes_changed: int = 0
    recovered: int = 0
    """Changes of a run that died, found done and booked now."""
    usd_nano: int = 0
    """Booked: requests, reading out of the old class, early deletion."""
    saved_nano_month: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason -> objects."""
    skipped_objects: list[tuple[str, str]] = field(default_factory=list)
    """(key, reason), the first LISTED."""
    requests: int = 0
    left: int = 0
    """Changes that pay and are for another run."""

    @property
    def exit_code(self) -> int:
        """3 where something was skipped."""
        return 3 if self.skipped else 0


def apply_bucket(ctx: Context, name: str) -> BucketApplyReport:
    """Change what the plan of now says, the most valuable first, within the limits of one run.

    Raises UsageError where the configuration or the bucket's own settings forbid it, StoreUnavailable and StoreDenied
    after booking what was done.
    """
    report = BucketApplyReport(name)
    with caring(ctx, name, reason="class changes") as care:
        refuse_other_mode(care.config, "transition")
        with alone(ctx, name):
            _refuse(care)
            report.recovered, report.usd_nano = recover_moves(ctx, care)
            accrue_savings(ctx, care)
            plan = plan_bucket(ctx, name, keep=care.config.max_objects)
            chosen = within_budget(plan.actions, care.config.budget_nano, report)
            _run(ctx, care, chosen, report)
            report.left = plan.total().objects - report.objects_changed - sum(report.skipped.values())
            report.left += report.skipped.pop(OVER_BUDGET, 0)
            with ctx.catalog.write() as tx:  # what was moved an instant ago has saved nothing yet
                objects.note_accrued(tx, care.row.bucket_id, tx.now_ns)
    report.requests = care.asked.total()
    return report


def within_budget(actions: Sequence[Action], budget_nano: int, report: BucketApplyReport) -> list[Action]:
    """Return, by key, those of *actions* (best first) that the budget pays for; the others are counted as skipped."""
    chosen: list[Action] = []
    spent = 0
    for action in actions:
        if spent + action.once_nano > budget_nano:
            report.skipped[OVER_BUDGET] += 1
            continue
        spent += action.once_nano
        chosen.append(action)
    return sorted(chosen, key=lambda action: action.key)


def preview(ctx: Context, name: str) -> BucketPlan:
    """Return the plan that apply_bucket would follow now, its actions cut to the limits of one run, best first."""
    with caring(ctx, name, reason="plan") as care:
        plan = plan_bucket(ctx, name, keep=care.config.max_objects)
        chosen = within_budget(plan.actions, care.config.budget_nano, BucketApplyReport(name))
    plan.actions = sorted(chosen, reverse=True)
    return plan


def _refuse(care: Care) -> None:
    obstacle = care.remote.obstacle()
    if obstacle:
        raise UsageError(obstacle, now="nothing was changed in it", hint="keep mode = report for this bucket")


def _run(ctx: Context, care: Care, actions: Sequence[Action], report: BucketApplyReport) -> None:
    run = secrets.token_hex(8)
    changer = Changer(ctx, care)
    started_s = ctx.clock.monotonic_s()
    ctx.progress.start(
        f"change classes in {care.config.url}",
        total_bytes=sum(action.size for action in actions),
        total_files=len(actions),
    )
    done = 0
    with ThreadPoolExecutor(care.config.max_concurrency, thread_name_prefix="frostline-class") as pool:
        for number, batch in enumerate(batches(actions, BATCH)):
            if ctx.stop.is_set():
                break
            if number == 0:
                changer.refuse_careless_server(batch)
            _one_batch(ctx, care, changer, pool, batch, name=f"{run}:{number}", report=report)
            done += len(batch)
            ctx.clock.sleep(started_s + done / care.config.requests_per_s - ctx.clock.monotonic_s())
    ctx.progress.finish()


def _one_batch(
    ctx: Context,
    care: Care,
    changer: Changer,
    pool: ThreadPoolExecutor,
    batch: Sequence[Action],
    *,
    name: str,
    report: BucketApplyReport,
) -> None:
    bucket_id = care.row.bucket_id
    with ctx.catalog.write() as tx:
        now_s = tx.now_ns // NS_PER_S
        object_moves.claim(
            tx,
            [MoveRow(bucket_id, action.key, CLASS_NO[action.target], name, now_s, action.rule) for action in batch],
        )
    try:
        ctx.step("objects.claimed")
        outcomes = list(pool.map(changer.change, batch))
        ctx.step("objects.changed")
    except BaseException:
        care.meter.take()  # as if killed: the next run looks what was done, and books it
        raise
    report.usd_nano += settle(ctx, care, outcomes, op_id=f"objects:{name}")
    _count(report, outcomes)
    ctx.progress.advance(
        files=len(outcomes), byte_count=sum(outcome.action.size for outcome in outcomes if outcome.changed)
    )
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def _count(report: BucketApplyReport, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.changed:
            report.objects_changed += 1
            report.bytes_changed += outcome.action.size
            report.saved_nano_month += outcome.action.saved_nano_month
        elif outcome.error is None:
            report.skipped[outcome.kind] += 1
            if len(report.skipped_objects) < LISTED:
                key = outcome.action.key.decode("utf-8", "surrogateescape")
                report.skipped_objects.append((key, outcome.reason))
