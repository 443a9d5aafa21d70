"""What this process is called in leases and journal rows."""

import os
import socket

from tiering.jobs.processes import start_time

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def process_owner() -> str:
    """Return host:pid:boot-id:start-time, unique among processes; tiering.jobs.processes tells the dead."""
    with open(BOOT_ID, encoding="ascii") as file:
        boot = file.read().strip()
    return f"{socket.gethostname()}:{os.getpid()}:{boot}:{start_time(os.getpid())}"
