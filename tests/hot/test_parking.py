"""The swap of a release: whoever comes, and whenever, the bytes end at the path."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hot.conftest import WAIT_S, StoppedWriter
from tests.hot.releasing import CONTENT, OP, Release
from tests.hot.waiting import until_an_open_waits
from tiering.hot.identity import Identity
from tiering.hot.parking import Finished, Outcome, Parked, Undone, undo
from tiering.hot.placeholder import parse_target


def test_the_whole_way(release: Release) -> None:
    os.utime(release.path, ns=(7, 8))
    if os.geteuid() == 0:
        os.chown(release.path, 1234, 4321)
    release.expected = Identity.of(release.path.stat())
    os.utime(release.folder, ns=(11, 12))

    assert isinstance(release.begin(), Parked)
    parsed = parse_target(os.readlink(os.fsencode(release.path)))
    assert parsed is not None
    assert parsed.name == b"model.bin"
    assert release.hidden.read_bytes() == CONTENT
    with pytest.raises(NotADirectoryError):
        release.path.open("ab")

    assert release.finish() == Finished(Outcome.FREED)
    status = release.path.lstat()
    assert status.st_mtime_ns == 8
    assert os.geteuid() != 0 or (status.st_uid, status.st_gid) == (1234, 4321)
    assert release.leftovers() == []
    assert release.folder.stat().st_mtime_ns == 12, "the directory's time was not put back"


def test_finish_may_run_again(release: Release) -> None:
    release.begin()
    release.finish()
    assert release.finish().outcome is Outcome.GONE
    assert release.path.is_symlink()


def test_p1_a_file_that_changed_is_not_exchanged(release: Release) -> None:
    release.path.write_bytes(CONTENT)
    assert isinstance(release.begin(), Undone)
    assert not release.path.is_symlink()
    assert release.leftovers() == []


@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_p1_a_file_that_is_open_elsewhere_is_not_exchanged(release: Release, mode: str) -> None:
    with release.path.open(mode):
        result = release.begin()
    assert isinstance(result, Undone)
    assert result.is_busy
    assert release.path.read_bytes() == CONTENT
    assert release.leftovers() == []


class Visitor:
    """A stopped writer that goes on at one step of the release, and is seen waiting in open(2) before the release
    goes on.
    """

    def __init__(self, release: Release, writer: StoppedWriter, at: str) -> None:
        self._leased_path = release.hidden
        self._writer = writer
        self._at = at
        self._probe = -1

    def __call__(self, step: str) -> None:
        if step == self._at:
            self._writer.go_on(b"late bytes")
            until_an_open_waits()


def _visited(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter], at: str
) -> tuple[StoppedWriter, Visitor]:
    writer = stopped_writer(release.path)
    return writer, Visitor(release, writer, at)


def test_p1_a_writer_that_opens_during_the_exchange_finds_its_file_at_the_path(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter]
) -> None:
    writer, visitor = _visited(release, stopped_writer, "release.exchanged")
    result = release.begin(visitor)
    assert isinstance(result, Undone)
    assert result.is_busy
    assert result.identity is not None
    assert result.identity.same_content_stamps(release.expected)
    writer.finish()
    assert release.path.read_bytes() == CONTENT + b"late bytes"
    assert release.leftovers() == []


def test_p1_a_writer_that_opens_while_parked_gets_its_file_back_at_the_path(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter]
) -> None:
    writer = stopped_writer(release.path)
    assert isinstance(release.begin(), Parked)
    writer.go_on(b"late bytes")
    assert writer.is_open.wait(WAIT_S)
    assert release.finish().outcome is Outcome.REVERTED  # still open
    writer.finish()
    assert release.path.read_bytes() == CONTENT + b"late bytes"
    assert release.leftovers() == []


@pytest.mark.parametrize("flags", [os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC])
def test_p1_a_writer_that_came_and_went_while_parked_is_noticed(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter], flags: int
) -> None:
    writer = stopped_writer(release.path)
    release.begin()
    writer.go_on(b"late bytes", flags=flags)
    writer.finish()
    assert release.finish() == Finished(Outcome.REVERTED, "it changed while it was parked")
    assert release.path.read_bytes() == (b"" if flags & os.O_TRUNC else CONTENT) + b"late bytes"


def test_p1_a_writer_that_opens_at_the_finish_finds_its_file_at_the_path(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter]
) -> None:
    writer, visitor = _visited(release, stopped_writer, "release.unlinking")
    release.begin()
    assert release.finish(visitor).outcome is Outcome.REVERTED
    writer.finish()
    assert release.path.read_bytes() == CONTENT + b"late bytes"
    assert release.leftovers() == []


def test_p1_a_writer_that_opens_between_the_last_look_and_the_unlink_loses_nothing(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only window that no order of system calls closes: what it wrote is copied back."""
    writer = stopped_writer(release.path)
    release.begin()
    unlink = os.unlink

    def unlink_when_it_waits(path: bytes, *, dir_fd: int | None = None) -> None:
        monkeypatch.setattr(os, "unlink", unlink)
        writer.go_on(b"late bytes")
        until_an_open_waits()
        unlink(path, dir_fd=dir_fd)
        threading.Thread(target=writer.finish).start()

    monkeypatch.setattr(os, "unlink", unlink_when_it_waits)
    assert release.finish().outcome is Outcome.REVERTED
    assert release.path.read_bytes() == CONTENT + b"late bytes"
    assert release.path.lstat().st_nlink == 1
    assert release.leftovers() == []


def test_a_file_put_at_the_path_while_parked_stays_and_the_old_one_goes(release: Release) -> None:
    release.begin()
    release.path.unlink()
    release.path.write_bytes(b"new")
    assert release.finish().outcome is Outcome.FREED
    assert release.path.read_bytes() == b"new"
    assert release.leftovers() == []
    assert not release.conflict.exists()


@pytest.mark.parametrize("how", ["rename over", "unlink and create", "directory"])
def test_p1_both_are_kept_when_a_late_writer_meets_a_new_file(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter], how: str
) -> None:
    writer = stopped_writer(release.path)
    release.begin()
    if how == "rename over":
        (release.folder / "other").write_bytes(b"new")
        (release.folder / "other").rename(release.path)
    elif how == "unlink and create":
        release.path.unlink()
        release.path.write_bytes(b"new")
    else:
        release.path.unlink()
        release.path.mkdir()
    writer.go_on(b"late bytes")
    writer.finish()
    assert release.finish().outcome is Outcome.CONFLICT
    assert release.conflict.name == "model.bin.frostline-conflict-abc123"
    assert release.conflict.read_bytes() == CONTENT + b"late bytes"
    assert release.path.is_dir() if how == "directory" else release.path.read_bytes() == b"new"
    assert release.leftovers() == []


def test_a_parked_file_that_is_only_being_read_waits_while_a_new_file_stands_at_the_path(release: Release) -> None:
    release.begin()
    release.path.unlink()
    release.path.write_bytes(b"new")
    with release.hidden.open("rb"):
        assert release.finish().outcome is Outcome.STILL_PARKED
    assert release.finish().outcome is Outcome.FREED
    assert release.path.read_bytes() == b"new"


def test_a_placeholder_deleted_while_parked_stays_deleted(release: Release) -> None:
    release.begin()
    release.path.unlink()
    assert release.finish().outcome is Outcome.FREED
    assert os.listdir(release.folder) == []


def test_p1_a_late_writers_file_is_kept_even_if_the_placeholder_was_deleted(
    release: Release, stopped_writer: Callable[[Path], StoppedWriter]
) -> None:
    """Not at the path: whoever deleted it must find it deleted."""
    writer = stopped_writer(release.path)
    release.begin()
    release.path.unlink()
    writer.go_on(b"late bytes")
    writer.finish()
    assert release.finish().outcome is Outcome.CONFLICT
    assert not release.path.exists()
    assert release.conflict.read_bytes() == CONTENT + b"late bytes"


def test_a_placeholder_renamed_while_parked_keeps_its_new_name(release: Release) -> None:
    release.begin()
    release.path.rename(release.folder / "moved.bin")
    assert release.finish().outcome is Outcome.FREED
    assert os.listdir(release.folder) == ["moved.bin"]
    assert parse_target(os.readlink(os.fsencode(release.folder / "moved.bin"))) is not None


def test_a_directory_deleted_while_parked_takes_everything_along(release: Release) -> None:
    release.begin()
    for name in os.listdir(release.folder):
        (release.folder / name).unlink()
    assert release.finish().outcome is Outcome.GONE


def test_metadata_changed_while_parked_brings_the_file_back(release: Release) -> None:
    release.begin()
    release.hidden.chmod(0o600)
    assert release.finish().outcome is Outcome.REVERTED
    assert release.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", ["release.exchanged", "release.unlinking", "release.unlinked"])
def test_p4_undo_or_finish_works_wherever_it_was_killed(release: Release, at: str) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing runs behind it but what the kernel does."""

    def kill(step: str) -> None:
        if step == at:
            raise Killed

    if at == "release.exchanged":
        with pytest.raises(Killed):
            release.begin(kill)
        assert undo(release.slots, inode=release.expected.inode, op=OP).outcome is Outcome.REVERTED
        assert undo(release.slots, inode=release.expected.inode, op=OP).outcome is Outcome.GONE
        assert release.path.read_bytes() == CONTENT
    else:
        release.begin()
        with pytest.raises(Killed):
            release.finish(kill)
        again = release.finish().outcome
        assert again is (Outcome.FREED if at == "release.unlinking" else Outcome.GONE)
        assert release.path.is_symlink()
    assert release.leftovers() == []


def test_all_names_of_an_inode_go_together_and_come_back_together(
    volume: Path, stopped_writer: Callable[[Path], StoppedWriter]
) -> None:
    (volume / "a").write_bytes(CONTENT)
    os.link(volume / "a", volume / "b")
    release = Release(volume, b"a", b"b")
    writer = stopped_writer(volume / "b")
    assert isinstance(release.begin(), Parked)
    assert (volume / "a").is_symlink()
    assert (volume / "b").is_symlink()
    writer.go_on(b"late bytes")
    writer.finish()
    assert release.finish().outcome is Outcome.REVERTED
    assert (volume / "a").read_bytes() == (volume / "b").read_bytes() == CONTENT + b"late bytes"
    assert (volume / "a").stat().st_ino == (volume / "b").stat().st_ino
    release.expected = Identity.of((volume / "a").stat())
    assert isinstance(release.begin(), Parked)
    assert release.finish().outcome is Outcome.FREED
    assert release.leftovers() == []
    os.close(release.dir_fd)


def test_a_name_more_than_is_known_stops_the_release(release: Release) -> None:
    os.link(release.path, release.folder / "unknown")
    release.expected = Identity.of(release.path.stat())
    assert isinstance(release.begin(), Undone)
    assert not release.path.is_symlink()


def test_the_second_name_being_something_else_undoes_the_first(volume: Path) -> None:
    (volume / "a").write_bytes(CONTENT)
    os.link(volume / "a", volume / "elsewhere")
    (volume / "b").write_bytes(b"another file")
    release = Release(volume, b"a", b"b")
    assert isinstance(release.begin(), Undone)
    assert (volume / "a").read_bytes() == CONTENT
    assert (volume / "b").read_bytes() == b"another file"
    assert release.leftovers() == []
    os.close(release.dir_fd)


def test_a_root_without_placeholders(volume: Path, stopped_writer: Callable[[Path], StoppedWriter]) -> None:
    (volume / "f").write_bytes(CONTENT)
    release = Release(volume, b"f", leaves_placeholder=False)
    writer = stopped_writer(volume / "f")
    assert isinstance(release.begin(), Parked)
    assert not (volume / "f").exists()
    writer.go_on(b"late bytes")
    writer.finish()
    assert release.finish().outcome is Outcome.REVERTED
    assert (volume / "f").read_bytes() == CONTENT + b"late bytes"
    release.expected = Identity.of((volume / "f").stat())
    release.begin()
    assert release.finish().outcome is Outcome.FREED
    assert os.listdir(volume) == []
    os.close(release.dir_fd)


def test_the_longest_name_and_bytes_that_are_no_text(volume: Path) -> None:
    name = b"\xff" * 255
    with open(os.path.join(os.fsencode(volume), name), "wb") as out:
        out.write(CONTENT)
    release = Release(volume, name)
    assert isinstance(release.begin(), Parked)
    assert release.finish().outcome is Outcome.FREED
    assert parse_target(os.readlink(os.path.join(os.fsencode(volume), name))) is not None
    os.close(release.dir_fd)
