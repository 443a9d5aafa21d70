"""The operator's command line: one file per command, and the only place in frostline that prints.

main() is what the console script calls. It answers Ctrl-C from the beginning, before anything else is loaded:
interrupted, many a library would end in a traceback, or swallow it and go on (tiering.cli.dispatch does the rest).
"""

import atexit
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType

INTERRUPTED = 130
SENTENCE = "interrupted\n  next: run the same command again; it goes on where it stopped"
_interrupts: list[int] = []


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    _open_streams()
    is_asked = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else whoever started this ignores it
    if is_asked:
        signal.signal(signal.SIGINT, leave)
        sys.unraisablehook = _not_told
        # What Python does at its very end takes no Ctrl-C: it would be as if it had been killed.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    code: int = import_module("tiering.cli.dispatch").said(list(sys.argv[1:] if argv is None else argv))
    if is_asked:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(code))  # it may wait for threads
    sys.exit(code)


def leave(number: int, frame: FrameType | None) -> None:
    """Answer Ctrl-C where nothing is under way that would have to be undone: end, now."""
    try:
        os.write(2, SENTENCE.encode() + b"\n")
    except OSError:
        pass  # nobody reads it
    os._exit(INTERRUPTED)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Answer Ctrl-C where something may have to be undone; once more, and it ends at once. Raises KeyboardInterrupt."""
    _interrupts.append(number)
    signal.signal(signal.SIGINT, leave)
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Return whether interrupt() was called, whatever became of what it raised."""
    return bool(_interrupts)


def _open_streams() -> None:
    """Open what was closed of the three: or the next file that is opened would be taken for standard output."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def _not_told(unraisable: "sys.UnraisableHookArgs") -> None:
    """Say nothing of an interrupt that came to where nothing can be raised: in what ends an object, for one."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
