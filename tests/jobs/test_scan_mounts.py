"""P5: what was on a file system below the root is not gone because that is not mounted."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.jobs.lab import Lab, open_lab
from tests.jobs.scanning import fill, scan, states
from tests.jobs.stored import release, store
from tiering.catalog.tables import files
from tiering.jobs.gc import collect

pytestmark = pytest.mark.root
NAMES = [f"disk/d/{number}" for number in range(4)]


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that can be mounted below the root, and keeps what it holds."""

    lab: Lab
    kept: Path

    @property
    def folder(self) -> Path:
        """The mount point."""
        return self.lab.root / "disk"

    def mount(self) -> None:
        """Show it below the root."""
        subprocess.run(["mount", "--bind", str(self.kept), str(self.folder)], check=True, capture_output=True)

    def unmount(self) -> None:
        """Leave an empty folder."""
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A mounted disk with four files, one of them offline, below a root with a hundred others; scanned."""
    kept = tmp_path / "kept"
    kept.mkdir()
    root = {"name": "root", "path": f"{tmp_path}/lab/root", "cross_mounts": True}
    with open_lab(tmp_path / "lab", roots=[root]) as lab:
        (lab.root / "disk").mkdir()
        made = Disk(lab, kept)
        mount = ["mount", "-t", "tmpfs", "none", str(kept)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("needs root to mount a tmpfs")
        try:
            made.mount()
            fill(lab, 100)
            for name in NAMES:
                lab.write(name, name.encode())
            scan(lab)
            release(lab, NAMES[0], store(lab, NAMES[0]))
            scan(lab)
            yield made
        finally:
            subprocess.run(["umount", str(made.folder)], check=False, capture_output=True)
            subprocess.run(["umount", str(kept)], check=True)


def of_disk(disk: Disk) -> list[str]:
    """The states of its files, by name."""
    known = states(disk.lab)
    return [known[name] for name in NAMES if name in known]


def test_p5_files_of_a_disk_that_is_not_mounted_count_as_they_were(disk: Disk) -> None:
    disk.unmount()
    for _ in range(3):
        report = scan(disk.lab)
        assert (report.missing, report.problem_count, report.exit_code) == (0, 1, 3)
        assert report.problems[0].path == f"{disk.folder}/"
        assert "4 files were on a file system that is not mounted" in report.problems[0].reason
        disk.lab.clock.advance(40 * 86_400)
        assert collect(disk.lab.context).files_forgotten == 0
    disk.mount()
    assert scan(disk.lab).exit_code == 0
    assert of_disk(disk) == ["offline", "regular", "regular", "regular"]


def test_a_file_made_in_the_empty_mount_point_speaks_for_no_other(disk: Disk) -> None:
    disk.unmount()
    disk.lab.write(NAMES[1], b"written by a job that did not notice")
    assert (scan(disk.lab).missing, of_disk(disk)[0]) == (0, "offline")


def test_they_are_missing_when_that_is_confirmed(disk: Disk) -> None:
    disk.unmount()
    assert scan(disk.lab, confirm_missing=True).missing == 4
    assert of_disk(disk) == ["missing"] * 4


@pytest.mark.parametrize("gone", [1, 4])
def test_what_was_deleted_from_a_mounted_disk_is_missing(disk: Disk, gone: int) -> None:
    for name in NAMES[:gone]:
        (disk.lab.root / name).unlink()
    report = scan(disk.lab)
    assert (report.missing, report.problem_count) == (gone, 0)


def test_what_was_deleted_from_a_disk_that_was_numbered_anew_is_missing(disk: Disk) -> None:
    with disk.lab.catalog.write() as tx:
        tx.conn.execute(update(files).where(files.c.dir == b"disk/d/").values(dev=4242))
    (disk.lab.root / NAMES[0]).unlink()
    assert (report := scan(disk.lab)).missing == 1, report.problems
