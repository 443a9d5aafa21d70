"""What this process is called in leases and journal rows."""

import os
import socket

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def process_owner() -> str:
    """Return host:pid:boot-id; unique among processes of one machine's life, so that the dead can be told apart."""
    with open(BOOT_ID, encoding="ascii") as file:
        boot = file.read().strip()
    return f"{socket.gethostname()}:{os.getpid()}:{boot}"
