"""A command in a process of its own that is ended, or stopped, at a touch of a file: `python -m tests.whole.mortal HOW
AT ARGS...`.

Touches are what Python's own auditing tells of: names of frostline's own in a user's tree, and packs, that are opened,
listed, made, renamed or removed. HOW is a signal's name; AT counts from 1, and 0 never comes. Their number goes to
stderr.
"""

import os
import signal
import sys
from itertools import count

from tiering.cli import main

EVENTS = frozenset({"open", "os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.link"})
OURS = (b".frostline-", b"/packs/")


def watch(how: signal.Signals, at: int) -> None:
    """Send *how* to this process at touch number *at*, before it comes about."""
    numbers = count(1)

    def touched(event: str, args: tuple[object, ...]) -> None:
        if event not in EVENTS:
            return
        paths = [os.fsencode(arg) for arg in args if isinstance(arg, str | bytes)]
        if any(name in path for path in paths for name in OURS) and next(numbers) == at:
            os.kill(os.getpid(), how)

    sys.addaudithook(touched)
    try:
        main(sys.argv[3:])
    finally:
        print(f"touches: {next(numbers) - 1}", file=sys.stderr)


if __name__ == "__main__":
    watch(signal.Signals[sys.argv[1]], int(sys.argv[2]))
