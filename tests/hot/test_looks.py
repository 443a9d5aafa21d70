"""Files looked at together are what os.stat() says of each; what is no ordinary file is left to be looked at alone."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tiering.hot.looks import Looks, look_together
from tiering.hot.walk import Listing, WalkProblem, listings

NUMBERS = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "atime_ns", "mtime_ns", "ctime_ns")
YEAR_2300_S = 10_413_792_000


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def looked(folder: Path, names: list[bytes]) -> tuple[Looks, list[bytes]]:
    with opened(folder) as fd:
        looks, left = look_together(fd, names)
    return looks, list(left)


def numbers(status: os.stat_result) -> list[int]:
    return [getattr(status, f"st_{name}") for name in NUMBERS]


def test_it_says_what_stat_says(tmp_path: Path) -> None:
    rng = random.Random(3)
    for number in range(200):
        path = tmp_path / f"{number:03}"
        path.touch(mode=rng.choice([0o600, 0o644, 0o755, 0o4711]))
        os.truncate(path, rng.choice([0, 1, 4096, 1 << 40]))
        os.utime(path, ns=(rng.randrange(-(1 << 60), 1 << 62), rng.randrange(-(1 << 60), 1 << 62)))
        if number % 7 == 0:
            os.link(path, tmp_path / f"{number:03}-again")
    names = sorted(os.fsencode(name) for name in os.listdir(tmp_path))
    looks, left = looked(tmp_path, names)

    assert (list(looks.names), left) == (names, [])
    expected = [os.stat(os.path.join(os.fsencode(tmp_path), name)) for name in names]
    assert list(map(numbers, looks.statuses())) == list(map(numbers, expected))
    assert [tuple(status)[:10] for status in looks.statuses()] == [tuple(status)[:10] for status in expected]


def test_what_is_no_ordinary_file_is_left(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("a file")
    (tmp_path / "\udcff odd").touch()
    os.mkfifo(tmp_path / "fifo")
    names = sorted([b"a file", b"folder", b"link", b"\xff odd", b"fifo", b"gone"])
    looks, left = looked(tmp_path, names)

    assert list(looks.names) == [b"a file", b"\xff odd"]
    assert left == [b"fifo", b"folder", b"gone", b"link"]
    assert [status.st_ino for status in looks.statuses()] == [
        os.stat(os.path.join(os.fsencode(tmp_path), name)).st_ino for name in looks.names
    ]


def test_times_that_no_column_holds_are_left(tmp_path: Path) -> None:
    for which in ("mtime", "atime"):
        path = tmp_path / which
        path.touch()
        times = {"mtime": (0, YEAR_2300_S), "atime": (YEAR_2300_S, 0)}[which]
        os.utime(path, times)
        if os.stat(path).st_mtime_ns != times[1] * 10**9 or os.stat(path).st_atime_ns != times[0] * 10**9:
            pytest.skip("this file system keeps no such times")
    (tmp_path / "plain").touch()

    assert looked(tmp_path, [b"atime", b"mtime", b"plain"])[1] == [b"atime", b"mtime"]


def test_a_walk_sees_the_same_whether_names_are_looked_at_alone_or_together(tmp_path: Path) -> None:
    for folder in ("a", "a/b", "c"):
        (tmp_path / folder).mkdir()
        for number in range(50):
            (tmp_path / folder / f"{number}").write_bytes(b"x" * number)
        (tmp_path / folder / "17-link").symlink_to("nowhere")
        os.mkfifo(tmp_path / folder / "30-fifo")
    (tmp_path / "few").touch()

    def seen(found: Listing | WalkProblem) -> list[tuple[bytes, bytes, list[int]]]:
        assert isinstance(found, Listing)
        files = [*found.files, *zip(found.looks.names, found.looks.statuses(), strict=True)]
        return sorted((found.dir, name, numbers(status)) for name, status in files)

    root = os.fsencode(tmp_path)
    together, alone = (list(listings(root, alone=alone)) for alone in (0, 1000))
    assert list(map(seen, together)) == list(map(seen, alone))
    assert [len(item.looks.names) for item in together if isinstance(item, Listing)] == [0, 50, 50, 50]
    assert [len(item.looks.names) for item in alone if isinstance(item, Listing)] == [0, 0, 0, 0]
    others = [[entry.path for entry in item.others] for item in together if isinstance(item, Listing)]  # type: ignore[union-attr]
    assert others == [[entry.path for entry in item.others] for item in alone if isinstance(item, Listing)]  # type: ignore[union-attr]
