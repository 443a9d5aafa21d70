"""Commands that only look are quick to start: they load no compiler, no S3 client and no terminal drawing.

Which modules a command loads is told by the command's own process; that does not depend on the machine's load.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPILER = {"numba", "llvmlite"}
NETWORK = {"boto3", "botocore", "awscrt", "_awscrt", "urllib3"}
DRAWING = {"rich"}
SCHEDULER = {"apscheduler"}
DATABASE = {"sqlalchemy", "sqlite3", "psycopg"}
ARITHMETIC = {"numpy", "pydantic", "zstandard"}

_LOADED = """
import os, sys
from tiering.cli import main
sys.argv = ["frostline", *sys.argv[1:]]
try:
    main()
finally:
    sys.stdout.flush()
    print("threads:", len(os.listdir("/proc/self/task")), file=sys.stderr)
    print("loaded:", *sorted(sys.modules), file=sys.stderr)
"""


def modules(*argv: str) -> set[str]:
    """Run a command; return the names of the modules it had loaded at its end."""
    done = subprocess.run([sys.executable, "-c", _LOADED, *argv], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split()[1:])


def loaded(*argv: str) -> set[str]:
    """Run a command; return the names of the top-level packages it had loaded at its end."""
    return {name.partition(".")[0] for name in modules(*argv)}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The configuration of an installation with one small root."""
    base = tmp_path_factory.mktemp("installation")
    (base / "data").mkdir()
    (base / "data/file").write_bytes(b"data")
    path = str(base / "frostline.toml")
    store = f"file://{base}/store"
    argv = ["init", "--root", str(base / "data"), "--store", store, "--state", str(base / "state")]
    loaded("--config", path, *argv)
    loaded("--config", path, "scan")
    return path


@pytest.mark.parametrize("argv", [["--help"], ["--version"], []], ids=["help", "version", "nothing"])
def test_the_overview_loads_no_library_of_weight(argv: list[str], tmp_path: Path) -> None:
    heavy = COMPILER | NETWORK | DRAWING | SCHEDULER | DATABASE | ARITHMETIC
    done = subprocess.run([sys.executable, "-c", _LOADED, *argv], capture_output=True, text=True, check=False)
    assert not heavy & set(done.stderr.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("command", ["status", "ls", "plan", "explain", "scan", "config show"])
def test_looking_loads_neither_compiler_nor_s3_client_nor_drawing(command: str, config: str) -> None:
    argv = command.split()
    if command == "explain":
        argv.append(str(Path(config).parent / "data/file"))
    assert not (COMPILER | NETWORK | DRAWING | SCHEDULER) & loaded("--config", config, *argv)


@pytest.mark.parametrize("command", ["status", "ls", "config show"])
def test_asking_the_catalog_loads_no_codec(command: str, config: str) -> None:
    assert not {"numpy", "zstandard"} & loaded("--config", config, *command.split())


def test_the_dialect_of_another_database_is_not_loaded(config: str) -> None:
    assert not [name for name in modules("--config", config, "status") if name.startswith("sqlalchemy.dialects.p")]


@pytest.mark.parametrize("command", ["restore", "cat", "audit", "recall", "plan"])
def test_what_stores_nothing_loads_no_way_out(command: str, config: str) -> None:
    assert "tiering.jobs.batch" not in modules("--config", config, command, "--help")


def test_migrate_loads_no_planner(config: str) -> None:
    named = modules("--config", config, "migrate", str(Path(config).parent / "data"), "--to", "standard")
    assert "tiering.jobs.batch" in named
    assert not {"policies.planner", "policies.simulator", "tiering.jobs.plan", "tiering.jobs.recall"} & named


def test_no_library_starts_threads(config: str) -> None:
    argv = [sys.executable, "-c", _LOADED, "--config", config, "plan"]
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env=plain)
    assert "numpy" in done.stderr.splitlines()[-1].split()
    assert done.stderr.splitlines()[-2] == "threads: 1"


def test_help_takes_less_than_two_fifths_of_a_cpu_second() -> None:
    child = subprocess.Popen([sys.executable, "-m", "tiering.cli", "--help"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    # CPU-seconds, not time on the clock: a loaded machine does not add to them. Measured: 0.05.
    assert child.returncode == 0
    assert used.ru_utime + used.ru_stime < 0.4
