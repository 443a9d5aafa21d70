"""systemd hears what the service says, and its absence is no trouble."""

import os
import socket
from pathlib import Path

from tiering.service.sd_notify import Supervisor


def heard(sock: socket.socket) -> list[str]:
    """The lines of the next message."""
    return sock.recv(4096).decode().splitlines()


def test_every_message_reaches_the_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        supervisor = Supervisor({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2500000"})
        assert supervisor.watchdog_s == 2.5
        supervisor.ready("one\ntwo")
        assert heard(sock) == ["READY=1", "STATUS=one two"]
        supervisor.alive()
        assert heard(sock) == ["WATCHDOG=1"]
        supervisor.reloading(1.5)
        assert heard(sock) == ["RELOADING=1", "MONOTONIC_USEC=1500000"]
        supervisor.stopping("bye")
        assert heard(sock) == ["STOPPING=1", "STATUS=bye"]


def test_abstract_sockets_work() -> None:
    name = f"frostline-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        Supervisor({"NOTIFY_SOCKET": "@" + name}).alive()
        assert heard(sock) == ["WATCHDOG=1"]


def test_nobody_listening_is_no_trouble(tmp_path: Path) -> None:
    Supervisor({}).ready("x")
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("x")


def test_a_watchdog_of_another_process_is_not_ours() -> None:
    assert Supervisor({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s == 0
