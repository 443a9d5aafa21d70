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
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
INLINE = re.compile(r"`(frostline [^`]+)`")
HINT = re.compile(r"(?:next: |hint=f?\"|run: |or: |: |; )frostline (?!never )([a-z][^\"#;,:()]*)")
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_commands_on_a_page_are_known_with_their_options(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    shown = [line.removeprefix("$ ") for block in BLOCK.findall(text) for line in block.splitlines()]
    mentions = [words for line in [*shown, *INLINE.findall(BLOCK.sub("", text))] for words in _of_frostline(line)]
    assert [found for words in mentions if (found := _unknown_in(words))] == []


def test_hints_name_commands_that_exist_with_their_options() -> None:
    mentions = [
        words
        for path in modules_under("tiering")
        for said in HINT.findall((PROJECT / path).read_text(encoding="utf-8"))
        for words in _of_frostline(f"frostline {said}")
    ]
    assert len(mentions) > 100
    assert [found for words in mentions if (found := _unknown_in(words))] == []


def _of_frostline(line: str) -> list[list[str]]:
    """Return the words behind each `frostline` that begins a command of *line*."""
    try:
        commands = _simple_commands(line)
    except ValueError:  # a line of output, with an apostrophe
        return []
    return [words[1:] for words in commands if len(words) > 1 and words[0] == "frostline"]


def _unknown_in(words: list[str]) -> str:
    """Return what of a command line the program does not know; "" where it knows all."""
    while words and words[0].startswith("--"):
        words = words[2:] if words[0] == "--config" else words[1:]
    name = next((" ".join(words[:length]) for length in (2, 1) if " ".join(words[:length]) in COMMANDS), None)
    if name is None:
        is_family = len(words) == 1 and any(known.startswith(f"{words[0]} ") for known in COMMANDS)
        return "" if is_family or not words or words[0].isupper() else " ".join(words)  # COMMAND: any
    parameters = typer.main.get_command(command_app(name)).params
    known = {option for it in parameters for option in (*it.opts, *it.secondary_opts)} | {
        "--json",
        "--config",
        "--help",
    }
    given = {word.strip("[]().,").partition("=")[0] for word in words if word.strip("[(").startswith("--")} - {"--"}
    return " ".join([name, *sorted(given - known)]) if given - known else ""


def _simple_commands(line: str) -> list[list[str]]:
    """Return the words of each command of a shell line, its comment left out."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word in {"|", "&&"}:
            commands.append([])
        else:
            commands[-1].append(word)
    return commands
