"""What the daemon does for one bucket when it is due: scan, plan, and act where it is armed, within its limits."""

from dataclasses import dataclass, replace

from tiering.jobs.bucket_choice import bucket_config
from tiering.jobs.bucket_limits import Watermarks, watermarks
from tiering.jobs.context import Context
from tiering.jobs.object_apply import apply_bucket
from tiering.jobs.object_choice import quote_ingest
from tiering.jobs.object_ingest import ingest_bucket
from tiering.jobs.object_plan import plan_bucket
from tiering.jobs.object_scan import scan_bucket


@dataclass(slots=True)
class BucketDutyReport:
    """What was seen and done."""

    bucket: str
    mode: str
    objects: int = 0
    bytes: int = 0
    planned: int = 0
    """Objects that the rules would move or take in."""
    acted: bool = False
    objects_done: int = 0
    bytes_done: int = 0
    originals_deleted: int = 0
    skipped: int = 0
    left: int = 0
    usd_nano: int = 0
    requests: int = 0
    stopped: str = ""
    """Why a limit kept it from going on."""
    note: str = ""
    """What a person should know."""

    def facts(self) -> dict[str, object]:
        """Return the report as the facts of a run."""
        found: dict[str, object] = {
            "mode": self.mode, "objects": self.objects, "planned": self.planned, "acted": self.acted,
            "objects_done": self.objects_done, "bytes_done": self.bytes_done,
            "originals_deleted": self.originals_deleted, "objects_skipped": self.skipped, "left": self.left,
            "usd": self.usd_nano / 1e9, "requests": self.requests,
        }  # fmt: skip
        return found | {name: said for name in ("stopped", "note") if (said := getattr(self, name))}


def care_for(ctx: Context, name: str) -> BucketDutyReport:
    """Scan and plan a bucket; with act = true do what its mode says. Raises as the jobs that it calls."""
    config = bucket_config(ctx, name)
    report = BucketDutyReport(name, config.mode)
    report.stopped = _marks(ctx, name, 0).stop
    if report.stopped:
        return report
    scanned = scan_bucket(ctx, name)
    report.objects, report.bytes, report.requests = scanned.objects, scanned.bytes, scanned.requests
    if not scanned.is_whole:
        return report
    if config.mode == "ingest":
        report.planned = quote_ingest(ctx, name).chosen
    else:
        report.planned = plan_bucket(ctx, name, keep=0).total().objects
    marks = _marks(ctx, name, report.requests)
    report.stopped = marks.stop
    if not ctx.config.act or config.mode == "report" or report.stopped or ctx.stop.is_set():
        return report
    _act(_limited(ctx, name, marks), name, report)
    return report


def _act(ctx: Context, name: str, report: BucketDutyReport) -> None:
    report.acted = True
    if report.mode == "ingest":
        taken = ingest_bucket(ctx, name)
        report.objects_done, report.bytes_done = taken.objects_stored, taken.bytes_read
        report.originals_deleted = taken.originals_deleted
        report.skipped, report.left, report.usd_nano = sum(taken.skipped.values()), taken.left, taken.usd_nano
        report.requests += taken.requests
        report.note = "; ".join(taken.notes)
        return
    changed = apply_bucket(ctx, name)
    report.objects_done, report.bytes_done = changed.objects_changed, changed.bytes_changed
    report.skipped, report.left, report.usd_nano = sum(changed.skipped.values()), changed.left, changed.usd_nano
    report.requests += changed.requests


def _marks(ctx: Context, name: str, asked: int) -> Watermarks:
    """Return how far the limits are used up, *asked* requests of this run among them."""
    with ctx.catalog.read() as tx:
        marks = watermarks(tx, bucket_config(ctx, name))
    return replace(marks, requests=marks.requests + asked)


def _limited(ctx: Context, name: str, marks: Watermarks) -> Context:
    buckets = tuple(marks.limited(other) if other.name == name else other for other in ctx.config.buckets)
    return replace(ctx, config=ctx.config.model_copy(update={"buckets": buckets}))
