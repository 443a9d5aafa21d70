"""`frostline buckets restore`: put objects whose originals were deleted back into their bucket."""

from typing import Annotated

import typer

from policies.amounts import NANO, say_bytes, say_usd
from tiering.cli.act import acting
from tiering.cli.session import needs_yes, session_of
from tiering.jobs.object_return import preview_return, return_objects

SHOWN = 10
EXAMPLES = (
    "frostline buckets restore datalake                 # what would be put back",
    "frostline buckets restore datalake 2023/eval/ --yes",
)


def run(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A name in [[buckets]], of mode ingest.")],
    prefixes: Annotated[
        list[str] | None, typer.Argument(help="Keys, or what they begin with, below the bucket's url; none means all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
) -> int:
    """Put objects back under their keys, with headers, metadata, tags and class; stored copies stay.

    Only where no object stands: nothing is replaced. The date is new, and so is the ETag of what was uploaded in parts
    or is encrypted by KMS. To copy objects to a folder: frostline restore s3://BUCKET/PREFIX --to DIR.
    """
    session = session_of(ctx)
    out = session.out
    if not yes:
        with session.looking() as context:
            preview = preview_return(context, name, prefixes or [])
        out.json({"bucket": name, "objects": preview.objects, "bytes": preview.bytes})
        out.text(f"{preview.objects:,} objects, {say_bytes(preview.bytes)}, would be put back into {name}")
        needs_yes(session, yes=yes, what="do it")
        return 0
    with acting(session) as context:
        report = return_objects(context, name, prefixes or [])
    out.json({
        "bucket": name, "objects_returned": report.objects_returned, "bytes_returned": report.bytes_returned,
        "usd_once": report.usd_nano / NANO, "left": report.left, "skipped": report.skipped,
        "skipped_objects": [{"key": key, "reason": reason} for key, reason in report.skipped_objects],
    })  # fmt: skip
    out.text(
        f"put back {report.objects_returned:,} objects, {say_bytes(report.bytes_returned)}, for "
        f"{say_usd(report.usd_nano)}"
    )
    for key, reason in report.skipped_objects[:SHOWN]:
        out.text(f"skipped {key}: {reason}")
    return report.exit_code
