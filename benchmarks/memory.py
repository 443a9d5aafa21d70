"""What frostline holds in memory at most, command by command, on a tree of very many small files.

It should not grow with their number. Every command is a process of its own and its peak is what the operating system
counted: code and pages of files included. Some files have a second name in a folder far away. Before anything is
measured, a small tree has been stored once: kernels are compiled by then, as they are wherever frostline ran before.

First what moves files, then what looks after them: a part is gone and a part replaced when gc is asked.
"""

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from measured import Frostline, Step, print_place

AGE_S = 90 * 86400  # far beyond the 30 days of the built-in rule
LINKS_PER_THOUSAND = 10


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

    def lose_catalog(self) -> None:
        """Remove it."""
        for path in (self.base / "state").glob("catalog.db*"):
            path.unlink()

    def keep_nothing(self) -> None:
        """Let gc delete at once what nobody needs."""
        text = self.config.read_text()
        for name, value in (("keep_days", "0"), ("missing_days", "0"), ("grace", '"0s"')):
            text, found = re.subn(f"(?m)^{name} = .*$", f"{name} = {value}", text)
            if found != 1:
                raise SystemExit(f"the configuration has no {name} to set")
        self.config.write_text(text)


Note = Callable[[str, Step], None]


def age(root: Path) -> None:
    """Give every file the time that build() gave it."""
    then = time.time() - AGE_S
    for folder, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(folder, name), (then, then), follow_symlinks=False)


def change(root: Path) -> None:
    """Remove the files of every third folder, and put new ones in the place of those in every other third."""
    folders = sorted(path for path in root.glob("part-*/shard-*") if path.is_dir())
    for number, folder in enumerate(folders):
        if number % 3 == 2:
            continue
        for path in folder.iterdir():
            path.unlink()
            if number % 3:
                path.write_bytes(b"new")


def move(base: Path, root: Path, note: Note) -> None:
    """Measure what moves files."""
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
    frostline.leave()
    shutil.rmtree(frostline.base)
    shutil.rmtree(base / "restored")
    age(root)


def look_after(base: Path, root: Path, note: Note) -> None:
    """Measure what looks after files, and leaves."""
    frostline = Small(base / "kept", root, "fast")
    note("estimate", frostline.run("estimate", str(root)))
    frostline.prepare()
    frostline.ingest()
    note("audit", frostline.run("audit"))
    note("scrub", frostline.run("scrub"))
    frostline.run("migrate", str(root), "--to", "standard", "--release", "--yes")
    frostline.lose_catalog()
    note("rebuild", frostline.run("rebuild", "--yes"))
    note("audit of what left", frostline.run("audit"))
    change(root)
    frostline.keep_nothing()
    note("scan of what is gone", frostline.run("scan", "--confirm-missing"))
    note("gc, asked", frostline.run("gc"))
    note("gc --yes", frostline.run("gc", "--yes"))
    note("leave --yes", frostline.run("leave", "--yes"))


def measure(base: Path, files: int, *, folders: int, size_bytes: int, only: str = "") -> list[Step]:
    """Return what each command took."""
    warm = Small(base / "warm", base / "warm-tree", "fast")
    build(warm.root, 2000, folders=10, size_bytes=size_bytes)
    warm.prepare()
    warm.ingest()
    root = base / "tree"
    build(root, files, folders=folders, size_bytes=size_bytes)
    steps: list[Step] = []

    def note(what: str, step: Step) -> None:
        if step.exit_code != 0:
            raise SystemExit(f"{what} failed")
        steps.append(replace(step, name=what))
        print(f"{what}: {step.peak_rss_mb:.0f} MB", file=sys.stderr, flush=True)

    for name, part in (("moving", move), ("upkeep", look_after)):
        if only in ("", name):
            part(base, root, note)
    return steps


def print_steps(steps: list[Step], files: int) -> None:
    """Print a table."""
    print(f"{f'{files:,} files':<24}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    for step in steps:
        print(f"{step.name:<24}{step.wall_s:>9.1f}{step.cpu_s:>9.1f}{step.peak_rss_mb:>9.0f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=300_000)
    parser.add_argument("--folders", type=int, default=0, help="default: a hundred files each")
    parser.add_argument("--bytes", type=int, default=100, help="of each file")
    parser.add_argument("--only", choices=("moving", "upkeep"), default="", help="default: both")
    parser.add_argument("--keep", default="", help="work below this folder and leave everything there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folders = args.folders or max(1, args.files // 100)
    how = {"folders": folders, "size_bytes": args.bytes, "only": args.only}
    if args.keep:
        steps = measure(Path(args.keep), args.files, **how)
    else:
        with tempfile.TemporaryDirectory(prefix="frostline-memory-") as folder:
            steps = measure(Path(folder), args.files, **how)
    if args.json:
        print(json.dumps([asdict(step) for step in steps]))
        return
    print_steps(steps, args.files)
    print_place()


if __name__ == "__main__":
    main()
