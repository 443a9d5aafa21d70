"""Directories on several file systems, and writers that stop where a test wants them to."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hot.releasing import CONTENT, Release
from tiering.hot.lease import ignore_sigio

WAIT_S = 20  # far below the kernel's lease-break-time (45 s): who needs longer was not let in by us


@pytest.fixture(autouse=True, scope="session")
def sigio_ignored() -> None:
    ignore_sigio()


def _mounted(folder: Path, *arguments: str) -> bool:
    folder.mkdir()
    return subprocess.run(["mount", *arguments, str(folder)], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def xfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small XFS in a loop-mounted image."""
    if os.geteuid() != 0 or shutil.which("mkfs.xfs") is None:
        pytest.skip("needs root and mkfs.xfs")
    base = tmp_path_factory.mktemp("xfs")
    image = base / "image"
    with image.open("wb") as out:
        out.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True, capture_output=True)
    if not _mounted(base / "mnt", "-o", "loop", str(image)):
        pytest.skip("needs loop devices")
    yield base / "mnt"
    subprocess.run(["umount", str(base / "mnt")], check=True)


@pytest.fixture(scope="session")
def tmpfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small tmpfs."""
    folder = tmp_path_factory.mktemp("tmpfs") / "mnt"
    if os.geteuid() != 0 or not _mounted(folder, "-t", "tmpfs", "-o", "size=64m", "none"):
        pytest.skip("needs root to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(params=["here", "xfs", "tmpfs"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A fresh directory on the disk of the tests, on XFS, and on tmpfs."""
    if request.param == "here":
        return tmp_path
    folder: Path = request.getfixturevalue(f"{request.param}_mount") / tmp_path.name
    folder.mkdir()
    return folder


class StoppedWriter:
    """A writer that resolved its path now and calls open(2) later: an O_PATH descriptor, opened again through /proc.

    That is exactly what the kernel does with a process that was stopped between lookup and open.
    """

    def __init__(self, path: Path) -> None:
        self._found = os.open(path, os.O_PATH)
        self._thread: threading.Thread | None = None
        self._may_write = threading.Event()
        self.is_open = threading.Event()

    def go_on(self, data: bytes, *, flags: int = os.O_WRONLY | os.O_APPEND) -> None:
        """Open in a thread (the open may block on a lease), wait for finish(), write and close."""

        def run() -> None:
            fd = os.open(f"/proc/self/fd/{self._found}", flags)
            self.is_open.set()
            self._may_write.wait(WAIT_S)
            os.write(fd, data)
            os.close(fd)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def finish(self) -> None:
        """Let it write, and wait for its end."""
        self._may_write.set()
        assert self._thread is not None
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the writer was held up"
        os.close(self._found)


@pytest.fixture
def stopped_writer() -> Callable[[Path], StoppedWriter]:
    return StoppedWriter


@pytest.fixture
def release(volume: Path) -> Iterator[Release]:
    """A release of `model.bin` that has not begun."""
    (volume / "model.bin").write_bytes(CONTENT)
    made = Release(volume, b"model.bin")
    yield made
    os.close(made.dir_fd)
