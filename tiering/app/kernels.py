"""Has kernels compiled when frostline is set up, once per installation, instead of during its first ingest."""

import importlib
import os
from collections.abc import Callable

# What of the hot tier runs as machine code, beside the kernels of dedup.
_ROOMS = tuple(f"tiering.hot.{name}" for name in ("native_reads", "native_writes", "native_looks"))


def compile_once(say: Callable[[str], None]) -> None:
    """Compile every kernel unless that was done. *say* is told before, and what failed, which is left for later."""
    beforehand = importlib.import_module("dedup.kernels.beforehand")
    if not beforehand.is_missing(_ROOMS):
        return
    say("compiling for this processor, once per installation: some 10 seconds")
    try:
        is_done = beforehand.compile_every(_ROOMS, len(os.sched_getaffinity(0)))
    except OSError as error:
        say(f"not compiled: {error.strerror}; it is tried again when something is needed")
        return
    if not is_done:
        say("not all of it could be compiled here: what could not runs slower")
