"""Writes docs/cli.md and docs/config.md from the program itself: `make reference`. A test keeps both fresh."""

import io
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

from tiering.cli.commands import COMMANDS
from tiering.cli.dispatch import command_app, overview
from tiering.config.sample import reference as config_reference

HEAD = """\
# The command line

Generated from the program (`make reference`); a test keeps it fresh. What `--json` writes, and the keys that scripts
may rely on, are in [json.md](json.md), the configuration in [config.md](config.md).

```
{overview}```
"""
COLUMNS = "100"


def cli_reference() -> str:
    """Return docs/cli.md: the overview, and the help of every command with its examples."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS  # what the help is wrapped to, on any terminal
    try:
        sections = [f"## {name}\n\n```\n{_help(name)}```\n" for name in COMMANDS]
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return HEAD.format(overview=overview()) + "\n" + "\n".join(sections)


def main(folder: Path) -> None:
    """Write both files into *folder*."""
    (folder / "cli.md").write_text(cli_reference(), encoding="utf-8")
    (folder / "config.md").write_text(config_reference(), encoding="utf-8")


def _help(name: str) -> str:
    text = io.StringIO()
    with redirect_stdout(text):
        command_app(name)(args=["--help"], prog_name=f"frostline {name}", standalone_mode=False)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
