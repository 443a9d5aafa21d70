"""`make demo`: one real cycle on a small workspace of files that exist on any machine, or a look at a folder of yours.

Without an argument it builds a workspace (text, shared libraries, arrays, copies and edited copies), runs every step of
frostline on it through the ordinary command line, and prints what a user would see. With a folder it estimates and
plans for that folder and changes nothing in it. What it writes stands under one temporary folder.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tiering.clock import NS_PER_DAY, SystemClock

WORKSPACE_FILES = 400  # of text: enough for a visible cycle, few enough for seconds
WORKSPACE_BINARIES = 12


def say(text: str) -> None:
    """Print a heading of the demo."""
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def frostline(config: Path, *args: str, accept: tuple[int, ...] = (0,)) -> None:
    """Show a command line, run it, and stop the demo if it fails."""
    print("$ frostline " + " ".join(shlex.quote(arg) for arg in args), flush=True)
    done = subprocess.run([sys.executable, "-m", "tiering.cli", "--config", str(config), *args], check=False)
    if done.returncode not in accept:
        raise SystemExit(f"demo: that command ended with exit code {done.returncode}")


def largest(folder: Path, suffix: str, count: int) -> list[Path]:
    """Return the *count* largest regular files below *folder* with that suffix, at most 8 MB each."""
    found = [path for path in folder.rglob(f"*{suffix}") if path.is_file() and path.stat().st_size < 8_000_000]
    return sorted(found, key=lambda path: (-path.stat().st_size, str(path)))[:count]


def copy_sources(target: Path) -> None:
    """Fill *target* with the standard library's sources and some shared libraries."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for source in largest(stdlib, ".py", WORKSPACE_FILES):
        place = target / source.relative_to(stdlib)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    binaries = target / "lib"
    binaries.mkdir(parents=True, exist_ok=True)
    for source in largest(Path(np.__file__).parent.parent, ".so", WORKSPACE_BINARIES):
        shutil.copyfile(source, binaries / source.name)


def write_arrays(target: Path) -> None:
    """Write a series of checkpoint-like float32 arrays in which a part changes from step to step."""
    rng = np.random.default_rng(7)
    frozen = rng.normal(size=600_000).astype(np.float32)
    target.mkdir(parents=True, exist_ok=True)
    for step in range(1000, 6000, 1000):
        head = rng.normal(size=100_000).astype(np.float32)
        np.save(target / f"step-{step}.npy", np.concatenate([frozen, head]))
    (target / "latest").symlink_to("step-5000.npy")


def edited_copy(source: Path, target: Path) -> None:
    """Copy a tree and insert a line into every tenth file."""
    shutil.copytree(source, target)
    for number, path in enumerate(sorted(target.rglob("*.py"))):
        if number % 10 == 0:
            data = path.read_bytes()
            half = len(data) // 2
            path.write_bytes(data[:half] + b"\n# edited by a colleague\n" + data[half:])


def grow_old(root: Path, now_ns: int) -> None:
    """Set times as if most of the workspace had not been read for one to eight months."""
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())):
        idle_days = 2 if number % 9 == 0 else 35 + number * 37 % 210
        then = now_ns - idle_days * NS_PER_DAY - number * 1_000_003
        os.utime(path, ns=(then, then - NS_PER_DAY))


def build_workspace(root: Path) -> None:
    """Build the whole workspace below *root*."""
    copy_sources(root / "datasets" / "code-v1")
    edited_copy(root / "datasets" / "code-v1", root / "datasets" / "code-v2")
    shutil.copytree(root / "datasets" / "code-v1", root / "users" / "ana" / "code-v1")
    write_arrays(root / "checkpoints" / "run-a")
    grow_old(root, SystemClock().now_ns())


def first_placeholder(root: Path) -> Path:
    """Return the path of one released file."""

    def links() -> Iterator[Path]:
        for path in sorted(root.rglob("*.py")):
            if path.is_symlink():
                yield path

    return next(links())


def shorten_waits(config: Path) -> None:
    """Park released files for one second instead of sixty: nobody writes to the demo's workspace."""
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join("park_s = 1\n" if line.startswith("park_s") else line for line in lines))


def full_cycle(base: Path) -> None:
    """Run the walk on a workspace of our own."""
    root, config = base / "workspace", base / "frostline.toml"
    say("A workspace: two versions of a dataset, a colleague's copy, a run's checkpoints; most of it idle for months")
    build_workspace(root)
    frostline(config, "estimate", str(root))
    say("Install: a catalog (SQLite) and a store (a local folder)")
    frostline(config, "init", "--root", str(root), "--store", f"file://{base}/store", "--state", str(base / "state"))
    shorten_waits(config)
    say("What would move, and why? Nothing has moved yet")
    frostline(config, "scan")
    frostline(config, "plan", "--limit", "4")
    say("One full cycle: migrate, prove, release")
    frostline(config, "cycle", "--yes", accept=(0, 3))
    say("Where is what?")
    frostline(config, "status")
    away = first_placeholder(root)
    say("A released file is a placeholder; programs see a link that names its recipe")
    print(f"$ readlink {away}\n{os.readlink(away)}")
    frostline(config, "explain", str(away))
    say("Bring it back")
    frostline(config, "recall", str(away))
    print(f"$ head -c 60 {away}\n{away.read_bytes()[:60]!r}")
    say("Prove the books")
    frostline(config, "audit")


def look_only(base: Path, root: Path) -> None:
    """Estimate and plan for a user's own folder without touching it."""
    config = base / "frostline.toml"
    say(f"Reading {root}, changing nothing in it")
    frostline(config, "estimate", str(root))
    options = ["--root", str(root), "--read-only", "--store", f"file://{base}/store", "--state", str(base / "state")]
    frostline(config, "init", *options)
    frostline(config, "scan", accept=(0, 3))
    frostline(config, "plan", "--limit", "4", accept=(0, 3))
    say("frostline init --root ... without --read-only puts a folder under care; nothing moves until you arm it")


def main(argv: list[str]) -> None:
    """Run the demo; *argv* is empty or holds one folder."""
    base = Path(tempfile.mkdtemp(prefix="frostline-demo-"))
    task: Callable[[], None] = (
        (lambda: look_only(base, Path(argv[0]).resolve())) if argv else (lambda: full_cycle(base))
    )
    task()
    print(f"\nEverything the demo wrote stands in {base}; delete it when you have looked around.")


if __name__ == "__main__":
    main([arg for arg in sys.argv[1:] if arg])
