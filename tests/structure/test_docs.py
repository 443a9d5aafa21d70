"""Messages that point somewhere point at something; examples parse; links lead to files."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from tests.structure.sources import PROJECT, modules_under
from tiering.cli.commands import COMMANDS
from tiering.cli.dispatch import command_app, parse

ANCHOR = re.compile(r"docs/(\w+)\.md#([a-z0-9-]+)")
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def anchors(document: str) -> set[str]:
    """Return the anchors that the headings of docs/*document*.md make."""
    text = (PROJECT / "docs" / f"{document}.md").read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def pointers() -> list[tuple[str, str, str]]:
    """Return (source, document, anchor) of every pointer into docs/ that the program prints."""
    found = []
    for path in modules_under("tiering", "dedup", "policies", "daemon"):
        text = (PROJECT / path).read_text(encoding="utf-8")
        found += [(str(path), document, anchor) for document, anchor in ANCHOR.findall(text)]
    return found


@pytest.mark.parametrize(("source", "document", "anchor"), pointers())
def test_what_a_message_points_at_is_there(source: str, document: str, anchor: str) -> None:
    assert anchor in anchors(document), f"{source} points at docs/{document}.md#{anchor}"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_examples_of_a_command_parse(name: str) -> None:
    examples = command_app(name).registered_commands[0].epilog or ""
    lines = [line.strip() for line in examples.splitlines() if "frostline" in line]
    assert lines
    for words in (part for line in lines for part in _simple_commands(line)):
        if words[0] == "frostline":
            invocation = parse(words[1:])
            command = typer.main.get_command(command_app(invocation.command))
            command.make_context(invocation.command, list(invocation.args))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_relative_links_lead_to_files(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_hints_name_commands_that_exist() -> None:
    known = {name.split()[0] for name in COMMANDS}
    hints = [
        word
        for path in modules_under("tiering")
        for word in re.findall(r"run: frostline ([a-z]+)", (PROJECT / path).read_text(encoding="utf-8"))
    ]
    assert hints
    assert set(hints) <= known


def _simple_commands(line: str) -> list[list[str]]:
    """Return the words of each command of a shell line, its comment left out."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in {"|", "&&"}:
            commands.append([])
        else:
            commands[-1].append(word)
    return commands
