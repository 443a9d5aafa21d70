"""A command that fails in ways no command should, for tests of what stands behind all of them."""

from typing import Annotated

import typer

EXAMPLES = ("frostline crash", "frostline crash --how interrupt")


def run(how: Annotated[str, typer.Option("--how", help="bug, interrupt or import")] = "bug") -> int:
    """Fail."""
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "import":
        raise ImportError("no such machine")
    return 1 // 0
