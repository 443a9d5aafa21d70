"""What restore does differently where much is written: it leaves the page cache, and keeps a few files open."""

import errno
import mmap
import os
from pathlib import Path

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tests.jobs.test_restore_run import contents, hidden, noise, tree
from tiering.errors import NoSpace
from tiering.hot.syscalls import cached_pages
from tiering.jobs import landing, restore_group
from tiering.jobs.migrate import migrate
from tiering.jobs.restore import restore


def long_contents() -> dict[str, bytes]:
    """Also files that are written at once: in whole pages, and with some bytes more."""
    sizes = {"blocks": 512 << 10, "bytes more": (512 << 10) + 77, "page": 300_001}
    found = contents() | {f"long/{name}": noise(size, size) for name, size in sizes.items()}
    edited = found["long/blocks"]
    return found | {f"long/edited {at}": edited[: at * 60_000] + b"!" + edited[at * 60_000 :] for at in range(1, 8)}


@pytest.fixture
def stored(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A laboratory where a megabyte is much, with all files stored."""
    monkeypatch.setattr(restore_group, "SETTLE_BYTES", 1 << 20)
    for path, data in long_contents().items():
        lab.write(path, data)
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    return lab


def forgets(folder: Path) -> bool:
    """Whether the page cache lets go of files here, and says so: a tmpfs has nowhere else to keep them."""
    path = folder / "probe"
    path.write_bytes(bytes(1 << 20))
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return cached_pages(fd) == 0
    except OSError:
        return False
    finally:
        os.close(fd)
        path.unlink()


def cached(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY)
    try:
        return cached_pages(fd)
    finally:
        os.close(fd)


def test_long_files_are_right_and_do_not_stay_in_the_page_cache(stored: Lab, tmp_path: Path) -> None:
    if not forgets(tmp_path):
        pytest.skip("the page cache keeps every file of this file system")
    restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    long = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_size >= 128 << 10]
    assert [path.name for path in long if cached(path)] == []
    assert tree(tmp_path / "out/root") == long_contents()
    assert hidden(tmp_path / "out") == []


def test_of_a_short_restore_everything_may_be_read_from_the_page_cache(
    stored: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not forgets(tmp_path):
        pytest.skip("the page cache keeps every file of this file system")
    monkeypatch.setattr(restore_group, "SETTLE_BYTES", 1 << 30)
    restore(stored.context, [str(stored.root / "large")], str(tmp_path / "out"))
    assert cached(tmp_path / "out/large") >= 9_000_000 // mmap.PAGESIZE


def test_no_file_stays_open(stored: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "KEPT_OPEN", 2)
    restore(stored.context, [str(stored.root / "one")], str(tmp_path / "first"))
    before = len(os.listdir("/proc/self/fd"))
    restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    assert len(os.listdir("/proc/self/fd")) == before
    assert tree(tmp_path / "out/root") == long_contents()


def test_p4_a_disk_that_is_full_leaves_nothing_half_written(
    stored: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "ftruncate", full)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NoSpace):
        restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == before
    found = tree(tmp_path / "out/root")
    assert hidden(tmp_path / "out") == []
    assert found.items() <= long_contents().items()
    restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    assert tree(tmp_path / "out/root") == long_contents()
