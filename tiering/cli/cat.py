"""`frostline cat`: write a stored file to standard output."""

import sys
from typing import Annotated

import typer

from tiering.cli.arguments import parse_moment, parse_range, refuse_folder
from tiering.cli.session import session_of
from tiering.jobs.random_access import cat_range
from tiering.jobs.restore import cat
from tiering.jobs.stored_paths import absolute_path

EXAMPLES = (
    "frostline cat /data/runs/2023/config.yaml",
    "frostline cat /data/big.csv | head",
    "frostline cat /data/runs/2023/model.pt --range 0+4096",
    "frostline cat s3://datalake/raw/2023/eval.jsonl",
)


def run(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="A file under a root; an object: s3://BUCKET/KEY or NAME/KEY.")],
    at: Annotated[str, typer.Option("--at", help="As it was then: 2026-01-31T08:00 (UTC); now without.")] = "",
    part: Annotated[
        str, typer.Option("--range", metavar="OFFSET+LENGTH", help='Only these bytes: "0+4096", "1.5GiB+64MiB".')
    ] = "",
) -> int:
    """Write the stored content, each chunk verified before it is written. Nothing is recalled.

    What is archived is asked for on a ticket (exit code 4); of a range only the packs that it needs.
    """
    session = session_of(ctx)
    session.out.as_json = False
    with session.reading() as context:
        refuse_folder(path, "cat")
        at_ns, place = parse_moment(at) if at else None, absolute_path(context, path)
        if part:
            cat_range(context, place, sys.stdout.buffer, parse_range(part), at_ns)
        else:
            cat(context, place, sys.stdout.buffer, at_ns)
        sys.stdout.buffer.flush()
    return 0
