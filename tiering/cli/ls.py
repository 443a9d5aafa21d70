"""`frostline ls`: where each file is."""

from typing import Annotated

import typer

from policies.amounts import say_bytes
from tiering.app.targets import find_targets, whole_roots
from tiering.catalog.values import FileState
from tiering.cli.session import session_of
from tiering.errors import UsageError
from tiering.report.residency import residency

EXAMPLES = (
    "frostline ls /data/runs",
    "frostline ls s3://datalake/raw",
    "frostline --json ls | jq '.[] | select(.state == \"offline\")'",
)


def run(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None, typer.Argument(help="Folders or files, s3://BUCKET/PREFIX; everything without.")
    ] = None,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only files in this state. Repeatable.")] = None,
) -> int:
    """List files with state, tier and size, as the last scan and the jobs since know them.

    stored is what a restore of the file would fetch (shared chunks count for every file that uses them); exclusive is
    what deleting the stored copy would free.
    """
    session = session_of(ctx)
    out = session.out
    if unknown := set(state or ()).difference(FileState):
        raise UsageError(f'there is no state "{min(unknown)}"', hint=f"choose among: {', '.join(FileState)}")
    with session.looking() as context:
        targets = find_targets(context, paths, with_objects=True) if paths else whole_roots(context)
        rows = (row for row in residency(context, targets) if not state or row.state in state)
        if out.as_json:
            out.json_list(row.as_json() for row in rows)
            return 0
        out.text(f"{'state':<10} {'tier':<10} {'size':>11} {'stored':>11} {'exclusive':>11}  path")
        for row in rows:
            sizes = " ".join(
                f"{say_bytes(size) if size else '-':>11}"
                for size in (row.size_bytes, row.stored_bytes, row.exclusive_bytes)
            )
            out.text(f"{row.state:<10} {row.tier:<10} {sizes}  {row.path}")
    return 0
