"""Ingest of a mixed tree, and a second pass over it unchanged; frostline beside restic, borg and hf-xet.

    python benchmarks/ingest.py [--gb 4] [--files 44000] [--tools frostline,restic,borg,xet] [--json]
    python benchmarks/ingest.py --store seaweedfs    # frostline and restic, into a SeaweedFS started for it

Same tree for all, warm page cache, every tool with its durable defaults: frostline scans, proves every chunk by
decoding it, reads the store back and writes catalog, ledger and segments. For the second pass each tool runs its
command again. With SeaweedFS the server works on the same cores: what it spends is said on stderr.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from measured import Measured, built, print_place, print_ratios, print_rows, summed, tree_options, warm
from peers import everyone
from seaweed import Seaweed


def measure(args: argparse.Namespace, base: Path, remote: Seaweed | None) -> list[Measured]:
    """Build the tree below *base* and let every tool store it twice."""
    tree = base / "tree"
    _, size = built(tree, args)
    rows = []
    for tool in everyone(args, base, tree, remote):
        tool.prepare()
        os.sync()  # nobody pays for another's dirty pages
        warm(tree)
        for what in ("ingest", "second pass"):
            before_s = remote.cpu_s() if remote else 0.0
            steps = tool.ingest()
            rows.append(summed(tool.name, what, steps, size_bytes=size, stored_bytes=tool.stored_bytes()))
            if remote:
                print(f"the server spent {remote.cpu_s() - before_s:.1f} s on {tool.name}, {what}", file=sys.stderr)
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
