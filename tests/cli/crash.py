"""A command that fails in ways no command should, for tests of what stands behind all of them."""

import atexit
import os
import signal
from typing import Annotated

import typer

EXAMPLES = ("frostline crash", "frostline crash --how interrupt")


class _Ends:
    """Is interrupted as it goes, where nothing can be raised."""

    def __del__(self) -> None:
        _ctrl_c()


def run(  # noqa: C901  # as many ways as there are
    how: Annotated[str, typer.Option("--how", help="see the cases")] = "bug",
) -> int:
    """Fail."""
    match how:
        case "interrupt":
            raise KeyboardInterrupt
        case "import":
            raise ImportError("no such machine")
        case "swallow":
            try:
                _ctrl_c()
            except BaseException:  # noqa: BLE001  # as a library does that tries whether another one is there
                return 0
        case "lose":
            try:
                _ctrl_c()
            except BaseException as error:
                raise ImportError("no such machine") from error
        case "unraisable":
            ends = _Ends()
            del ends
            return 0
        case "twice":
            try:
                _ctrl_c()
            finally:
                _ctrl_c()
                print("went on")
        case "output":
            print("much\n" * 10_000)
            return 0
        case "ending":
            atexit.register(_ctrl_c)
            print("done")
            return 3
    return 1 // 0


def _ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)
