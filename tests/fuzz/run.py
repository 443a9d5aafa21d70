#!/usr/bin/env python3
"""Fuzz one target: `python -m tests.fuzz.run NAME [corpus folders and libFuzzer options]`; needs atheris.

New inputs go to the first folder given. A crash leaves its input in the working folder; put it into
tests/fuzz/corpus/NAME once it is mended, so that it stays mended.
"""

import importlib
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Instrument dedup, then fuzz until libFuzzer has enough."""
    sys.path.insert(0, str(PROJECT))
    atheris = importlib.import_module("atheris")
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["dedup"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup([sys.argv[0], *options], target.fuzz)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
