"""A source is one state of one file, or an error."""

import os
import socket
import threading
from pathlib import Path

import pytest

from dedup.values import Extent, Span
from tests.hot.conftest import WAIT_S
from tiering.errors import SourceBusy, SourceChanged, SourceRefused
from tiering.hot.identity import Identity, from_sql_int, to_sql_int
from tiering.hot.source import open_source


def _root(path: Path) -> bytes:
    return os.fsencode(path)


def _read(source: object, size: int) -> bytes:
    buffer = bytearray(size)
    count = source.readinto(buffer, 0)  # type: ignore[attr-defined]
    return bytes(buffer[:count])


def test_it_reads_what_is_there(volume: Path) -> None:
    (volume / "a").mkdir()
    (volume / "a/f").write_bytes(b"hello")
    with open_source(_root(volume), b"a/", b"f") as source:
        assert source.has_lease
        assert _read(source, 100) == b"hello"
        assert (source.size, source.identity.ino) == (5, os.stat(volume / "a/f").st_ino)
        source.check()


def test_reading_leaves_the_access_time(volume: Path) -> None:
    path = volume / "f"
    path.write_bytes(b"hello")
    os.utime(path, ns=(1, 2))
    with open_source(_root(volume), b"", b"f") as source:
        _read(source, 5)
        source.drop_cache()
    assert path.stat().st_atime_ns == 1


def test_an_unexpected_identity_is_refused(volume: Path) -> None:
    path = volume / "f"
    path.write_bytes(b"hello")
    seen = Identity.of(path.stat())
    path.write_bytes(b"other")
    with pytest.raises(SourceChanged), open_source(_root(volume), b"", b"f", expect=seen):
        pass


def test_a_file_open_for_writing_is_busy(volume: Path) -> None:
    with (volume / "f").open("wb"), pytest.raises(SourceBusy), open_source(_root(volume), b"", b"f"):
        pass


def test_a_writer_that_comes_is_let_in_and_noticed(volume: Path) -> None:
    path = volume / "f"
    path.write_bytes(b"hello")
    with open_source(_root(volume), b"", b"f") as source:
        thread = threading.Thread(target=path.write_bytes, args=(b"HELLO",))
        thread.start()
        thread.join(WAIT_S)
        assert not thread.is_alive()
        with pytest.raises(SourceBusy):
            source.check()


@pytest.mark.parametrize("change", ["chmod", "rename", "unlink", "utime", "link"])
def test_a_change_that_breaks_no_lease_is_noticed(tmp_path: Path, change: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"hello")
    actions = {
        "chmod": lambda: path.chmod(0o600),
        "rename": lambda: path.rename(tmp_path / "g"),
        "unlink": path.unlink,
        "utime": lambda: os.utime(path, ns=(5, 5)),
        "link": lambda: os.link(path, tmp_path / "g"),
    }
    with open_source(_root(tmp_path), b"", b"f") as source:
        actions[change]()
        with pytest.raises(SourceChanged):
            source.meta()


def test_holes_are_seen_without_being_read(volume: Path) -> None:
    path = volume / "sparse"
    with path.open("wb") as out:
        out.seek(1 << 20)
        out.write(b"x" * 65536)
        out.truncate(3 << 20)
    with open_source(_root(volume), b"", b"sparse") as source:
        extents = list(source.extents())
    assert extents == [
        Extent(Span(0, 1 << 20), is_hole=True),
        Extent(Span(1 << 20, 65536), is_hole=False),
        Extent(Span((1 << 20) + 65536, (2 << 20) - 65536), is_hole=True),
    ]


@pytest.mark.parametrize("size", [0, 1, 4096, 10_000])
def test_extents_cover_the_file(volume: Path, size: int) -> None:
    (volume / "f").write_bytes(b"x" * size)
    with open_source(_root(volume), b"", b"f") as source:
        assert sum(extent.span.length for extent in source.extents()) == size


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/f").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real/l").symlink_to("f")
    with pytest.raises(SourceChanged), open_source(_root(tmp_path), b"link/", b"f"):
        pass
    with pytest.raises(SourceRefused), open_source(_root(tmp_path), b"real/", b"l"):
        pass


def test_nothing_is_opened_that_is_not_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    for name in (b"fifo", b"socket"):
        with pytest.raises(SourceRefused), open_source(_root(tmp_path), b"", name):
            pass


def test_a_path_cannot_climb_out(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "f").write_bytes(b"outside")
    with pytest.raises(Exception, match="cannot be read"), open_source(_root(tmp_path / "root"), b"../", b"f"):
        pass


def test_a_path_longer_than_the_kernel_takes_in_one_call(volume: Path) -> None:
    name = b"d" * 250
    fd = os.open(volume, os.O_RDONLY)
    for _ in range(40):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    out = os.open(b"f", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(out, b"deep")
    os.close(out)
    os.close(fd)
    with open_source(_root(volume), (name + b"/") * 40, b"f") as source:
        assert _read(source, 10) == b"deep"


def test_names_are_bytes(volume: Path) -> None:
    name = b"\xff\xfe not utf-8 \n"
    with open(os.path.join(_root(volume), name), "wb") as out:
        out.write(b"x")
    with open_source(_root(volume), b"", name) as source:
        assert _read(source, 9) == b"x"


@pytest.mark.parametrize("number", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_inode_numbers_fit_into_sql(number: int) -> None:
    assert -(1 << 63) <= to_sql_int(number) < 1 << 63
    assert from_sql_int(to_sql_int(number)) == number
