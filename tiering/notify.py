"""Tells a person that the daemon needs one, through the command the operator chose.

One JSON object on the command's standard input: event, what, now, next, host. The daemon goes on whatever it does.
"""

import json
import socket
import subprocess
from collections.abc import Sequence
from typing import Protocol

TIMEOUT_S = 30  # long enough for a mail or a webhook, short enough not to hold up the daemon's stop


class Notifier(Protocol):
    """Somebody to tell."""

    def tell(self, event: str, what: str, *, now: str = "", hint: str = "") -> None:
        """Say it. Never raises."""


class Complaints(Protocol):
    """Where a failed notification is noted; tiering.logs.Log is one."""

    def error(self, event: str, **fields: object) -> None:
        """Note what failed."""


class CommandNotifier:
    """Runs the configured command; says nothing where there is none."""

    def __init__(self, command: Sequence[str], log: Complaints) -> None:
        """Tell by *command*, and note in *log* when that fails."""
        self._command = tuple(command)
        self._log = log

    def tell(self, event: str, what: str, *, now: str = "", hint: str = "") -> None:
        """See Notifier. Waits for the command, at most TIMEOUT_S."""
        if not self._command:
            return
        message = {"event": event, "what": what, "now": now, "next": hint, "host": socket.gethostname()}
        try:
            done = subprocess.run(
                self._command,
                input=json.dumps(message) + "\n",
                text=True,
                timeout=TIMEOUT_S,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._log.error("notify_failed", command=self._command[0], error=str(error))
            return
        if done.returncode:
            self._log.error("notify_failed", command=self._command[0], exit_code=done.returncode)
