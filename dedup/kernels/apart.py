"""Has kernels compiled by a process of its own: what numba needs (140 MB) would stay where it was loaded.

Used by dedup.kernels.machine where a kernel is not kept yet: once per kernel and machine. Run as a program it compiles
the one that stands on its standard input, with those that the same module compiles when it is loaded, and keeps them.
"""

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 300  # a second or two on an idle machine


def compile_apart(loop: Callable[..., Any], result: object, arguments: tuple[object, ...]) -> bool:
    """Return whether another process has compiled *loop* and kept it; if not, the caller compiles for itself."""
    if not sys.executable:
        return False
    try:
        wanted = pickle.dumps((loop, result, arguments))
        done = subprocess.run(
            [sys.executable, "-m", "dedup.kernels.apart"],
            input=wanted,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=TIMEOUT_S,
            check=False,
        )
    except (pickle.PicklingError, AttributeError, OSError, ValueError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def main() -> None:
    """Compile what the parent asks for; fails where nothing can be kept."""
    machine = importlib.import_module("dedup.kernels.machine")  # which imports this module
    machine.compile_here()
    loop, result, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301  # of our own parent, by a pipe
    if not machine.keep(loop, result, arguments):
        sys.exit(1)


if __name__ == "__main__":
    main()
