"""A scan of so many files that they are looked at together concludes what one of few files does."""

import os
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.scanning import balance, rows, scan
from tiering.hot.walk import ALONE

FOLDERS, FILES = 3, 64


def test_new_changed_moved_linked_and_missing_files_are_found_among_very_many(lab: Lab) -> None:
    _find_them(lab)


@pytest.mark.postgres
def test_postgresql_is_told_of_them_too(tmp_path: Path, postgres_url: str) -> None:
    catalog = {"url": postgres_url, "state_dir": f"{tmp_path}/lab/state"}
    with open_lab(tmp_path / "lab", catalog=catalog) as lab:
        _find_them(lab)


def _find_them(lab: Lab) -> None:
    alone = lab.root / "a"
    alone.mkdir()
    for number in range(ALONE):
        os.close(os.open(alone / f"{number:05}", os.O_CREAT | os.O_WRONLY))
    paths = [lab.write(f"b{folder}/{number:02}", b"x" * number) for folder in range(FOLDERS) for number in range(FILES)]
    os.link(paths[5], f"{paths[5]}-again")
    size_bytes = FOLDERS * sum(range(FILES))
    first = scan(lab)

    assert (first.files, first.new) == (ALONE + len(paths) + 1, ALONE + len(paths) + 1)
    assert (first.bytes, balance(lab, "files.hot_only")) == (size_bytes - 5 + 2 * (5 // 2), size_bytes)
    assert _as_on_disk(lab, paths)

    again = scan(lab)
    assert (again.new, again.changed, again.moved, again.missing) == (0, 0, 0, 0)

    paths[9].write_bytes(b"longer than it was")
    paths[70].rename(lab.root / "b2" / "moved")
    paths[80].unlink()
    lab.write("b1/new", b"12")
    (lab.root / "c").mkdir()
    in_new_folder = [lab.write(f"c/{number:02}", b"x") for number in range(FILES)]
    paths[90].rename(in_new_folder[7])
    third = scan(lab)

    assert (third.new, third.changed, third.moved, third.missing) == (FILES, 1, 2, 1)
    found = [path for path in paths if path.exists()]
    assert _as_on_disk(lab, [*found, *in_new_folder, lab.root / "b2" / "moved"])


def _as_on_disk(lab: Lab, paths: list[Path]) -> bool:
    known = rows(lab)
    for path in paths:
        row, status = known[str(path.relative_to(lab.root))], path.lstat()
        numbers = (row.size, row.mtime_ns, row.ctime_ns, row.ino, row.dev, row.mode, row.uid, row.gid, row.nlink)
        there = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, status.st_mode)
        if numbers != (*there, status.st_uid, status.st_gid, status.st_nlink):
            return False
    return True
