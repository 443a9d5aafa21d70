"""Many files of a folder read at once are what each read alone is; what is not ordinary is left to be read alone."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiering.hot import syscalls
from tiering.hot.evidence import mount_of
from tiering.hot.identity import Identity
from tiering.hot.lease import OneLease
from tiering.hot.refusal import Surroundings
from tiering.hot.small_files import Folder, SmallFile


@pytest.fixture(autouse=True)
def _on_a_disk(tmp_path: Path) -> None:
    if mount_of(os.fsencode(tmp_path)).fs_type == "tmpfs":
        pytest.skip("on tmpfs every file is read alone")


@contextmanager
def opened(root: Path) -> Iterator[Folder]:
    with (
        OneLease().watching() as lease,
        closing(Folder(os.fsencode(root), b"", Surroundings(), lease)) as folder,
    ):
        yield folder


def read(
    folder: Folder, paths: Sequence[Path], expect: Sequence[Identity] | None = None
) -> list[tuple[bytes, SmallFile | None]]:
    expect = expect or [Identity.of(path.stat()) for path in paths]
    buffer = memoryview(bytearray(sum(identity.size for identity in expect)))
    found = folder.read_ordinary([os.fsencode(path.name) for path in paths], expect, buffer)
    at = 0
    read: list[tuple[bytes, SmallFile | None]] = []
    for identity, one in zip(expect, found, strict=True):
        read.append((bytes(buffer[at : at + identity.size]), one))
        at += identity.size
    return read


def alone(folder: Folder, path: Path) -> tuple[bytes, SmallFile]:
    expect = Identity.of(path.stat())
    buffer = bytearray(expect.size)
    found = folder.read(os.fsencode(path.name), expect, memoryview(buffer), names_known=1)
    return bytes(buffer), found


def written(folder: Path, contents: Sequence[bytes]) -> list[Path]:
    paths = [folder / f"{number:03}" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    return paths


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(st.integers(0, 70_000), st.sampled_from([0o600, 0o644, 0o755, 0o2644])), max_size=12))
def test_both_ways_agree_about_every_ordinary_file(tmp_path: Path, files: list[tuple[int, int]]) -> None:
    paths = written(tmp_path, [random.Random(size).randbytes(size) for size, _ in files])
    for path, (_, mode) in zip(paths, files, strict=True):
        path.chmod(mode)
    with opened(tmp_path) as folder:
        assert read(folder, paths) == [alone(folder, path) for path in paths]


def test_every_file_system_is_read_with_a_lease_that_is_given_up(volume: Path) -> None:
    paths = written(volume, [b"", b"one", b"two" * 50_000, b"last"])
    with opened(volume) as folder:
        for (data, found), path in zip(read(folder, paths), paths, strict=True):
            if found is None:  # a file system that cannot say what is cached
                continue
            assert (data, found.has_lease) == (path.read_bytes(), True)
        for path in paths:
            path.write_bytes(b"nobody holds it")


def test_an_ordinary_file_is_read_here(tmp_path: Path) -> None:
    (path,) = written(tmp_path, [b"hello"])
    path.chmod(0o640)
    os.utime(path, ns=(111, 222))
    with opened(tmp_path) as folder:
        ((data, found),) = read(folder, [path])
    assert data == b"hello"
    assert found is not None
    assert (found.meta.mode, found.meta.mtime_ns, found.meta.atime_ns) == (0o100640, 222, 111)
    assert (found.meta.uid, found.meta.gid) == (path.stat().st_uid, path.stat().st_gid)
    assert path.stat().st_atime_ns == 111


def test_what_is_not_ordinary_is_left_and_its_neighbours_are_read(tmp_path: Path) -> None:
    names = ["attribute", "linked", "holes", "setuid", "gone", "link", "fifo", "longer", "shorter", "touched"]
    strange = [tmp_path / name for name in names]
    for path in strange:
        path.write_bytes(b"content" * 1000)
    seen = [Identity.of(path.stat()) for path in strange]
    os.setxattr(strange[0], "user.note", b"why")
    os.link(strange[1], tmp_path / "other")
    with strange[2].open("wb") as out:
        out.truncate(300_000)
        out.seek(100_000)
        out.write(b"in the middle")
    strange[3].chmod(0o4755)
    for path in strange[4:7]:
        path.unlink()
    strange[5].symlink_to("other")
    os.mkfifo(strange[6])
    strange[7].write_bytes(b"content" * 1001)
    strange[8].write_bytes(b"content" * 999)
    os.utime(strange[9])
    for number in range(4):
        seen[number] = Identity.of(strange[number].stat())
    neighbours = written(tmp_path, [b"before", b"behind"])

    paths = [neighbours[0], *strange, neighbours[1]]
    expect = [Identity.of(neighbours[0].stat()), *seen, Identity.of(neighbours[1].stat())]
    with opened(tmp_path) as folder:
        found = read(folder, paths, expect)

    assert [one is not None for _, one in found] == [True, *[False] * len(strange), True]
    assert (found[0][0], found[-1][0]) == (b"before", b"behind")


def test_a_file_open_for_writing_is_left_and_the_next_one_is_read(tmp_path: Path) -> None:
    paths = written(tmp_path, [b"busy", b"fine"])
    with paths[0].open("rb+"), opened(tmp_path) as folder:
        found = read(folder, paths)
    assert [one is not None for _, one in found] == [False, True]


def test_a_program_that_runs_is_left(tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy2(str(shutil.which("sleep")), program)
    running = subprocess.Popen([program, "60"])
    try:
        with opened(tmp_path) as folder:
            assert read(folder, [program])[0][1] is None
    finally:
        running.kill()
        running.wait()
    with opened(tmp_path) as folder:
        assert read(folder, [program])[0][1] is not None


def test_immutable_and_append_only_files_are_left(tmp_path: Path) -> None:
    paths = written(tmp_path, [b"immutable", b"append-only"])
    for path, flag in zip(paths, "ia", strict=True):
        if os.geteuid() != 0 or os.spawnlp(os.P_WAIT, "chattr", "chattr", f"+{flag}", str(path)) != 0:
            pytest.skip("needs root and a file system with inode flags")
    try:
        with opened(tmp_path) as folder:
            assert [one for _, one in read(folder, paths)] == [None, None]
    finally:
        for path in paths:
            os.spawnlp(os.P_WAIT, "chattr", "chattr", "-ia", str(path))


def test_p10_files_that_were_not_cached_are_read_and_are_not_cached_afterwards(tmp_path: Path) -> None:
    paths = written(tmp_path, [random.Random(number).randbytes(100_000) for number in range(10)])
    expected = [path.read_bytes() for path in paths]
    for path in paths[::2]:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    before = [cached(path) for path in paths]
    with opened(tmp_path) as folder:
        found = read(folder, paths)
    assert [data for data, one in found if one is not None] == expected
    assert [cached(path) for path in paths] == before


def cached(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            return syscalls.cached_pages(file.fileno()) > 0
        except OSError:
            pytest.skip("needs Linux 6.5")


def test_an_inode_number_beyond_signed_ones_is_another_file(tmp_path: Path) -> None:
    paths = written(tmp_path, [b"one", b"two"])
    one, two = (Identity.of(path.stat()) for path in paths)
    with opened(tmp_path) as folder:
        found = read(folder, paths, [one._replace(ino=one.ino + (1 << 63)), two])
    assert [file is not None for _, file in found] == [False, True]


def test_a_buffer_of_another_length_is_refused(tmp_path: Path) -> None:
    (path,) = written(tmp_path, [b"hello"])
    with opened(tmp_path) as folder, pytest.raises(ValueError, match="not as long"):
        folder.read_ordinary([b"000"], [Identity.of(path.stat())], memoryview(bytearray(4)))
