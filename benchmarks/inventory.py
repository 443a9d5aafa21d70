"""Scans and plans a bucket of millions of objects from a generated S3 Inventory: time, memory, and size of the catalog.

The inventory is CSV (gzip) in files of a million rows, with the fields AWS writes; no S3 is asked. Keys are dealt to
the files in order or at random (--shuffled): AWS promises no order between files. Every step is a process of its own.
"""

import argparse
import gzip
import hashlib
import json
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measured import Step, run

ROWS_PER_FILE = 1_000_000
SCHEMA = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass, IntelligentTieringAccessTier"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
RULES = """
[[buckets]]
name = "lake"
url = "s3://lake"
region = "us-east-1"
inventory = "{manifest}"

[[buckets.rules]]
name = "raw captures"
prefix = "raw/"
age = "180d"
class = "DEEP_ARCHIVE"

[[buckets.rules]]
name = "checkpoints"
prefix = "runs/"
larger_than = "64MiB"
age = "30d"
class = "GLACIER_IR"

[[buckets.rules]]
name = "the rest"
age = "30d"
class = "INTELLIGENT_TIERING"
"""


def write_file(path: Path, numbers: list[int], rng: random.Random) -> None:
    """Write one data file; sizes are log-uniform from 1 KiB to 1 GiB, ages uniform over three years."""
    days = [(NOW - timedelta(days=day)).strftime("%Y-%m-%d") for day in range(1100)]
    draw = rng.random
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as file:
        for number in numbers:
            top = ("raw", "runs", "datasets", "logs")[number & 3]
            size = int(1024 * 2 ** (20 * draw()))
            file.write(
                f'"lake","{top}/part-{number // 100_000:05d}/shard-{number // 100:08d}/sample-{number:010d}.tensor",'
                f'"{size}","{days[int(draw() * 1100)]}T{number % 24:02d}:{number % 60:02d}:07.000Z",'
                f'"{number * 0x9E3779B97F4A7C15 % (1 << 128):032x}","STANDARD",""\n'
            )


def build(folder: Path, objects: int, *, is_shuffled: bool) -> Path:
    """Write an inventory; return its manifest."""
    rng = random.Random(1)
    starts = range(0, objects, ROWS_PER_FILE)
    files = []
    for part, start in enumerate(starts):
        numbers = (
            list(range(part, objects, len(starts)))
            if is_shuffled
            else list(range(start, min(objects, start + ROWS_PER_FILE)))
        )
        if is_shuffled:
            rng.shuffle(numbers)
        path = folder / f"part-{part:04d}.csv.gz"
        write_file(path, numbers, rng)
        with path.open("rb") as data:
            md5 = hashlib.file_digest(data, "md5").hexdigest()
        files.append({"key": f"lake/{path.name}", "size": path.stat().st_size, "MD5checksum": md5})
    manifest = folder / "manifest.json"
    manifest.write_text(
        json.dumps({
            "sourceBucket": "lake", "destinationBucket": "arn:aws:s3:::inventories", "version": "2016-11-30",
            "creationTimestamp": str(int(NOW.timestamp() * 1000)), "fileFormat": "CSV", "fileSchema": SCHEMA,
            "files": files,
        })
    )  # fmt: skip
    return manifest


def measure(base: Path, objects: int, *, is_shuffled: bool) -> list[Step]:
    """Return what each step cost."""
    for name in ("inventory", "tree"):
        (base / name).mkdir()
    manifest = build(base / "inventory", objects, is_shuffled=is_shuffled)
    config = base / "frostline.toml"
    command = [sys.executable, "-m", "tiering.cli", "--config", str(config), "--json"]
    init = ("init", "--root", str(base / "tree"), "--store", f"file://{base}/store", "--state", str(base / "state"))
    steps = [run("init", [*command, *init])]
    config.write_text(config.read_text() + RULES.format(manifest=manifest))
    steps.append(run("first scan", [*command, "buckets", "scan", "lake"]))
    steps.append(run("plan", [*command, "buckets", "plan", "lake"]))
    steps.append(run("plan, the best 100,000", [*command, "buckets", "plan", "lake", "--top", "100000"]))
    steps.append(run("scan again", [*command, "buckets", "scan", "lake"]))
    return steps[1:]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--shuffled", action="store_true", help="keys in no order, within files and between them")
    parser.add_argument("--folder", default=None, help="where to work; a temporary folder in it is removed at the end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        base = Path(folder)
        steps = measure(base, args.objects, is_shuffled=args.shuffled)
        print(f"{'step':<24}{'wall s':>9}{'CPU s':>9}{'objects/CPU s':>15}{'peak MB':>9}")
        for step in steps:
            rate = args.objects / step.cpu_s
            print(f"{step.name:<24}{step.wall_s:>9.1f}{step.cpu_s:>9.1f}{rate:>15,.0f}{step.peak_rss_mb:>9.0f}")
        catalog = sum(path.stat().st_size for path in (base / "state").glob("catalog.db*"))
        print(f"catalog {catalog / 1e6:,.0f} MB, {catalog / args.objects:.0f} bytes an object")
        if any(step.exit_code for step in steps):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
