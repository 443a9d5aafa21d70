"""Leases: granted, refused, broken, and given up before anybody waits."""

import fcntl
import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.hot.conftest import WAIT_S
from tiering.errors import SourceBusy
from tiering.hot.lease import POLL_S, LeaseUnavailable, lease_state, read_lease, write_lease


@pytest.fixture
def file(volume: Path) -> Path:
    path = volume / "file"
    path.write_bytes(b"x" * 5000)
    return path


def test_a_read_lease_is_refused_while_a_writer_has_it_open(file: Path) -> None:
    with file.open("r+b"), file.open("rb") as ours, pytest.raises(SourceBusy), read_lease(ours.fileno(), "f"):
        pass


def test_a_read_lease_is_granted_beside_readers(file: Path) -> None:
    with file.open("rb"), file.open("rb") as ours, read_lease(ours.fileno(), "f") as lease:
        assert lease.is_whole()


@pytest.mark.parametrize("kind", [read_lease, write_lease])
def test_a_shared_writable_mapping_refuses_the_lease(file: Path, kind: object) -> None:
    with file.open("r+b") as writer:
        mapping = mmap.mmap(writer.fileno(), 0)
    with mapping, file.open("rb") as ours, pytest.raises(SourceBusy), kind(ours.fileno(), "f"):  # type: ignore[operator]
        pass


def test_a_write_lease_is_refused_while_a_reader_has_it_open(file: Path) -> None:
    with file.open("rb"), file.open("rb") as ours, pytest.raises(SourceBusy), write_lease(ours.fileno(), "f"):
        pass


def test_p10_a_writer_is_let_in_while_the_holder_does_something_else(file: Path) -> None:
    with file.open("rb") as ours, read_lease(ours.fileno(), "f") as lease:
        opened = threading.Event()

        def write() -> None:
            with file.open("r+b"):
                opened.set()

        thread = threading.Thread(target=write)
        thread.start()
        assert opened.wait(WAIT_S), "nobody gave the lease up"  # the holder polls nothing here
        thread.join()
        assert not lease.is_whole()


def test_p10_a_broken_lease_is_polled_well_within_200_ms() -> None:
    assert POLL_S * 5 <= 0.1


def test_a_writer_that_will_not_wait_is_told_to_try_again(file: Path) -> None:
    with file.open("rb") as ours, write_lease(ours.fileno(), "f") as lease:
        with pytest.raises(BlockingIOError):
            os.open(file, os.O_WRONLY | os.O_NONBLOCK)
        assert lease.is_wanted()
    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))


def test_truncation_by_path_breaks_the_lease(file: Path) -> None:
    with file.open("rb") as ours, read_lease(ours.fileno(), "f") as lease:
        thread = threading.Thread(target=os.truncate, args=(file, 0))
        thread.start()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        assert not lease.is_whole()


def test_the_lease_ends_with_its_block(file: Path) -> None:
    with file.open("rb") as ours:
        with write_lease(ours.fileno(), "f"):
            assert lease_state(ours.fileno()) == fcntl.F_WRLCK
        assert lease_state(ours.fileno()) == fcntl.F_UNLCK


_CHILD = """
import os, sys, threading
from tiering.hot.lease import read_lease
fd = os.open(sys.argv[1], os.O_RDONLY)
with read_lease(fd, "f") as lease:
    writer = threading.Thread(target=lambda: os.close(os.open(sys.argv[1], os.O_WRONLY)))
    writer.start(); writer.join()
    print("alive", lease.is_whole())
"""


def test_a_process_that_forgot_to_ignore_sigio_is_not_killed(file: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _CHILD, str(file)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.returncode, ran.stdout) == (0, "alive False\n"), ran.stderr


_OTHERS_FILE = """
import os, sys
from tiering.hot.lease import LeaseUnavailable, read_lease
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    with read_lease(fd, "f"):
        print("granted")
except LeaseUnavailable as error:
    print(error.what)
"""


@pytest.mark.root
def test_another_users_file_gives_no_lease_without_cap_lease(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    file.chmod(0o644)
    with file.open("rb") as opened:
        fd = opened.fileno()
        code = _OTHERS_FILE.replace("os.open(sys.argv[1], os.O_RDONLY)", f"{fd}")
        ran = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            pass_fds=(fd,),
        )

    assert "CAP_LEASE" in ran.stdout, ran.stdout + ran.stderr
    assert issubclass(LeaseUnavailable, Exception)
