"""Ingest of a mixed tree into a local store, and a second pass over it unchanged; frostline beside restic and borg.

    python benchmarks/ingest.py [--gb 4] [--files 44000] [--tools frostline,restic,borg] [--json]

Same tree for all, warm page cache, every tool with its durable defaults: frostline scans, proves every chunk by
decoding it, reads the store back and writes catalog, ledger and segments. For the second pass each tool runs its
command again.
"""

import argparse
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from measured import Measured, built, print_rows, summed, tools, tree_options, warm


def measure(args: argparse.Namespace, base: Path) -> list[Measured]:
    """Build the tree below *base* and let every tool store it twice."""
    tree = base / "tree"
    _, size = built(tree, args)
    rows = []
    for tool in tools(args, base, tree):
        tool.prepare()
        os.sync()  # nobody pays for another's dirty pages
        warm(tree)
        first = tool.ingest()
        rows.append(summed(tool.name, "ingest", first, size_bytes=size, stored_bytes=tool.stored_bytes()))
        again = tool.ingest()
        rows.append(summed(tool.name, "second pass", again, size_bytes=size, stored_bytes=tool.stored_bytes()))
        if not args.keep:
            shutil.rmtree(tool.base, ignore_errors=True)
        (tree / ".frostline-root").unlink(missing_ok=True)
    return rows


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tree_options(parser)
    args = parser.parse_args()
    base = Path(args.keep or tempfile.mkdtemp(prefix="frostline-ingest-"))
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
