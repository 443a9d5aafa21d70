"""P5 on real mounts: a root that is not mounted dooms nothing; file systems other than the test's own work too."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import differences, odd_tree, snapshot

ANY_OUTCOME = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class Image:
    """A file system in a file, to be mounted and unmounted at will."""

    file: Path
    folder: Path

    def mount(self) -> None:
        """Mount it; raises CalledProcessError where that is not allowed."""
        subprocess.run(["mount", "-o", "loop", str(self.file), str(self.folder)], check=True, capture_output=True)

    def unmount(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", str(self.folder)], check=True, capture_output=True)


@pytest.fixture(params=["ext4", "xfs"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, Image]]:
    """A site whose root is a mounted image of the parametrised kind."""
    maker = shutil.which(f"mkfs.{request.param}")
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if maker is None:
        pytest.skip(f"mkfs.{request.param} is not installed")
    site = Site(tmp_path / "site")
    image = Image(tmp_path / "image", site.root)
    with image.file.open("wb") as out:
        out.truncate(400_000_000)
    subprocess.run([maker, "-q", str(image.file)], check=True, capture_output=True)
    try:
        image.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no loop mounts here: {error.stderr!r}")
    shutil.rmtree(site.root / "lost+found", ignore_errors=True)
    odd_tree(site.root, as_root=True)
    site.init()
    try:
        yield site, image
    finally:
        subprocess.run(["umount", "-l", str(site.root)], check=False, capture_output=True)


def test_p5_an_unmounted_root_dooms_nothing_and_comes_back(mounted: tuple[Site, Image]) -> None:
    site, image = mounted
    before = snapshot(site.root)
    site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    seen = site.audit()
    image.unmount()
    assert "marker" in site.run("scan", expect=(1, 2, 3)).stderr
    site.run("cycle", "--yes", expect=ANY_OUTCOME)
    site.run("gc", "--yes", expect=ANY_OUTCOME)
    image.mount()
    site.run("scan")
    after = site.audit()
    assert after["dead_bytes"] == 0
    assert after["offline_bytes"] == seen["offline_bytes"]
    site.json("recall", str(site.root))
    assert differences(before, snapshot(site.root)) == []
