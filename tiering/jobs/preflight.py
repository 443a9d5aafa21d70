"""What this process needs to do its work exactly, tried out: each missing thing as the unit's line that would give it.

Write access to the places of the configuration, leases and exchanges in the roots, and capabilities. Asked by the
daemon at its start and by doctor.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from tiering.config import Config
from tiering.hot.evidence import swap_support
from tiering.jobs.context import Context

# include/uapi/linux/capability.h
CAPABILITIES = {
    "CAP_CHOWN": (0, "files come back with their owner"),
    "CAP_DAC_OVERRIDE": (1, "placeholders are written into other users' folders"),
    "CAP_DAC_READ_SEARCH": (2, "other users' files are read"),
    "CAP_FOWNER": (3, "modes and times of other users' files are put back"),
    "CAP_FSETID": (4, "setgid modes survive the write"),
    "CAP_LEASE": (28, "other users' files are released, under a lease; without, they are stored and stay"),
}
DROP_IN_HINT = "systemctl edit frostlined, or run frostline init again; then systemctl daemon-reload and restart"


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is not as it must be."""

    what: str
    line: str
    """What to add to the unit's [Service] section; "" where no line helps."""


def preflight(context: Context) -> Iterator[Missing]:
    """Yield what is missing; nothing when all is well. Writes and removes two hidden files at the top of each root."""
    yield from _capabilities()
    for place in (context.config.catalog.state_dir, context.config.spool_dir, *_local_dirs(context.config)):
        yield from _writable(place)
    for root in context.roots:
        if root.marker:
            yield from _releasable(root.path)


def _capabilities() -> Iterator[Missing]:
    effective = effective_capabilities()
    for name, (bit, purpose) in CAPABILITIES.items():
        if not effective >> bit & 1:
            yield Missing(f"{name} is missing; with it {purpose}", f"AmbientCapabilities={name}")


def effective_capabilities() -> int:
    """Return the effective capability set of this process as a bit mask."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("CapEff:"))
    return int(line.split()[1], 16)


def _local_dirs(config: Config) -> list[str]:
    return sorted(
        {tier.store.removeprefix("file://") for tier in config.tiers.values() if tier.store.startswith("file")}
    )


def _writable(path: str) -> Iterator[Missing]:
    try:
        fd = os.open(path, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            yield _unwritable(path, error)
    else:
        os.close(fd)


def _releasable(path: bytes) -> Iterator[Missing]:
    shown = os.fsdecode(path)
    try:
        support = swap_support(path)
    except OSError as error:
        yield _unwritable(shown, error)
        return
    if support.problem:
        yield Missing(f"{shown}: {support.problem}; files are stored and not released", "")


def _unwritable(path: str, error: OSError) -> Missing:
    if error.errno == errno.EROFS:
        return Missing(f"{path} is read-only for the service", f"ReadWritePaths={path}")
    if error.errno == errno.ENOENT:
        return Missing(f"{path} does not exist, or the unit hides it", f"ReadWritePaths={path}")
    return Missing(f"{path} cannot be written: {error.strerror}", "AmbientCapabilities=CAP_DAC_OVERRIDE")
