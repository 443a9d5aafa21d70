"""Plans for millions of files: time, CPU and peak memory of `frostline plan`, with rules and with a strategy.

The catalog is made here, row by row as scans leave them, without any file on the disk: folders of 500 files of all
kinds, ages and reading over two years, every fifth stored already; planning looks at the catalog alone. Every plan is a
process of its own, as an operator runs it. Memory should not grow with the number of files.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from measured import Step, run

from tiering.catalog import scans
from tiering.catalog.open import open_catalog
from tiering.catalog.tables import access_days, files
from tiering.catalog.transaction import insert_many
from tiering.clock import NS_PER_DAY, SystemClock
from tiering.config import load_config

FOLDER_FILES = 500
ROWS_AT_ONCE = 50_000
SUFFIXES = (".pt", ".safetensors", ".npy", ".parquet", ".txt", ".log", ".jpg", ".tar")
STRATEGY = '\n[[rules]]\nname = "cost"\nstrategy = "expected_cost"\n'
COLUMNS = (
    "file_id", "root_id", "dir", "name", "state", "size", "mtime_ns", "ctime_ns", "dev", "ino", "nlink", "mode", "uid",
    "gid", "tier", "pinned", "first_seen_ns", "last_access_ns", "access_quality",
)  # fmt: skip


def rows(count: int, now_ns: int, rng: random.Random) -> Iterator[tuple[object, ...]]:
    """Yield files: sizes log-uniform from 4 KiB to 4 GiB, last written and read within two years."""
    for number in range(count):
        folder = number // FOLDER_FILES
        step = f"checkpoint-{folder % 40 * 500}/" if folder % 3 == 0 else ""
        dir = f"team-{folder // 400:04d}/run-{folder // 40:06d}/{step or f'part-{folder % 40:03d}/'}".encode()
        name = f"file-{number % FOLDER_FILES:05d}{SUFFIXES[number % len(SUFFIXES)]}".encode()
        written = int(720 * rng.random())
        read = int(written * rng.random())
        is_stored = number % 5 == 0
        yield (
            number + 1, 1, dir, name, "dual" if is_stored else "regular", int(4096 * 2 ** (20 * rng.random())),
            now_ns - written * NS_PER_DAY, now_ns - written * NS_PER_DAY, 1, number + 1, 1, 0o100644, 1000, 1000,
            "standard" if is_stored else None, False, now_ns - 700 * NS_PER_DAY, now_ns - read * NS_PER_DAY, "relatime",
        )  # fmt: skip


def days(count: int, today: int, rng: random.Random) -> Iterator[tuple[object, ...]]:
    """Yield two days of reading for every other file."""
    for file_id in range(1, count + 1, 2):
        first = int(600 * rng.random())
        yield file_id, today - first - 1 - int(100 * rng.random()), "atime", 1
        yield file_id, today - first, "atime", 1


def fill(config: Path, count: int) -> None:
    """Put *count* files and a finished scan into the catalog that the configuration names."""
    clock = SystemClock()
    catalog = open_catalog(load_config(str(config)).config.catalog.url, clock=clock)
    rng = random.Random(1)
    made = rows(count, clock.now_ns(), rng)
    for start in range(0, count, ROWS_AT_ONCE):
        some = [next(made) for _ in range(min(ROWS_AT_ONCE, count - start))]
        with catalog.write() as tx:
            insert_many(tx, files, COLUMNS, some)
    known = iter(days(count, clock.now_ns() // NS_PER_DAY, rng))
    while some := [row for _, row in zip(range(ROWS_AT_ONCE), known, strict=False)]:
        with catalog.write() as tx:
            insert_many(tx, access_days, ("file_id", "day", "source", "opens"), some)
    with catalog.write() as tx:
        scans.finish(tx, scans.start(tx, 1, access_quality="relatime"), state="complete", files=count)
    catalog.close()


def measure(base: Path, count: int) -> list[Step]:
    """Return what planning for *count* files cost: by the built-in rules, and by a strategy."""
    (base / "tree").mkdir(parents=True)
    config = base / "frostline.toml"
    command = [sys.executable, "-m", "tiering.cli", "--config", str(config)]
    init = ("init", "--root", str(base / "tree"), "--store", f"file://{base}/store", "--state", str(base / "state"))
    run("init", [*command, *init])
    fill(config, count)
    steps = [run("plan, rules", [*command, "plan", "--limit", "1"])]
    config.write_text(config.read_text() + STRATEGY)
    steps.append(run("plan, expected_cost", [*command, "plan", "--limit", "1"]))
    return steps


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--folder", default=None, help="where to work; a temporary folder in it is removed at the end")
    args = parser.parse_args()
    found: list[tuple[int, Step]] = []
    for count in args.files:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            found += [(count, step) for step in measure(Path(folder), count)]
    if args.json:
        print(json.dumps([{"files": count, **asdict(step)} for count, step in found], indent=1))
    else:
        print(f"{'files':>10}  {'step':<22}{'wall s':>9}{'CPU s':>9}{'files/CPU s':>13}{'peak MB':>9}")
        for count, step in found:
            rate, peak = count / step.cpu_s, step.peak_rss_mb
            cost = f"{step.wall_s:>9.1f}{step.cpu_s:>9.1f}{rate:>13,.0f}{peak:>9.0f}"
            print(f"{count:>10,}  {step.name:<22}{cost}")
    if any(step.exit_code for _, step in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
