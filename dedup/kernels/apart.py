"""Has kernels compiled by a process of its own: what numba needs (140 MB) would stay where it was loaded.

Used by dedup.kernels.machine where a kernel is not kept yet: once per kernel and machine. The process compiles what it
is sent, with what the same module compiles when it is loaded, and keeps it; it serves a run of requests, since it takes
a second to start, and ends when nothing has come for IDLE_S or nobody is left who could ask.
"""

import atexit
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any, NamedTuple

IDLE_S = 5
TIMEOUT_S = 300  # a second or two on an idle machine


class _Process(NamedTuple):
    """One that runs."""

    process: subprocess.Popen[bytes]
    ours: Connection
    environment: dict[str, str]
    """Ours when it was started: says where things are kept."""

    def end(self) -> None:
        """Let it end, and wait for that."""
        self.ours.close()
        self.process.wait()


_running: list[_Process] = []
"""One at most. Guarded by the lock of dedup.kernels.machine."""


def compile_apart(loop: Callable[..., Any], result: object, arguments: tuple[object, ...]) -> bool:
    """Return whether another process has compiled *loop* and kept it; if not, the caller compiles for itself."""
    was_running = bool(_running)
    try:
        return _answer((loop, result, arguments))
    except (EOFError, OSError):
        _stop()  # it was idle for too long, perhaps just now
    except Exception:  # noqa: BLE001  # pickle raises what it likes for what it cannot name
        return False
    try:
        return was_running and _answer((loop, result, arguments))
    except (EOFError, OSError):
        _stop()
        return False


def _answer(wanted: tuple[object, ...]) -> bool:
    if _running and _running[0].environment != dict(os.environ):
        _stop()
    if not _running:
        _start()
    _running[0].ours.send(wanted)
    if _running[0].ours.poll(TIMEOUT_S):
        return bool(_running[0].ours.recv())
    _running[0].process.kill()
    _stop()
    return False


def _start() -> None:
    """Start the process. Raises OSError."""
    ours, its = Pipe()
    environment = dict(os.environ)
    try:
        process = started("dedup.kernels.apart", str(its.fileno()), pass_fds=[its.fileno()])
    except BaseException:
        ours.close()
        raise
    finally:
        its.close()
    _running.append(_Process(process, ours, environment))


def started(module: str, *arguments: str, pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start a process that runs *module*, with the paths of this one. Raises OSError."""
    # -P: nothing is loaded from the folder that somebody happens to stand in.
    return subprocess.Popen(
        [sys.executable or "python3", "-P", "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        pass_fds=pass_fds,
    )


@atexit.register
def _stop() -> None:
    while _running:
        _running.pop().end()


# Who was forked from us must not read our answers.
os.register_at_fork(after_in_child=_running.clear)


def main() -> None:
    """Compile what comes, and say of each whether it is kept now."""
    machine = importlib.import_module("dedup.kernels.machine")  # which loads this module
    machine.compile_here()
    with suppress(EOFError, OSError), Connection(int(sys.argv[1])) as asked:
        while asked.poll(IDLE_S):
            loop, result, arguments = asked.recv()
            try:
                is_kept = machine.keep(loop, result, arguments)
            except ImportError:
                is_kept = False
            asked.send(is_kept)


if __name__ == "__main__":
    main()
