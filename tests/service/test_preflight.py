"""What the unit lacks is said as the line that gives it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.service.test_unit import NOBODY
from tests.whole.site import Site
from tests.whole.tree import text, write

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take rights away"),
]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A small site."""
    made = Site(tmp_path / "site")
    write(os.fsencode(made.root) + b"/a.txt", text(1, 10_000))
    made.init()
    return made


def doctor(site: Site, *wrap: str) -> str:
    """What doctor says when run by *wrap*."""
    done = subprocess.run([*wrap, *site.command("doctor")], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_root_that_the_unit_shows_read_only_gets_its_readwritepaths_line(site: Site) -> None:
    script = f'mount --bind "{site.root}" "{site.root}" && mount -o remount,bind,ro "{site.root}" && exec "$@"'
    said = doctor(site, "unshare", "--mount", "sh", "-c", script, "sh")
    if "unshare failed" in said or "mount:" in said:
        pytest.skip(f"no private mounts here: {said.strip()}")
    assert f"{site.root} is read-only for the service" in said
    assert f"ReadWritePaths={site.root}" in said


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_missing_capabilities_are_named_with_their_purpose(site: Site, tmp_path: Path) -> None:
    for folder in (site.base, tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    ours = (site.config, site.root, *site.state.rglob("*"), *site.store_dir.rglob("*"))
    for path in (*ours, site.state, site.store_dir):
        os.chown(path, int(NOBODY), int(NOBODY))
    said = doctor(site, "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all")
    assert "CAP_LEASE is missing; with it other users' files are released" in said
    assert "AmbientCapabilities=CAP_CHOWN" in said


def test_with_every_right_nothing_is_missing(site: Site) -> None:
    assert "this process may do everything that exact restoring needs" in doctor(site)
