"""Tells dead processes from living ones by the name they left in leases, journal rows and pending packs.

A name is host:pid:boot-id, optionally followed by :start-time (clock ticks, field 22 of /proc/PID/stat), which
tells a process from another that got its pid: after a container restarts, pid and boot id are often the same
again.
"""

import os

_AFTER_NAME = 20 - 1  # of the fields that follow the command's ")": start time is field 22, state (3) is the first


def is_dead(owner: str, *, mine: str) -> bool:
    """Return whether *owner* is known to run no more; False for ourselves and for what cannot be told from here.

    A process of another host is never known dead: its leases run out.
    """
    if owner == mine:
        return False
    host, pid, boot, start = _parts(owner)
    if not pid.isdigit() or host != _parts(mine)[0]:
        return False
    if boot != _parts(mine)[2]:
        return True
    found = start_time(int(pid))
    return found == "" or bool(start and start != found)


def is_alive(owner: str, *, mine: str) -> bool:
    """Return whether *owner* is known to run: it has our host and boot, and its pid is still its own."""
    theirs, ours = _parts(owner), _parts(mine)
    is_here = (theirs[0], theirs[2]) == (ours[0], ours[2]) and theirs[1].isdigit() and theirs[3] != ""
    return owner == mine or (is_here and start_time(int(theirs[1])) == theirs[3])


def is_of_this_machine(owner: str, *, mine: str) -> bool:
    """Return whether *owner* runs or ran on this machine: in any container of it, or before it was started again."""
    theirs, ours = _parts(owner), _parts(mine)
    return theirs[0] == ours[0] or theirs[2] == ours[2]


def start_time(pid: int) -> str:
    """Return when the process started, in clock ticks since boot; "" if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return os.fsdecode(fields[_AFTER_NAME])


def _parts(owner: str) -> tuple[str, str, str, str]:
    host, _, rest = owner.partition(":")
    pid, _, rest = rest.partition(":")
    boot, _, start = rest.partition(":")
    return host, pid, boot, start
