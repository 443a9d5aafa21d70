"""Waiting until somebody waits: the kernel says when an open(2) is held up by a lease of this process."""

import os
import threading
from pathlib import Path

_TIMES, _EACH_S = 4000, 0.005  # 20 s: far below the kernel's lease-break-time (45 s)


def until_an_open_waits() -> None:
    """Return once somebody waits for a lease that this process holds; other processes' leases are none of ours."""
    for _ in range(_TIMES):
        if any(_is_ours_breaking(line.split()) for line in Path("/proc/locks").read_text().splitlines()):
            return
        threading.Event().wait(_EACH_S)
    raise AssertionError("nobody waits for a lease of ours:\n" + Path("/proc/locks").read_text())


def _is_ours_breaking(fields: list[str]) -> bool:
    """Whether a line says so: number, LEASE, BREAKING, the kind that it becomes, process, device:inode, range."""
    return fields[1:3] == ["LEASE", "BREAKING"] and fields[4] == str(os.getpid())
