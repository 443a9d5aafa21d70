"""Finds the project's own source files for the structure tests."""

import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
TOP_LEVEL_NAMES = ("tiering", "dedup", "policies", "daemon")


def modules_under(*names: str) -> list[Path]:
    """Return every Python file of the folders and modules *names*, relative to the project, sorted."""
    found: list[Path] = []
    for name in names:
        found += (PROJECT / name).rglob("*.py")
        if (PROJECT / f"{name}.py").is_file():
            found.append(PROJECT / f"{name}.py")
    return sorted(path.relative_to(PROJECT) for path in found)


def pyproject() -> dict[str, Any]:
    """Return the parsed pyproject.toml."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
