"""Scans a large tree: for the first time, again with nothing changed, and again after one file in a hundred changed.

Files are empty: a scan reads names and stat only. Every run is a process of its own, started, imported and ended within
the figures; beside it, in the same tree, a bare walk that stats every file and keeps nothing.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from measured import Step, run

PER_FOLDER = 100
FOLDERS_PER_FOLDER = 100

_BARE = """
import os, sys
folders = [sys.argv[1]]
while folders:
    with os.scandir(folders.pop()) as found:
        for item in found:
            if item.is_dir(follow_symlinks=False):
                folders.append(item.path)
            else:
                item.stat(follow_symlinks=False)
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One pass over the tree."""

    what: str
    files: int
    wall_s: float
    cpu_s: float
    files_per_s: float
    files_per_cpu_s: float
    peak_rss_mb: float
    catalog_mb: float
    """The database with its write-ahead log when the pass had ended; 0 where it is not a file."""


def build(root: Path, files: int) -> None:
    """Make the tree; names are as long as those of real datasets."""
    for first in range(0, files, PER_FOLDER):
        number = first // PER_FOLDER
        folder = root / f"part-{number // FOLDERS_PER_FOLDER:05d}" / f"shard-{number % FOLDERS_PER_FOLDER:03d}"
        folder.mkdir(parents=True)
        for i in range(first, min(files, first + PER_FOLDER)):
            os.close(os.open(folder / f"sample-{i:09d}.tensor", os.O_CREAT | os.O_WRONLY, 0o644))


def touch(root: Path, every: int) -> None:
    """Give every so many-th file another modification time.

    A folder at a time: what this process holds would count as the peak of the children it starts later.
    """
    number = 0
    for folder, _, names in os.walk(root):
        for name in names:
            number += 1
            if number % every == 0:
                os.utime(os.path.join(folder, name), ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000 + number))


class Frostline:
    """A configuration of its own for the tree."""

    def __init__(self, base: Path, root: Path, url: str) -> None:
        """Work below *base*; with the catalog at *url*, or in the state folder if that is empty."""
        self.state = base / "state"
        config = base / "frostline.toml"
        self._command = [sys.executable, "-m", "tiering.cli", "--config", str(config)]
        self.run("init", "--root", str(root), "--store", f"file://{base}/store", "--state", str(self.state))
        if url:
            config.write_text(config.read_text().replace(f"sqlite:///{self.state}/catalog.db", url))
            shutil.rmtree(base / "store")
            (root / ".frostline-root").unlink()
            self.run("init", "--root", str(root))

    def run(self, *argv: str) -> Step:
        """Run one command."""
        return run(argv[0], [*self._command, *argv])

    def catalog_mb(self) -> float:
        """Return what the catalog takes on the disk."""
        return sum(path.stat().st_size for path in self.state.glob("catalog.db*")) / 1e6


def measure(base: Path, files: int, url: str) -> list[Row]:
    """Return a row per pass."""
    root = base / "tree"
    build(root, files)
    bare = run("bare walk", [sys.executable, "-c", _BARE, str(root)])
    rows = [_row("bare walk", files, bare, 0.0)]
    frostline = Frostline(base, root, url)
    for what in ("first scan", "unchanged", "1 % changed"):
        if what == "1 % changed":
            touch(root, 100)
        rows.append(_row(what, files, frostline.run("scan"), frostline.catalog_mb()))
    return rows


def _row(what: str, files: int, step: Step, catalog_mb: float) -> Row:
    if step.exit_code != 0:
        raise SystemExit(f"{what} failed")
    return Row(
        what=what,
        files=files,
        wall_s=step.wall_s,
        cpu_s=step.cpu_s,
        files_per_s=files / step.wall_s,
        files_per_cpu_s=files / step.cpu_s,
        peak_rss_mb=step.peak_rss_mb,
        catalog_mb=catalog_mb,
    )


def print_rows(rows: list[Row]) -> None:
    """Print a table."""
    head = f"{'what':<14}{'files':>10}{'wall s':>8}{'CPU s':>8}{'files/s':>10}{'per CPU s':>11}{'peak MB':>9}"
    print(f"{head}{'cat. MB':>9}")
    for row in rows:
        print(
            f"{row.what:<14}{row.files:>10,}{row.wall_s:>8.2f}{row.cpu_s:>8.2f}{row.files_per_s:>10,.0f}"
            f"{row.files_per_cpu_s:>11,.0f}{row.peak_rss_mb:>9.0f}{row.catalog_mb:>9.0f}"
        )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--catalog", default="", help="database URL; default: SQLite in a folder of its own")
    parser.add_argument("--keep", default="", help="work below this folder and leave everything there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.keep:
        rows = measure(Path(args.keep), args.files, args.catalog)
    else:
        with tempfile.TemporaryDirectory(prefix="frostline-scan-") as folder:
            rows = measure(Path(folder), args.files, args.catalog)
    print(json.dumps([asdict(row) for row in rows])) if args.json else print_rows(rows)


if __name__ == "__main__":
    main()
