"""A long file is read past the page cache unless it is in it, and the cache stays as it was (P10)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hot.conftest import WAIT_S, StoppedWriter
from tiering import direct
from tiering.errors import SourceBusy
from tiering.hot import syscalls
from tiering.hot.source import Source, open_source

LENGTHS = [direct.LEAST_BYTES, direct.LEAST_BYTES + 1, direct.STEP_BYTES + 4095, 2 * direct.STEP_BYTES + 511]
CONTENT = os.urandom(max(LENGTHS))
WINDOW_BYTES = 300_001


def _pages(path: Path) -> int:
    with path.open("rb") as file:
        try:
            return syscalls.cached_pages(file.fileno())
        except OSError:
            pytest.skip("this kernel does not tell what is in the page cache")


def _made(path: Path, content: bytes) -> Path:
    """Write a file and take it out of the page cache."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def _read(source: Source) -> bytes:
    window = bytearray(WINDOW_BYTES)
    out = bytearray()
    while count := source.readinto(window, len(out)):
        out += window[:count]
    return bytes(out)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_cold_file_is_read_whole_whatever_its_length(volume: Path, length: int) -> None:
    _made(volume / "f", CONTENT[:length])
    with open_source(os.fsencode(volume), b"", b"f") as source:
        assert _read(source) == CONTENT[:length]
        piece = bytearray(1000)
        assert source.readinto(piece, length - 333) == 333
        assert piece[:333] == CONTENT[length - 333 : length]
        assert source.readinto(piece, length) == 0
        source.check()
        source.drop_cache()
        assert source.has_lease


def test_p10_reading_a_cold_file_leaves_nothing_in_the_page_cache(tmp_path: Path) -> None:
    path = _made(tmp_path / "f", CONTENT)
    if _pages(path):
        pytest.skip("this file system is nothing but page cache")
    with open_source(os.fsencode(tmp_path), b"", b"f") as source:
        assert _read(source) == CONTENT
        source.drop_cache()
    assert _pages(path) == 0


def test_p10_a_file_in_the_page_cache_is_read_from_it_and_stays(tmp_path: Path) -> None:
    path = _made(tmp_path / "f", CONTENT)
    path.read_bytes()
    before = _pages(path)
    with open_source(os.fsencode(tmp_path), b"", b"f") as source:
        assert _read(source) == CONTENT
        source.drop_cache()
    assert _pages(path) == before > 0


def test_what_a_writer_left_unflushed_is_read(tmp_path: Path) -> None:
    path = _made(tmp_path / "f", CONTENT)
    with path.open("r+b") as file:
        file.seek(12_345)
        file.write(b"news")
    with open_source(os.fsencode(tmp_path), b"", b"f") as source:
        assert _read(source) == CONTENT[:12_345] + b"news" + CONTENT[12_349:]


def test_p10_a_writer_waits_for_nothing_that_is_read_ahead(
    volume: Path, stopped_writer: Callable[[Path], StoppedWriter]
) -> None:
    path = _made(volume / "f", CONTENT)
    writer = stopped_writer(path)

    def read() -> None:
        with open_source(os.fsencode(volume), b"", b"f") as source:
            source.readinto(bytearray(direct.LEAST_BYTES), 0)  # the second block is on its way
            writer.go_on(b"more")
            while source.has_lease:
                source.check()

    with pytest.raises(SourceBusy, match="opened for writing"):
        read()
    assert writer.is_open.wait(WAIT_S)
    writer.finish()
    assert path.read_bytes() == CONTENT + b"more"


def test_holes_of_a_cold_file_are_zeros(volume: Path) -> None:
    path = _made(volume / "f", b"")
    with path.open("r+b") as file:
        file.truncate(3 * direct.STEP_BYTES + 5)
        file.seek(direct.STEP_BYTES)
        file.write(CONTENT[:9000])
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with open_source(os.fsencode(volume), b"", b"f") as source:
        read = _read(source)
    assert len(read) == 3 * direct.STEP_BYTES + 5
    assert read[direct.STEP_BYTES :][:9000] == CONTENT[:9000]
    assert read.count(0) >= 3 * direct.STEP_BYTES + 5 - 9000
