"""What frostline holds in memory at most, command by command, on a tree of very many small files.

It should not grow with their number. Every command is a process of its own and its peak is what the operating system
counted: code and pages of files included. Some files have a second name in a folder far away. Before anything is
measured, a small tree has been stored once: kernels are compiled by then, as they are wherever frostline ran before.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from measured import Frostline, Step, print_place

AGE_S = 90 * 86400  # far beyond the 30 days of the built-in rule
LINKS_PER_THOUSAND = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One command."""

    what: str
    files: int
    wall_s: float
    cpu_s: float
    peak_rss_mb: float


def build(root: Path, files: int, *, folders: int, size_bytes: int) -> None:
    """Make the tree: *files* of noise in *folders*, and for some of them a further name in any folder."""
    chosen = random.Random(1)
    places = [root / f"part-{number // 100:05d}" / f"shard-{number % 100:03d}" for number in range(folders)]
    for place in places:
        place.mkdir(parents=True)
    then = time.time() - AGE_S
    for number in range(files):
        path = places[number * folders // files] / f"sample-{number:09d}.tensor"
        path.write_bytes(chosen.randbytes(size_bytes))
        if chosen.randrange(1000) < LINKS_PER_THOUSAND:
            os.link(path, chosen.choice(places) / f"link-{number:09d}.tensor")
        os.utime(path, (then, then))


def age(root: Path) -> None:
    """Give every file the time that build() gave it."""
    then = time.time() - AGE_S
    for folder, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(folder, name), (then, then), follow_symlinks=False)


class Small(Frostline):
    """An installation that moves small files too, as many as there are."""

    def prepare(self) -> None:
        """Create catalog and store."""
        super().prepare()
        text = self.config.read_text().replace('min_size = "4KiB"', 'min_size = "0"')
        self.config.write_text(text.replace("max_files_per_cycle = 100000", "max_files_per_cycle = 1000000000"))

    def leave(self) -> None:
        """Let another installation have the root."""
        (self.root / ".frostline-root").unlink()


def measure(base: Path, files: int, *, folders: int, size_bytes: int) -> list[Row]:
    """Return a row per command."""
    warm = Small(base / "warm", base / "warm-tree", "fast")
    build(warm.root, 2000, folders=10, size_bytes=size_bytes)
    warm.prepare()
    warm.ingest()
    root = base / "tree"
    build(root, files, folders=folders, size_bytes=size_bytes)
    rows: list[Row] = []

    def note(what: str, step: Step, expected: int = 0) -> None:
        if step.exit_code != expected:
            raise SystemExit(f"{what} failed")
        rows.append(Row(what, files, step.wall_s, step.cpu_s, step.peak_rss_mb))
        print(f"{what}: {step.peak_rss_mb:.0f} MB", file=sys.stderr, flush=True)

    planned = Small(base / "planned", root, "fast")
    planned.prepare()
    saved, name = str(base / "plan"), str(root)
    note("scan", planned.run("scan"))
    note("plan --save", planned.run("plan", "--save", saved))
    note("apply", planned.run("apply", saved, "--yes"))
    note("cycle", planned.run("cycle", "--yes"))
    note("recall of what left", planned.run("recall", name))
    planned.leave()
    shutil.rmtree(planned.base)
    age(root)

    frostline = Small(base / "frostline", root, "fast")
    frostline.prepare()
    note("migrate", frostline.ingest()[0])
    note("second pass", frostline.ingest()[0])
    note("restore", frostline.restore(base / "restored")[0])
    note("migrate --release", frostline.run("migrate", name, "--to", "standard", "--release", "--yes"))
    note("recall", frostline.run("recall", name))
    return rows


def print_rows(rows: list[Row]) -> None:
    """Print a table."""
    print(f"{'what':<22}{'files':>10}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    for row in rows:
        print(f"{row.what:<22}{row.files:>10,}{row.wall_s:>9.1f}{row.cpu_s:>9.1f}{row.peak_rss_mb:>9.0f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300_000)
    parser.add_argument("--folders", type=int, default=0, help="default: a hundred files each")
    parser.add_argument("--bytes", type=int, default=100, help="of each file")
    parser.add_argument("--keep", default="", help="work below this folder and leave everything there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folders = args.folders or max(1, args.files // 100)
    if args.keep:
        rows = measure(Path(args.keep), args.files, folders=folders, size_bytes=args.bytes)
    else:
        with tempfile.TemporaryDirectory(prefix="frostline-memory-") as folder:
            rows = measure(Path(folder), args.files, folders=folders, size_bytes=args.bytes)
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print_rows(rows)
    print_place()


if __name__ == "__main__":
    main()
