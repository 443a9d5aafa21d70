"""`frostline estimate` for somebody who has nothing: no configuration, no home, no rights, nowhere to write."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.sources import PROJECT
from tests.whole.tree import noise, text, write

NOBODY = "65534"
AS_NOBODY = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--bounding-set=-all"]

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
]


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder others may enter, unlike pytest's own, and write nothing into."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def listing(base: Path) -> dict[str, tuple[int, int]]:
    """Return what stands below, with sizes and times."""
    return {
        os.path.join(folder, name): ((seen := os.lstat(os.path.join(folder, name))).st_size, seen.st_mtime_ns)
        for folder, folders, names in os.walk(base)
        for name in (*folders, *names)
    }


def test_an_estimate_needs_no_configuration_no_home_no_rights_and_no_disk(base: Path) -> None:
    trial = subprocess.run([*AS_NOBODY, sys.executable, "-c", "pass"], capture_output=True, check=False, cwd="/")
    if trial.returncode:
        pytest.skip("another user may not run this Python interpreter")
    # A program of its own, without the compiled kernel that an earlier run left beside the source.
    program = base / "program"
    for package in ("tiering", "dedup", "policies"):
        shutil.copytree(PROJECT / package, program / package, ignore=shutil.ignore_patterns("__pycache__"))
    home, temporary, tree = base / "home", base / "tmp", base / "tree"
    for folder in (home, temporary):
        folder.mkdir(mode=0o555)
    same = noise(1, 2_000_000)
    for name, data in (("a", same), ("b", same), ("c", text(2, 500_000))):
        write(os.fsencode(tree / name), data)
    before = listing(base)

    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary)}
    done = subprocess.run(
        [*AS_NOBODY, sys.executable, "-m", "tiering.cli", "--json", "estimate", str(tree)],
        capture_output=True, text=True, env=environment, cwd=program, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert (seen["files"], seen["logical_bytes"], seen["unique_bytes"]) == (3, 4_500_000, 2_500_000)
    assert seen["stored_bytes"] < 2_300_000
    assert listing(base) == before
