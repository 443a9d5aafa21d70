"""P4 and P8 on disks that are really full: a sentence, the exit code, nothing half done, and it goes on afterwards."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import differences, noise, snapshot, write

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no mounts here: {done.stderr!r}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def fill(site: Site, megabytes: int) -> None:
    """Write incompressible files of one megabyte."""
    for number in range(megabytes):
        write(os.fsencode(site.root) + b"/%02d.bin" % number, noise(number, 1_000_000))


def test_p4_a_full_store_stops_the_job_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    site = Site(tmp_path / "site", store_url=f"file://{small_disk}/store")
    fill(site, 40)
    site.init()
    before = snapshot(site.root)
    said = site.run("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=1).stderr
    assert "space" in said
    assert differences(before, snapshot(site.root)) == []
    site.run("reconcile", expect=(OK, SKIPPED))
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    site.run("gc", "--yes")
    site.audit()
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes")
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
    site.audit()


def test_p4_a_full_state_disk_stops_the_job_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    site = Site(tmp_path / "site")
    site.state = small_disk / "state"
    fill(site, 6)
    site.init()
    before = snapshot(site.root)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as out:
        try:
            while True:
                out.write(b"x" * 65_536)
                out.flush()
        except OSError:
            pass
    said = site.run("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(1, 3)).stderr
    assert "space" in said or "room" in said
    assert differences(before, snapshot(site.root)) == []
    ballast.unlink()
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes")
    site.audit()
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []


def test_a_recall_without_room_is_refused_before_it_begins(tmp_path: Path, small_disk: Path) -> None:
    site = Site(tmp_path / "site")
    site.root.rmdir()
    site.root = small_disk / "root"
    site.root.mkdir()
    fill(site, 12)
    site.init()
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes")
    placeholders = snapshot(site.root)
    (small_disk / "ballast").write_bytes(b"x" * 20_000_000)
    done = site.json("recall", str(site.root), expect=(1, SKIPPED))
    if "files_skipped" in done:
        assert done["files_done"] < 12
        assert all("room" in row["reason"] or "space" in row["reason"] for row in done["files_skipped"])
    (small_disk / "ballast").unlink()
    site.json("recall", str(site.root))
    assert all(seen.kind != "link" for seen in snapshot(site.root).values())
    assert placeholders.keys() == snapshot(site.root).keys()
