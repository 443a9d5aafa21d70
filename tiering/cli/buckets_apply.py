"""`frostline buckets apply`: change the class of objects in place, or take them into packs."""

from typing import Annotated

import typer

from policies.amounts import NANO, say_bytes, say_usd
from tiering.cli.buckets_ingest import apply_ingest
from tiering.cli.buckets_plan import show_bucket_plan
from tiering.cli.output import Output
from tiering.cli.session import needs_yes, session_of
from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.object_apply import BucketApplyReport, apply_bucket, preview
from tiering.jobs.object_plan import plan_json

SHOWN = 10
EXAMPLES = (
    "frostline buckets apply datalake          # what one run would change",
    "frostline buckets apply datalake --yes",
)


def run(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A name in [[buckets]].")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    confirm_missing: Annotated[
        bool, typer.Option("--confirm-missing", help="Mode ingest: it is right that very many objects are gone.")
    ] = False,
) -> int:
    """Do what the plan says, the most valuable first, within max_objects and budget_usd of one run.

    Mode transition changes classes. Mode ingest stores objects in the bucket's tier, deduplicated and compressed with
    everything else; originals stay, or with delete_originals go once their stored copies were read back whole. Killed
    or stopped, run it again.

    A change of class keeps keys, bytes, headers, metadata, tags and encryption; the date of an object becomes that of
    the change, and readers of event notifications see a copy. An object that changed since the scan, is archived, or
    would soon be deleted by a lifecycle rule is skipped with its reason. Buckets that keep versions or access lists are
    refused.
    """
    session = session_of(ctx)
    out = session.out
    with session.looking() as context:
        mode = bucket_config(context, name).mode
    if mode == "ingest":
        return apply_ingest(session, name, yes=yes, confirm_missing=confirm_missing)
    with session.looking() as context:
        if not yes:
            plan = preview(context, name)
            chosen = len(plan.actions)
            cost = sum(action.once_nano for action in plan.actions)
            del plan.actions[SHOWN:]
            out.json({**plan_json(plan), "one_run": {"objects": chosen, "usd_once": cost / NANO}})
            show_bucket_plan(out, plan)
            out.text(f"one run would change {chosen:,} objects for {say_usd(cost)}")
            needs_yes(session, yes=yes, what="do it")
            return 0
        report = apply_bucket(context, name)
    out.json(_document(report))
    _show(out, report)
    return report.exit_code


def _document(report: BucketApplyReport) -> dict[str, object]:
    return {
        "bucket": report.bucket, "objects_changed": report.objects_changed, "bytes_changed": report.bytes_changed,
        "recovered": report.recovered, "usd_once": report.usd_nano / NANO,
        "usd_per_month_saved": report.saved_nano_month / NANO, "left": report.left, "skipped": dict(report.skipped),
        "skipped_objects": [{"key": key, "reason": reason} for key, reason in report.skipped_objects],
    }  # fmt: skip


def _show(out: Output, report: BucketApplyReport) -> None:
    if report.recovered:
        out.text(f"{report.recovered:,} changes of a run that died were found done, and booked")
    out.text(
        f"changed {report.objects_changed:,} objects, {say_bytes(report.bytes_changed)}, for "
        f"{say_usd(report.usd_nano)}; saves {say_usd(report.saved_nano_month)} a month; "
        f"{report.left:,} are left for another run"
    )
    for key, reason in report.skipped_objects[:SHOWN]:
        out.text(f"skipped {key}: {reason}")
    for reason, count in sorted(report.skipped.items()):
        out.text(f"{count:,} skipped: {reason}")
