"""Small files are read whole, each one state of one file, or an error that says which and why."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dedup.values import FileMeta
from tests.hot.conftest import WAIT_S
from tiering.errors import SourceBusy, SourceChanged, SourceRefused
from tiering.hot.identity import Identity
from tiering.hot.lease import OneLease
from tiering.hot.refusal import Surroundings
from tiering.hot.small_files import Folder, SmallFile


@contextmanager
def opened(root: Path, directory: bytes = b"", lease: OneLease | None = None) -> Iterator[Folder]:
    with (
        (lease or OneLease()).watching() as watched,
        closing(Folder(os.fsencode(root), directory, Surroundings(), watched)) as folder,
    ):
        yield folder


def read(folder: Folder, path: Path, expect: Identity | None = None) -> tuple[bytes, SmallFile]:
    expect = expect or Identity.of(path.stat())
    buffer = bytearray(expect.size)
    found = folder.read(os.fsencode(path.name), expect, memoryview(buffer), names_known=1)
    return bytes(buffer), found


def test_it_reads_what_is_there_with_all_that_belongs_to_it(volume: Path) -> None:
    (volume / "a").mkdir()
    path = volume / "a/f"
    path.write_bytes(b"hello")
    path.chmod(0o640)
    os.utime(path, ns=(111, 222))
    os.setxattr(path, "user.note", b"why")
    with opened(volume, b"a/") as folder:
        data, found = read(folder, path)

    assert data == b"hello"
    status = path.stat()
    assert found.meta == FileMeta(
        mode=0o100640,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime_ns=222,
        atime_ns=111,  # reading left it alone
        xattrs=((b"user.note", b"why"),),
        user=found.meta.user,
        group=found.meta.group,
    )
    assert (found.has_lease, found.has_holes) == (True, False)


def test_many_files_one_after_another_under_one_lease(volume: Path) -> None:
    paths = [volume / f"{number:03}" for number in range(50)]
    for path in paths:
        path.write_bytes(path.name.encode() * 7)
    with opened(volume) as folder:
        assert [read(folder, path)[0] for path in paths] == [path.name.encode() * 7 for path in paths]
    for path in paths:
        path.write_bytes(b"nobody holds it")


def test_an_empty_file(volume: Path) -> None:
    (volume / "f").touch()
    with opened(volume) as folder:
        assert read(folder, volume / "f")[0] == b""


def test_an_unexpected_identity_is_refused(volume: Path) -> None:
    path = volume / "f"
    path.write_bytes(b"hello")
    seen = Identity.of(path.stat())
    for other in (b"other", b"longer than it was", b""):
        path.write_bytes(other)
        with opened(volume) as folder, pytest.raises(SourceChanged):
            read(folder, path, seen)


def test_a_file_open_for_writing_is_busy_and_the_next_one_is_not(volume: Path) -> None:
    (volume / "g").write_bytes(b"fine")
    with (volume / "f").open("wb"), opened(volume) as folder:
        with pytest.raises(SourceBusy):
            read(folder, volume / "f")
        assert read(folder, volume / "g")[0] == b"fine"


def test_p10_a_writer_that_comes_is_let_in_and_noticed_and_the_next_file_has_a_lease_again(volume: Path) -> None:
    path = volume / "f"
    path.write_bytes(b"hello")
    lease = OneLease()

    writer = threading.Thread(target=path.write_bytes, args=(b"HELLO",))
    with lease.watching():
        fd = os.open(path, os.O_RDONLY)
        assert lease.begin(fd)
        writer.start()
        writer.join(WAIT_S)  # the watch lets it in: nobody else looks at the lease now
        assert not writer.is_alive()
        assert not lease.is_whole()
        lease.end()
        os.close(fd)
        fd = os.open(path, os.O_RDONLY)
        assert lease.begin(fd)
        assert lease.is_whole()
        lease.end()
        os.close(fd)


def test_holes_are_noticed(volume: Path) -> None:
    path = volume / "sparse"
    with path.open("wb") as out:
        out.truncate(300_000)
        out.seek(100_000)
        out.write(b"in the middle")
    with opened(volume) as folder:
        data, found = read(folder, path)
    assert data == path.read_bytes()
    assert found.has_holes


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/f").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/l").symlink_to("f")
    expect = Identity.of((tmp_path / "real/f").stat())
    with pytest.raises(SourceChanged), opened(tmp_path, b"link/") as folder:
        pass
    with opened(tmp_path, b"real/") as folder, pytest.raises(SourceRefused):
        folder.read(b"l", expect, memoryview(bytearray(6)), names_known=1)


def test_nothing_is_opened_that_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener, opened(tmp_path) as folder:
        listener.bind(str(tmp_path / "socket"))
        for name in ("fifo", "socket"):
            with pytest.raises(SourceRefused):
                read(folder, tmp_path / name)


def test_a_file_with_unknown_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    os.link(tmp_path / "f", tmp_path / "g")
    with opened(tmp_path) as folder, pytest.raises(SourceRefused, match="2 hard links, of which 1"):
        read(folder, tmp_path / "f")


def test_a_file_that_is_gone_is_a_changed_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    seen = Identity.of(path.stat())
    path.unlink()
    with opened(tmp_path) as folder, pytest.raises(SourceChanged, match="not there any more"):
        read(folder, path, seen)


def test_names_are_bytes(volume: Path) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(volume), b"\xff\xfe not utf-8 \n")))
    path.write_bytes(b"x")
    with opened(volume) as folder:
        assert read(folder, path)[0] == b"x"
