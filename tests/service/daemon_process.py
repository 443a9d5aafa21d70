"""A running daemon in a child process, watched through its notification socket and its log."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.whole.site import Site

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


@dataclass
class Daemon:
    """The process, what it told systemd, and what it logged."""

    process: "subprocess.Popen[str]"
    socket: socket.socket
    lines: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)
    told: "queue.Queue[str]" = field(default_factory=queue.Queue)
    raw: list[str] = field(default_factory=list)

    def until_told(self, word: str) -> str:
        """Wait for a line to systemd that begins with *word*; return it."""
        while True:
            try:
                line = self.told.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise AssertionError(f"the daemon did not say {word}") from None
            if line.startswith(word):
                return line

    def until_logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for a log line of *event* with these fields; return it."""

        def fits(line: dict[str, Any]) -> bool:
            return line.get("event") == event and all(line.get(key) == value for key, value in fields.items())

        return self._until(fits)

    def _until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE_S)
            except queue.Empty:
                raise AssertionError("the daemon did not log it:\n" + "\n".join(self.raw[-40:])) from None
            if fits(line):
                return line

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ends(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(timeout=PATIENCE_S)

    def _listen(self) -> None:
        """Take what is said to systemd until the socket is closed; nobody reading would hold the daemon up."""
        while True:
            try:
                message = self.socket.recv(4096)
            except OSError:
                return
            if not message:
                return
            for line in message.decode().splitlines():
                self.told.put(line)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.raw.append(text.rstrip())
            self.lines.put(json.loads(text) if text.startswith("{") else {"event": "text", "text": text.strip()})


@contextmanager
def running(site: Site, folder: Path, *, wrap: tuple[str, ...] = ()) -> Iterator[Daemon]:
    """Run `python daemon.py` on *site* (with *wrap* before it); kill it at the end if it still runs."""
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        os.chmod(path, 0o777)
        environment = {**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}
        command = [*wrap, sys.executable, str(PROJECT / "daemon.py"), "--config", str(site.config)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        daemon = Daemon(process, sock)
        reader = threading.Thread(target=daemon._read, daemon=True)
        listener = threading.Thread(target=daemon._listen, daemon=True)
        reader.start()
        listener.start()
        try:
            yield daemon
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(timeout=PATIENCE_S)
            reader.join(timeout=PATIENCE_S)
            sock.shutdown(socket.SHUT_RDWR)
            listener.join(timeout=PATIENCE_S)
            assert process.stderr is not None
            process.stderr.close()
