"""The generated reference is what the program says now."""

from tests.structure.sources import PROJECT
from tiering.cli.reference import cli_reference


def test_docs_cli_is_fresh() -> None:
    shown = (PROJECT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert shown == cli_reference(), "run: make reference"
