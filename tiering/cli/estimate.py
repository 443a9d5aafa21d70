"""`frostline estimate`: what dedup, compression and tiering would save here; read-only."""

from typing import Annotated, Literal

import typer

from policies.amounts import NANO, say_bytes, say_usd
from tiering.cli.job_output import show_skips
from tiering.cli.output import Output
from tiering.cli.progress import open_progress
from tiering.cli.session import session_of
from tiering.config.quantities import parse_size, say_size
from tiering.errors import UsageError
from tiering.jobs.estimate import SAMPLE_ABOVE_BYTES, Estimate, EstimateOptions, estimate

CLASSES_SHOWN = 8
NAMES = {"tensor": "other tensors", "media": "compressed already", "page": "parquet pages", "generic": "other bytes"}

EXAMPLES = (
    "frostline estimate /data",
    "frostline --json estimate /data/runs /data/datasets --sample 0",
)


def run(
    ctx: typer.Context,
    paths: Annotated[list[str], typer.Argument(help="Folders or files, anywhere.")],
    effort: Annotated[
        Literal["fast", "balanced", "small"], typer.Option("--effort", help="Of compression.")
    ] = "balanced",
    sample: Annotated[
        str, typer.Option("--sample", help="Read about this much of larger trees; 0 reads everything.")
    ] = say_size(SAMPLE_ABOVE_BYTES),
    hot_price: Annotated[
        float | None, typer.Option("--hot-price", min=0, help="Dollars per GiB and month of the disk it is on.")
    ] = None,
) -> int:
    """Measure what chunking, dedup and zstd make of these trees, and price it. Needs no configuration, writes nothing.

    Cold is what the built-in rules would move today, by the evidence of reading there is.
    """
    session = session_of(ctx)
    try:
        sample_bytes = parse_size(sample)
    except ValueError as error:
        raise UsageError(f"--sample: {error}") from None
    options = EstimateOptions(
        effort=effort,
        sample_above_bytes=sample_bytes,
        hot_nano_per_gib_month=None if hot_price is None else round(hot_price * NANO),
    )
    progress = open_progress(session.clock, quiet=session.out.as_json)
    with session.interruptible():
        seen = estimate(paths, clock=session.clock, options=options, progress=progress, stop=session.stop)
    session.out.json(seen.to_json())
    _show(session.out, seen)
    return 0


def _show(out: Output, seen: Estimate) -> None:
    out.text(f"{seen.files:,} files, {say_bytes(seen.logical_bytes)}")
    out.text(f"  unique after dedup      {say_bytes(seen.unique_bytes):>12}")
    out.text(f"  stored after coding     {say_bytes(seen.stored_bytes):>12}   {seen.reduction_ratio:.0%} of it")
    for found in seen.classes[:CLASSES_SHOWN]:
        what = f"{found.element} tensors" if found.element else NAMES.get(found.kind, found.kind)
        ratio = found.stored_bytes / found.data_bytes
        out.text(f"    {what:<22}{say_bytes(found.data_bytes):>12}   to {ratio:.0%}: {', '.join(found.codecs[:3])}")
    out.text(f"  cold by built-in rules  {say_bytes(seen.cold_bytes):>12}   {seen.cold_files:,} files")
    out.text(
        f"a month: {say_usd(seen.now_nano_month)} now, {say_usd(seen.then_nano_month)} then, "
        f"{say_usd(seen.now_nano_month - seen.then_nano_month)} saved; {say_usd(seen.once_nano)} once"
    )
    for note in seen.notes:
        out.text(f"note: {note}")
    show_skips(out, seen.problems)
