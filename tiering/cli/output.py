"""Prints: text for people on a terminal or in a file, or one JSON document for programs.

stdout carries the answer, stderr everything else. Bytes that a terminal would act on are escaped there.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from policies.amounts import say_bytes

Cell = str | int | float | None
_POINTS = str.maketrans("", "", ",.")


class Output:
    """Where a command writes its answer."""

    def __init__(self, *, as_json: bool) -> None:
        """Answer in JSON, or in text."""
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()

    def json(self, value: Any) -> None:
        """Print *value* as the one JSON document of this command (nothing where text was asked for)."""
        if self.as_json:
            print(json.dumps(value, default=plain, indent=1 if self.is_terminal else None))

    def json_list(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Print *rows* as one JSON list, each as it comes: memory does not grow with their number."""
        if not self.as_json:
            return
        separator = "["
        for row in rows:
            print(separator + json.dumps(row, default=plain), end="")
            separator = ",\n"
        print("[]" if separator == "[" else "]")

    def json_text(self, pieces: Iterable[str]) -> None:
        """Print *pieces*, which make one JSON document, as they come: it is never all in memory."""
        if self.as_json:
            sys.stdout.writelines(pieces)

    def text(self, line: str = "") -> None:
        """Print a line of the answer (nothing where JSON was asked for)."""
        if not self.as_json:
            print(self.safe(line))

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Print rows under a head; numbers to the right. Columns are as wide as their widest cell."""
        if self.as_json:
            return
        shown = [[self.safe("" if cell is None else str(cell)) for cell in row] for row in rows]
        numeric = [
            bool(shown)
            and all(cell.lstrip("$").replace(",", "").replace(".", "").isdigit() or not cell for cell in column)
            for column in zip(*shown, strict=True)
        ] or [False] * len(head)
        widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
        for line in (list(head), *shown):
            cells = (
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, numeric, strict=True)
            )
            print("  ".join(cells).rstrip())

    def note(self, line: str) -> None:
        """Say something beside the answer, on stderr."""
        print(self.safe(line), file=sys.stderr)

    def safe(self, line: str) -> str:
        """Return *line* with what a terminal would obey written as escapes; unchanged for files and pipes."""
        if not self.is_terminal:
            return line
        return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in line)


def plain(value: Any) -> Any:
    """Return *value* as JSON knows it: dataclasses as objects, bytes as paths."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable):
        return list(value)
    return str(value)


def size(size_bytes: int) -> str:
    """Return bytes as people read them."""
    return say_bytes(size_bytes)


def _escaped(char: str) -> str:
    raw = char.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in raw)
