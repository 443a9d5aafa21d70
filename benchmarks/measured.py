"""Runs commands as child processes and says what each cost, by the operating system's own accounting.

Shared by the benchmarks beside it; measures nothing in-process. Also knows how the peers are driven.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Step:
    """One command's cost."""

    name: str
    wall_s: float
    cpu_s: float
    """User and system time of the process and of the children it waited for."""
    peak_rss_mb: float
    exit_code: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One tool's work on the whole tree, in one or several commands."""

    tool: str
    what: str
    wall_s: float
    cpu_s: float
    peak_rss_mb: float
    mb_per_s: float
    mb_per_cpu_s: float
    stored_bytes: int


def run(name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Step:
    """Run one command to its end and return what it cost."""
    started = time.monotonic()
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    child = subprocess.Popen(  # with bytecode kept, as it is where a program is installed
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**inherited, **(env or {})}, cwd=cwd
    )
    said = child.stderr.read() if child.stderr else b""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - started
    if child.returncode:
        sys.stderr.write(f"{name}: exit {child.returncode}\n{said.decode(errors='replace')[-2000:]}\n")
    return Step(name, wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, child.returncode)


def built(root: Path, args: argparse.Namespace) -> tuple[int, int]:
    """Build the tree of *args* at *root*; returns (files, bytes).

    In a child process: what this process ever held would count as the peak memory of every child it starts later.
    """
    argv = [sys.executable, str(Path(__file__).with_name("trees.py")), str(root)]
    argv += [str(int(args.gb * 1e9)), str(args.files), str(args.seed)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    files, size = done.stdout.split()
    return int(files), int(size)


def summed(tool: str, what: str, steps: Sequence[Step], *, size_bytes: int, stored_bytes: int) -> Measured:
    """Return the steps as one row; a step that failed makes the row worthless, so it ends the benchmark."""
    failed = [step.name for step in steps if step.exit_code != 0]
    if failed:
        raise SystemExit(f"{tool}: {', '.join(failed)} failed")
    wall_s, cpu_s = sum(step.wall_s for step in steps), sum(step.cpu_s for step in steps)
    return Measured(
        tool=tool,
        what=what,
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_rss_mb=max(step.peak_rss_mb for step in steps),
        mb_per_s=size_bytes / 1e6 / wall_s,
        mb_per_cpu_s=size_bytes / 1e6 / cpu_s,
        stored_bytes=stored_bytes,
    )


def print_rows(rows: Sequence[Measured]) -> None:
    """Print a table."""
    print(
        f"{'tool':<22}{'what':<14}{'wall s':>8}{'CPU s':>8}{'MB/s':>8}{'MB/CPU s':>10}{'peak MB':>9}{'stored MiB':>12}"
    )
    for row in rows:
        print(
            f"{row.tool:<22}{row.what:<14}{row.wall_s:>8.1f}{row.cpu_s:>8.1f}{row.mb_per_s:>8.0f}"
            f"{row.mb_per_cpu_s:>10.0f}{row.peak_rss_mb:>9.0f}{row.stored_bytes / 2**20:>12.0f}"
        )


def print_ratios(rows: Sequence[Measured]) -> None:
    """Print how many times as fast as each peer frostline was, by wall time and by CPU."""
    mine = [row for row in rows if row.tool.startswith("frostline")]
    for row in mine:
        peers = [peer for peer in rows if peer.what == row.what and peer not in mine]
        said = [f"{p.tool} {p.wall_s / row.wall_s:.2f} / {p.cpu_s / row.cpu_s:.2f}" for p in peers]
        if said:
            print(f"{row.tool}, {row.what}, times as fast (wall / CPU) as: {', '.join(said)}")


def print_place() -> None:
    """Print on what, and of what, a table was measured: machine, load, versions, commit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "?")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = " ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"{len(os.sched_getaffinity(0))} cores of {model}, {memory_gb:.0f} GB, Linux {platform.release()}")
    versions = [_said("restic", "version").partition(" compiled")[0], _said("borg", "--version")]
    print(f"Python {platform.python_version()}, {', '.join(filter(None, versions))}; load {load} at the end")
    here = ["git", "-C", str(Path(__file__).parent)]
    changed = " with changes" if _said(*here, "status", "--porcelain", "--untracked-files=no", "..") else ""
    print(f"commit {_said(*here, 'rev-parse', '--short', 'HEAD')}{changed}")


def _said(*argv: str) -> str:
    if not shutil.which(argv[0]):
        return ""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


def size_of(folder: Path) -> int:
    """Return the bytes of all files below *folder*."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def warm(folder: Path) -> None:
    """Read everything once, so that no tool pays for the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass


def tree_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which tree to build."""
    parser.add_argument("--gb", type=float, default=4.0)
    parser.add_argument("--files", type=int, default=44_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tools", default="frostline,restic,borg,xet", help="comma-separated; absent ones are left out"
    )
    parser.add_argument("--xet-python", default="", help="an interpreter that has hf_xet; default: FROSTLINE_PEERS")
    parser.add_argument(
        "--store", choices=("local", "seaweedfs"), default="local", help="where frostline and restic go"
    )
    parser.add_argument("--effort", default="fast,balanced", help="frostline's chunking.effort: zstd level 1 or 3")
    parser.add_argument("--keep", default="", help="work below this folder and leave everything there")
    parser.add_argument("--json", action="store_true")


class Remote(Protocol):
    """An S3 server with buckets to make; seaweed.Seaweed is one."""

    endpoint: str
    environment: Mapping[str, str]
    """The credentials."""

    def bucket(self, name: str) -> str:
        """Make an empty bucket and return its name."""

    def stored_bytes(self, bucket: str) -> int:
        """Return the bytes of all objects in a bucket."""


class Frostline:
    """frostline as an operator drives it, on a root of its own."""

    def __init__(self, base: Path, root: Path, effort: str, remote: Remote | None = None) -> None:
        """Work below *base*, which is made; on *root*. The store is a folder there, or a bucket of *remote*."""
        self.name = f"frostline {effort}"
        self.base, self.root, self.effort, self.remote = base, root, effort, remote
        self.config = base / "frostline.toml"
        self._command = [sys.executable, "-m", "tiering.cli", "--config", str(self.config)]

    def run(self, *argv: str) -> Step:
        """Run one command."""
        return run(" ".join(argv[:1]), [*self._command, *argv], env=self.remote.environment if self.remote else {})

    def prepare(self) -> None:
        """Create catalog and store. Only the effort and the parking time are not the defaults."""
        self.base.mkdir(parents=True)
        store, state = f"file://{self.base}/store", str(self.base / "state")
        remote = ["--endpoint-url", self.remote.endpoint] if self.remote else []
        if self.remote:
            store = f"s3://{self.remote.bucket(self._bucket)}/store"
        self.run("init", "--root", str(self.root), "--store", store, "--state", state, *remote)
        text = self.config.read_text().replace('effort = "balanced"', f'effort = "{self.effort}"')
        self.config.write_text(text.replace("park_s = 60", "park_s = 0"))
        if f'effort = "{self.effort}"' not in text:
            raise SystemExit("the configuration has no effort to set")

    def ingest(self) -> list[Step]:
        """Store the whole root; the command looks for changes first, as the peers do."""
        return [self.run("migrate", str(self.root), "--to", "standard", "--yes")]

    def restore(self, to: Path) -> list[Step]:
        """Copy everything out."""
        return [self.run("restore", str(self.root), "--to", str(to))]

    def stored_bytes(self) -> int:
        """Return the bytes in the store."""
        return self.remote.stored_bytes(self._bucket) if self.remote else size_of(self.base / "store")

    @property
    def _bucket(self) -> str:
        return f"frostline-{self.effort}"


class Restic:
    """restic with its defaults: zstd "auto", encryption."""

    name = "restic"

    def __init__(self, base: Path, root: Path, remote: Remote | None = None) -> None:
        """Work below *base*, which is made; on *root*. The repository is a folder there, or a bucket of *remote*."""
        self.base, self.root, self.remote = base, root, remote
        self._env = {
            "RESTIC_REPOSITORY": f"s3:{remote.endpoint}/restic" if remote else str(base / "store"),
            "RESTIC_PASSWORD": "benchmark",
            "RESTIC_CACHE_DIR": str(base / "cache"),
            **(remote.environment if remote else {}),
        }

    def prepare(self) -> None:
        """Create the repository."""
        self.base.mkdir(parents=True)
        if self.remote:
            self.remote.bucket("restic")
        run("restic init", ["restic", "init", "--quiet"], env=self._env)

    def ingest(self) -> list[Step]:
        """Back the root up."""
        return [run("restic backup", ["restic", "backup", "--quiet", "."], env=self._env, cwd=self.root)]

    def restore(self, to: Path) -> list[Step]:
        """Copy everything out."""
        argv = ["restic", "restore", "latest", "--quiet", "--target", str(to)]
        return [run("restic restore", argv, env=self._env)]

    def stored_bytes(self) -> int:
        """Return the bytes in the repository."""
        return self.remote.stored_bytes("restic") if self.remote else size_of(self.base / "store")


class Borg:
    """borg without encryption, at one zstd level."""

    def __init__(self, base: Path, root: Path, level: int) -> None:
        """Work below *base*, which is made; on *root*."""
        self.name = f"borg zstd,{level}"
        self.base, self.root, self.level = base, root, level
        self._env = {
            "BORG_REPO": str(base / "store"),
            "BORG_BASE_DIR": str(base / "home"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        self._count = 0

    def prepare(self) -> None:
        """Create the repository."""
        self.base.mkdir(parents=True)
        run("borg init", ["borg", "init", "-e", "none"], env=self._env)

    def ingest(self) -> list[Step]:
        """Make an archive of the root."""
        self._count += 1
        argv = ["borg", "create", "-C", f"zstd,{self.level}", f"::{self._count}", "."]
        return [run("borg create", argv, env=self._env, cwd=self.root)]

    def restore(self, to: Path) -> list[Step]:
        """Copy everything out."""
        to.mkdir(parents=True)
        return [run("borg extract", ["borg", "extract", f"::{self._count}"], env=self._env, cwd=to)]

    def stored_bytes(self) -> int:
        """Return the bytes in the repository."""
        return size_of(self.base / "store")


class Tool(Protocol):
    """What is measured: something that stores a tree and brings it back."""

    name: str
    base: Path

    def prepare(self) -> None:
        """Make the store; not counted."""

    def ingest(self) -> list[Step]:
        """Store the whole root."""

    def restore(self, to: Path) -> list[Step]:
        """Copy everything out."""

    def stored_bytes(self) -> int:
        """Return the bytes in the store."""


def tools(args: argparse.Namespace, base: Path, tree: Path, remote: Remote | None = None) -> list[Tool]:
    """Return what was asked for and is installed; frostline first, once per effort, each on its own store."""
    wanted = args.tools.split(",")
    found: list[Tool] = []
    if "frostline" in wanted:
        found += [Frostline(base / f"frostline-{effort}", tree, effort, remote) for effort in args.effort.split(",")]
    if "restic" in wanted and shutil.which("restic"):
        found.append(Restic(base / "restic", tree, remote))
    if "borg" in wanted and shutil.which("borg") and remote is None:
        found += [Borg(base / f"borg-{level}", tree, level) for level in (1, 3)]
    return found
