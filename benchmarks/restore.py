"""Restore of a mixed tree from a local store; frostline beside restic and borg.

    python benchmarks/restore.py [--gb 4] [--files 44000] [--tools frostline,restic,borg] [--effort fast] [--json]

Every tool stores the same tree (not counted), then copies it out into an empty folder, and the copy is compared with
the original byte for byte. frostline verifies every chunk and every whole file and flushes each file to the disk.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

from measured import Measured, built, print_rows, summed, tools, tree_options


def measure(args: argparse.Namespace, base: Path) -> list[Measured]:
    """Build the tree below *base*; let every tool store and restore it."""
    tree = base / "tree"
    _, size = built(tree, args)
    rows = []
    for tool in tools(args, base, tree):
        tool.prepare()
        tool.ingest()
        os.sync()  # nobody pays for another's dirty pages
        out = base / "out"
        steps = tool.restore(out)
        rows.append(summed(tool.name, "restore", steps, size_bytes=size, stored_bytes=tool.stored_bytes()))
        compare(tool.name, tree, out)
        for folder in (out, tool.base):
            shutil.rmtree(folder, ignore_errors=True)
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
        rows = measure(args, base)
    finally:
        if not args.keep:
            shutil.rmtree(base, ignore_errors=True)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print_rows(rows)


if __name__ == "__main__":
    main()
