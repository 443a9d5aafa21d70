"""Users who replace a file at the very moment of a swap: theirs stands, and nothing is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hot.conftest import StoppedWriter
from tests.hot.releasing import CONTENT, Release
from tiering.hot import syscalls
from tiering.hot.parking import Undone


def _replace(release: Release, content: bytes) -> None:
    (release.folder / "other").write_bytes(content)
    (release.folder / "other").rename(release.path)


@pytest.mark.parametrize("times", [1, 2])
def test_p1_a_file_put_there_at_the_very_moment_of_the_exchange_is_given_back(
    release: Release, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Once: between our look and the exchange. Twice: again before it could be given back; then the newest stands."""
    exchange = syscalls.rename_exchange
    came: list[int] = []

    def after_a_user(dir_fd: int, first: bytes, second: bytes) -> None:
        if len(came) < times:
            came.append(1)
            _replace(release, b"new %d" % len(came))
        exchange(dir_fd, first, second)

    monkeypatch.setattr(syscalls, "rename_exchange", after_a_user)
    assert isinstance(release.begin(), Undone)
    assert release.path.read_bytes() == b"new %d" % times
    assert release.conflict.exists() == (times == 2)
    assert release.leftovers() == []


@pytest.mark.parametrize("times", [1, 2])
def test_p1_a_file_put_there_at_the_very_moment_of_putting_back_stays(
    release: Release,
    monkeypatch: pytest.MonkeyPatch,
    stopped_writer: Callable[[Path], StoppedWriter],
    times: int,
) -> None:
    writer = stopped_writer(release.path)
    release.begin()
    writer.go_on(b"late bytes")
    writer.finish()
    exchange = syscalls.rename_exchange
    came: list[int] = []

    def after_a_user(dir_fd: int, first: bytes, second: bytes) -> None:
        if len(came) < times:
            came.append(1)
            _replace(release, b"new %d" % len(came))
        exchange(dir_fd, first, second)

    monkeypatch.setattr(syscalls, "rename_exchange", after_a_user)
    release.finish()
    assert release.path.read_bytes() == b"new %d" % times
    kept = release.conflict.read_bytes()
    assert kept == (CONTENT + b"late bytes" if times == 1 else b"new 1")
    assert release.leftovers() == []
