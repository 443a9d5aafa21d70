"""What import-linter cannot say about purity: built-ins that reach the outside without an import."""

import ast
from pathlib import Path

import pytest

from tests.structure.sources import PROJECT, modules_under

REACHING_OUT = {"open", "print", "input", "exec", "eval", "compile", "__import__", "breakpoint"}
# The compiler spells out the entry of a loop for its signature.
ALLOWED = {"dedup/kernels/compiler.py": {"exec"}}
# policies may not load code or files by name either; dedup's registries do, to leave numba alone until it is needed.
LOADERS = {"importlib"}


def builtins_called(source: bytes) -> set[str]:
    """Return the names that *source* calls as plain functions."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {function.id for function in calls if isinstance(function, ast.Name)}


def packages_imported(source: bytes) -> set[str]:
    """Return the top-level packages that *source* imports, wherever the statement stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", modules_under("policies", "dedup"), ids=str)
def test_pure_packages_call_nothing_that_reaches_out(path: Path) -> None:
    assert builtins_called((PROJECT / path).read_bytes()) & REACHING_OUT == ALLOWED.get(str(path), set())


@pytest.mark.parametrize("path", modules_under("policies"), ids=str)
def test_policies_load_nothing_by_name(path: Path) -> None:
    assert packages_imported((PROJECT / path).read_bytes()) & LOADERS == set()


def test_the_check_sees_a_call_and_an_import() -> None:
    source = b"def f(p):\n    import importlib.resources\n    return open(p)\n"

    assert builtins_called(source) == {"open"}
    assert packages_imported(source) == {"importlib"}
