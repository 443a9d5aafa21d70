"""The shape of the source files that ruff cannot judge: lengths, docstrings, names."""

import ast
from pathlib import Path

import pytest

from tests.structure.sources import PROJECT, TOP_LEVEL_NAMES, modules_under

LONGEST_FILE = 400  # the style guide's limit: the p90 of the projects it was drawn from
LONGEST_FUNCTION = 60  # lines, docstring included; ruff holds the statements to 40
DISCREDITED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "handler", "misc"}

SOURCES = modules_under(*TOP_LEVEL_NAMES)
EVERYTHING = [*SOURCES, *modules_under("tests", "benchmarks", "tools")]


@pytest.mark.parametrize("path", EVERYTHING, ids=str)
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    lines = len((PROJECT / path).read_text(encoding="utf-8").splitlines())

    assert lines <= LONGEST_FILE, f"{path} has {lines} lines: split it by concept"


@pytest.mark.parametrize("path", EVERYTHING, ids=str)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse((PROJECT / path).read_bytes()))

    assert docstring, f"{path} has no docstring"
    assert len(docstring.split()) >= 4, f"{path}: {docstring!r} says nothing"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    tree = ast.parse((PROJECT / path).read_bytes())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [(node.name, length) for node in functions if (length := _length(node)) > LONGEST_FUNCTION]

    assert long == [], f"{path}: {long}"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_files_are_named_by_what_they_define(path: Path) -> None:
    assert DISCREDITED_NAMES.isdisjoint(path.with_suffix("").parts)


def test_the_sources_are_found() -> None:
    assert {path.parts[0].removesuffix(".py") for path in SOURCES} >= {"tiering", "dedup", "policies"}
    assert Path("tests/structure/test_shape.py") in EVERYTHING


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
