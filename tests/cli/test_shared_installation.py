"""An installation that root made and others run: they write nothing to it, and perhaps have nowhere else to write."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.somebody import environment, python_of
from tests.structure.sources import PROJECT

SOMEBODY = 65_533
NOWHERE = "/dev/null/nowhere"
_PACKAGES = ("tiering", "dedup", "policies")
_LOAD = "import sys; import dedup.kernels.bloom; print('numba' in sys.modules)"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to install for others and to become one of them"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose way others may go: every pytest that starts closes the one that holds all of pytest's again."""
    with tempfile.TemporaryDirectory(prefix="frostline-shared-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def installation(place: Path) -> Path:
    """The three packages as pip leaves them for everybody: root's, with what Python compiled and no kernels yet."""
    for name in _PACKAGES:
        shutil.copytree(PROJECT / name, place / "lib" / name, ignore=shutil.ignore_patterns("*.kernel", "*.py.*"))
    for folder, _, files in os.walk(place / "lib"):
        os.chmod(folder, 0o755)
        for file in files:
            os.chmod(os.path.join(folder, file), 0o644)
    return place / "lib"


@pytest.fixture
def home(place: Path) -> Path:
    """A folder of somebody's own."""
    folder = place / "home"
    folder.mkdir(0o755)
    os.chown(folder, SOMEBODY, SOMEBODY)
    return folder


@pytest.fixture
def somebody(installation: Path) -> Run:
    """Runs Python with the installation as somebody else."""
    python = python_of(SOMEBODY)

    def run(*arguments: str, home: Path | str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [python, *arguments],
            user=SOMEBODY,
            group=SOMEBODY,
            extra_groups=[],
            env=environment(installation, home),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr[-4000:]}"
        return done

    return run


def _everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    "has_home",
    [
        pytest.param(True, id="a home"),
        # Every command compiles for itself.
        pytest.param(False, id="nowhere to keep anything", marks=pytest.mark.heavy),
    ],
)
def test_another_user_goes_the_whole_way(installation: Path, home: Path, somebody: Run, has_home: bool) -> None:
    before = _everything(installation)
    data, config = home / "data", str(home / "frostline.toml")
    data.mkdir()
    for number in range(3):
        (data / f"{number}.bin").write_bytes(os.urandom(40_000))
        (data / f"{number}.txt").write_text(f"a line of text, and {number} again\n" * 3000)
    for path in (data, *data.iterdir()):
        os.chown(path, SOMEBODY, SOMEBODY)
    keeps = home if has_home else NOWHERE

    def frostline(*arguments: str) -> None:
        somebody("-m", "tiering.cli", "--config", config, *arguments, home=keeps)

    frostline("init", "--root", str(data), "--store", f"file://{home}/store", "--state", str(home / "state"))
    frostline("migrate", str(data), "--to", "standard", "--yes")
    frostline("restore", str(data), "--to", str(home / "out"))
    frostline("audit")
    for path in data.glob("[0-9]*"):
        assert (home / "out/data" / path.name).read_bytes() == path.read_bytes()
    assert _everything(installation) == before
    cache = home / ".cache/frostline"
    assert cache.exists() == has_home
    if has_home:
        status = cache.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, SOMEBODY)
        assert any(cache.glob("*.kernel"))


def test_what_root_compiled_serves_all(installation: Path, somebody: Run) -> None:
    as_root = [python_of(SOMEBODY), "-c", _LOAD]
    subprocess.run(as_root, env=environment(installation, NOWHERE), cwd="/", check=True, capture_output=True)
    assert list((installation / "dedup/kernels/__pycache__").glob("bloom.*.kernel"))
    before = _everything(installation)
    assert somebody("-c", _LOAD, home=NOWHERE).stdout == "False\n"
    assert _everything(installation) == before


def test_what_another_user_left_is_not_executed(installation: Path, home: Path, somebody: Run) -> None:
    assert somebody("-c", _LOAD, home=home).stdout == "False\n"
    cache = home / ".cache/frostline"
    for path in cache.iterdir():
        os.chown(path, SOMEBODY + 1, SOMEBODY + 1)
    assert somebody("-c", _LOAD, home=home).stdout == "False\n", "the folder is somebody's, who replaces them"
    assert {path.stat().st_uid for path in cache.iterdir()} == {SOMEBODY}

    for path in (cache, *cache.iterdir()):
        os.chown(path, SOMEBODY + 1, SOMEBODY + 1)
    cache.chmod(0o777)
    before = _everything(cache)
    assert somebody("-c", _LOAD, home=home).stdout == "True\n", "compiled for this process alone"
    assert _everything(cache) == before
