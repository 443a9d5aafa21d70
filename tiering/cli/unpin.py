"""`frostline unpin`: let the rules decide again."""

from typing import Annotated

import typer

from tiering.cli.pin import set_pins
from tiering.cli.session import session_of

EXAMPLES = (
    "frostline unpin /data/runs/best",
    "frostline unpin /data",
)


def run(
    ctx: typer.Context, paths: Annotated[list[str], typer.Argument(help="Folders (all files in them now) or files.")]
) -> int:
    """Let the rules decide about these files again."""
    return set_pins(session_of(ctx), paths, pinned=False)
