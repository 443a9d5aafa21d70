"""Bytes that go past the page cache are the same bytes, wherever a file system refuses that too."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiering import direct
from tiering.direct import ALIGN_BYTES, STEP_BYTES, Ahead, Appender
from tiering.hot.syscalls import cached_pages

SHARED_MEMORY = Path("/dev/shm")
PATTERN = bytes(range(251)) * (4 * STEP_BYTES // 251)

near = st.sampled_from([0, 512, ALIGN_BYTES, 2 * ALIGN_BYTES, STEP_BYTES, STEP_BYTES + ALIGN_BYTES])
sizes = st.builds(lambda at, off: max(0, at + off), near, st.integers(-3, 3))


@pytest.fixture(params=["disk", "memory"], scope="module")
def descriptor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("direct")
    if request.param == "memory":
        if not os.access(SHARED_MEMORY, os.W_OK):
            pytest.skip("no tmpfs here")
        folder = SHARED_MEMORY
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        yield file.fileno()


@pytest.fixture(scope="module")
def writer() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def _fill(descriptor: int, data: bytes) -> None:
    direct.turn_off(descriptor)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, data, 0)


@settings(max_examples=40)
@given(
    size=sizes | st.just(3 * STEP_BYTES + 1),
    steps=st.lists(st.integers(50_001, STEP_BYTES + 5), min_size=1, max_size=4),
    is_behind=st.booleans(),
)
def test_what_is_appended_is_what_stands_there(
    descriptor: int, writer: Executor, size: int, steps: list[int], is_behind: bool
) -> None:
    _fill(descriptor, b"")
    out = Appender(descriptor, writer if is_behind else None)
    at = 0
    while at < size:
        step = min(steps[at % len(steps)], size - at)
        out.write(memoryview(PATTERN)[at : at + step])
        at += step
    out.finish()
    out.close()

    assert os.fstat(descriptor).st_size == size
    assert os.pread(descriptor, size + 1, 0) == PATTERN[:size]


@settings(max_examples=60)
@given(size=sizes, start=sizes, length=sizes)
def test_any_range_is_read_and_ends_with_the_file(descriptor: int, size: int, start: int, length: int) -> None:
    _fill(descriptor, PATTERN[:size])
    os.fsync(descriptor)
    direct.turn_on(descriptor)
    buffer = bytearray(length)

    expected = PATTERN[:size][start : start + length]
    assert direct.read(descriptor, start, length) == expected
    assert direct.readinto(descriptor, memoryview(buffer), start) == len(expected)
    assert buffer[: len(expected)] == expected


@settings(max_examples=60)
@given(size=sizes | st.just(3 * STEP_BYTES + 1), reads=st.lists(st.tuples(sizes, sizes), max_size=6))
def test_who_reads_ahead_reads_the_same(descriptor: int, size: int, reads: list[tuple[int, int]]) -> None:
    _fill(descriptor, PATTERN[:size])
    direct.turn_on(descriptor)
    ahead = Ahead(descriptor)
    in_order = [(start, 700_001) for start in range(0, size + 1, 700_001)]
    for start, length in (*reads, *in_order, *reads):
        buffer = bytearray(length)
        count = ahead.readinto(memoryview(buffer), start)
        assert buffer[:count] == PATTERN[:size][start : start + length]
    ahead.close()
    ahead.close()


def _read_on(ahead: Ahead, buffer: memoryview) -> None:
    """Read three blocks more, of which one may have come ahead."""
    for at in range(2, 5):
        ahead.readinto(buffer, at * STEP_BYTES)


def test_an_error_of_a_block_fetched_ahead_is_raised_where_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(PATTERN)
    with path.open("rb", buffering=0) as file, (tmp_path / "none").open("wb", buffering=0) as unreadable:
        descriptor = os.dup(file.fileno())
        ahead = Ahead(descriptor)
        buffer = memoryview(bytearray(STEP_BYTES))
        assert ahead.readinto(buffer, 0) == STEP_BYTES
        assert ahead.readinto(buffer, STEP_BYTES) == STEP_BYTES
        os.dup2(unreadable.fileno(), descriptor)
        assert buffer == PATTERN[STEP_BYTES : 2 * STEP_BYTES]
        with pytest.raises(OSError, match="Bad file descriptor"):
            _read_on(ahead, buffer)
        ahead.close()
        os.close(descriptor)


def test_what_was_not_flushed_is_read_all_the_same(descriptor: int) -> None:
    _fill(descriptor, PATTERN[:10_000])
    direct.turn_on(descriptor)

    assert direct.read(descriptor, 1, 9_998) == PATTERN[1:9_999]


def test_nothing_enters_the_page_cache(tmp_path: Path) -> None:
    with tempfile.TemporaryFile(dir=tmp_path, buffering=0) as file:
        try:
            cached_pages(file.fileno())
        except OSError:
            pytest.skip("this kernel does not tell what is in the page cache")
        out = Appender(file.fileno())
        out.write(PATTERN[: STEP_BYTES + 5])
        if not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_DIRECT:
            pytest.skip("this file system has no O_DIRECT")
        out.finish()
        assert cached_pages(file.fileno()) == 1  # of the last bytes
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        direct.turn_on(file.fileno())
        assert direct.read(file.fileno(), 0, 2 * STEP_BYTES) == PATTERN[: STEP_BYTES + 5]
        assert cached_pages(file.fileno()) == 0
        direct.turn_off(file.fileno())
        assert len(os.pread(file.fileno(), 100, 0)) == 100
        assert cached_pages(file.fileno()) > 0


def test_a_file_system_that_refuses_at_once_is_read_as_ever() -> None:
    with Path("/proc/self/maps").open("rb", buffering=0) as file:
        assert not direct.turn_on(file.fileno())
        assert direct.read(file.fileno(), 0, 64) == os.pread(file.fileno(), 64, 0)


def test_what_no_disk_takes_is_said() -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        out = Appender(full.fileno())
        with pytest.raises(OSError, match="No space"):
            out.write(PATTERN[:STEP_BYTES])
        out.close()


def test_an_error_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with path.open("rb", buffering=0) as file:
        out = Appender(file.fileno())
        with pytest.raises(OSError, match="Bad file descriptor"):
            out.write(PATTERN[:STEP_BYTES])
        out.close()
        out.close()
    assert path.read_bytes() == b""


def test_the_error_of_a_block_written_behind_is_raised_with_the_next(tmp_path: Path, writer: Executor) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    with path.open("rb", buffering=0) as file:
        for ask in ("write", "finish", "close"):
            out = Appender(file.fileno(), writer)
            out.write(PATTERN[:STEP_BYTES])
            if ask == "write":
                with pytest.raises(OSError, match="Bad file descriptor"):
                    out.write(PATTERN[:STEP_BYTES])
            elif ask == "finish":
                with pytest.raises(OSError, match="Bad file descriptor"):
                    out.finish()
            out.close()
    assert path.read_bytes() == b""


def test_a_folder_is_not_read(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            direct.read(descriptor, 0, 1)
    finally:
        os.close(descriptor)


def test_a_buffer_given_back_is_lent_again() -> None:
    with direct.borrowed() as first:
        assert len(first) == STEP_BYTES
        with direct.borrowed() as second:
            second[:1] = b"2"
            first[:1] = b"1"
            assert second[0] == ord("2")
    with direct.borrowed() as again:
        assert again[0] == ord("1")
