"""`frostline cat`: write a stored file to standard output."""

import os
import sys
from typing import Annotated

import typer

from tiering.cli.recall import parse_moment
from tiering.cli.session import session_of
from tiering.jobs.restore import cat

EXAMPLES = (
    "frostline cat /data/runs/2023/config.yaml",
    "frostline cat /data/big.csv | head",
)


def run(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="A file under a root.")],
    at: Annotated[str, typer.Option("--at", help="As it was then: 2026-01-31T08:00 (UTC); now without.")] = "",
) -> int:
    """Write the stored content, each chunk verified before it is written. Nothing is recalled."""
    session = session_of(ctx)
    session.out.as_json = False
    with session.reading() as context:
        cat(context, os.path.abspath(path), sys.stdout.buffer, parse_moment(at) if at else None)
        sys.stdout.buffer.flush()
    return 0
