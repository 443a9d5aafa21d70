"""Estimate over large files, a mixed tree, and a tree of many hard links: bytes per second and core, and peak memory.

Every run is `frostline estimate --sample 0` as a process of its own, page cache warm, its start and the loading of its
kernels within the figures; beside it, what it costs to read the same files and do nothing.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from measured import Step, built, run, warm

_READ = """
import os, sys
buffer = bytearray(8 << 20)
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(folder, name), "rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
"""
_MAKE = """
import os, random, sys
root, kind, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(1)
words = [bytes(rng.choices(b"etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(5000)]
phrases = [b" ".join(rng.choices(words, k=40)) for _ in range(50_000)]
piece = 16 << 20
for number in range(max(1, size // (1 << 30))):
    with open(os.path.join(root, f"{kind}-{number}.bin"), "wb") as file:
        for _ in range(min(size, 1 << 30) // piece):
            text = b" ".join(rng.choices(phrases, k=piece // 200)) if kind == "text" else rng.randbytes(piece)
            file.write(text[:piece])
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One tree."""

    tree: str
    what: str
    size_bytes: int
    wall_s: float
    cpu_s: float
    mb_per_s: float
    mb_per_cpu_s: float
    peak_rss_mb: float


def made(root: Path, kind: str, size: int) -> None:
    """Make large files of one kind, in a child: what this process held would count as its children's peak."""
    root.mkdir()
    subprocess.run([sys.executable, "-c", _MAKE, str(root), kind, str(size)], check=True)


def linked(root: Path, inodes: int) -> None:
    """Make a tree of small files of which each has two names."""
    for number in range(inodes):
        folder = root / f"{number // 1000:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(random.Random(number).randbytes(100))
        os.link(folder / f"{number}", folder / f"{number}.again")


def measure(base: Path, args: argparse.Namespace) -> Iterator[Row]:
    """Yield two rows per tree."""
    size = int(args.gb * 1e9)
    trees: dict[str, Callable[[Path], object]] = {
        "noise": lambda root: made(root, "noise", size),
        "text": lambda root: made(root, "text", size // 4),
        "mixed": lambda root: built(root, argparse.Namespace(gb=args.gb / 4, files=int(args.gb * 2750), seed=1)),
        "hard links": lambda root: linked(root, args.links),
    }
    for name, make in trees.items():
        root = base / name.replace(" ", "-")
        make(root)
        warm(root)
        names = {status.st_ino: status.st_size for status in (path.stat() for path in root.rglob("*"))}
        total = sum(names.values())
        yield _row(name, "read only", total, run("read", [sys.executable, "-c", _READ, str(root)]))
        estimate = [sys.executable, "-m", "tiering.cli", "--json", "estimate", str(root), "--sample", "0"]
        yield _row(name, "estimate", total, run("estimate", estimate))
        subprocess.run(["rm", "-rf", str(root)], check=True)


def _row(tree: str, what: str, size: int, step: Step) -> Row:
    if step.exit_code:
        raise SystemExit(f"{what} of {tree} failed")
    rate, core_rate = size / 1e6 / step.wall_s, size / 1e6 / step.cpu_s
    return Row(tree, what, size, step.wall_s, step.cpu_s, rate, core_rate, step.peak_rss_mb)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=4.0, help="of the largest tree")
    parser.add_argument("--links", type=int, default=300_000, help="inodes with two names each")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frostline-estimate-") as folder:
        rows = list(measure(Path(folder), args))
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{'tree':<12}{'what':<11}{'GB':>6}{'wall s':>8}{'CPU s':>8}{'MB/s':>8}{'per CPU s':>11}{'peak MB':>9}")
    for row in rows:
        print(
            f"{row.tree:<12}{row.what:<11}{row.size_bytes / 1e9:>6.2f}{row.wall_s:>8.2f}{row.cpu_s:>8.2f}"
            f"{row.mb_per_s:>8.0f}{row.mb_per_cpu_s:>11.0f}{row.peak_rss_mb:>9.0f}"
        )


if __name__ == "__main__":
    main()
