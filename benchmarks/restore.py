"""Restore of a mixed tree; frostline beside restic, borg and hf-xet.

    python benchmarks/restore.py [--gb 4] [--files 44000] [--tools frostline,restic,borg,xet] [--effort fast] [--json]
    python benchmarks/restore.py --store seaweedfs    # frostline and restic, out of a SeaweedFS started for it

Every tool stores the same tree (not counted), then copies it out into an empty folder, and the copy is compared with
the original byte for byte. frostline verifies every byte by digest and flushes all of it to the disk; the
others do not flush, so that a second row for each has a sync behind it.

Nothing is deleted before the last tool has restored: ext4 passes over inodes that were freed in the last minutes one by
one, which made whoever came after a deleted copy pay 15 CPU-seconds for 44,000 new files. So have room for a tree and a
half for each tool, and delete nothing large on that disk beforehand. Each tool's own folder is read once before it
restores: by then the copies of those before it may have pushed it out of the page cache.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from measured import Measured, built, print_place, print_ratios, print_rows, run, summed, tree_options, warm
from peers import everyone
from seaweed import Seaweed


def measure(args: argparse.Namespace, base: Path, remote: Seaweed | None) -> list[Measured]:
    """Build the tree below *base*; let every tool store it, then every tool restore it."""
    tree = base / "tree"
    _, size = built(tree, args)
    rows = []
    found = everyone(args, base, tree, remote)
    for tool in found:
        tool.prepare()
        tool.ingest()
    for tool in found:
        warm(tool.base)
        os.sync()  # nobody pays for another's dirty pages
        out = base / "out" / tool.base.name
        out.parent.mkdir(exist_ok=True)
        steps = tool.restore(out)
        rows.append(summed(tool.name, "restore", steps, size_bytes=size, stored_bytes=tool.stored_bytes()))
        steps.append(run("sync", ["sync", "--file-system", str(out)]))
        rows.append(summed(tool.name, "and flushed", steps, size_bytes=size, stored_bytes=tool.stored_bytes()))
        compare(tool.name, tree, out)
    (tree / ".frostline-root").unlink(missing_ok=True)
    return rows


def compare(tool: str, tree: Path, out: Path) -> None:
    """End the benchmark if the copy is not the tree, wherever below *out* the tool put it."""
    top = next(path.parent for path in sorted(out.rglob("set-0")))
    argv = ["diff", "-rq", "-x", ".frostline-root", str(tree), str(top)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tool} restored something else: {done.stdout[:500]}{done.stderr[:500]}")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tree_options(parser)
    args = parser.parse_args()
    base = Path(args.keep or tempfile.mkdtemp(prefix="frostline-restore-"))
    try:
        with ExitStack() as stack:
            rows = measure(args, base, stack.enter_context(Seaweed(base / "weed")) if args.store != "local" else None)
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_rows(rows)
        print_ratios(rows)
        print_place()


if __name__ == "__main__":
    main()
