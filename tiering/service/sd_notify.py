"""Tells systemd how the service is: sd_notify(3) over the socket it gave us, nothing where there is none."""

import os
import socket
from collections.abc import Mapping

SEND_TIMEOUT_S = 2.0  # a supervisor that does not read must not hold up the loop


class Supervisor:
    """The other end of $NOTIFY_SOCKET. Never raises: a supervisor that went away is no reason to stop."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Take the address and the watchdog's time from *environ*; forget both where they are for another process."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(environ.get("WATCHDOG_USEC", "0")) / 1e6 if watched else 0.0
        """Without WATCHDOG=1 for this long systemd kills us; 0: nobody watches."""

    def ready(self, status: str) -> None:
        """Say that start-up, or a reload, is complete."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Say what is being done; `systemctl status` shows it."""
        self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def reloading(self, monotonic_s: float) -> None:
        """Say that the configuration is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def stopping(self, status: str) -> None:
        """Say that no new work is begun."""
        self._send(f"STOPPING=1\nSTATUS={_line(status)}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the NUL of the abstract name space.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(SEND_TIMEOUT_S)
                out.sendto(message.encode(), address)
        except OSError:
            pass  # nobody listens any more, or nobody reads


def _line(text: str) -> str:
    return " ".join(text.split())
