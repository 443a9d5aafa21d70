"""How small AI data becomes, group by group; frostline beside restic, borg, hf-xet, zipnn and zstd.

    python benchmarks/reduction.py --corpus DIR [--groups parquet,jsonl] [--tools frostline,restic,...] [--effort small]
                                   [--long-mb 120] [--json FILE] [--chart FILE.svg]

The corpus is what make_corpus.py makes. Every group is stored in a store of its own, with everything that a store
needs counted (frostline: the whole store directory, recipes and segments too), then copied out and compared byte for
byte. Speeds are megabytes of original data per CPU-second, from the operating system's accounting of each finished
child. "added" groups store other files before, and count what these add.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import peers
from chart import bars
from groups import GROUPS, Group, lay
from measured import Borg, Frostline, Restic, Step, warm

MARK = ".frostline-root"


class Tool(Protocol):
    """What stores a tree and gives it back; see measured.py and peers.py."""

    name: str
    base: Path

    def prepare(self) -> None: ...

    def ingest(self) -> list[Step]: ...

    def restore(self, to: Path) -> list[Step]: ...

    def stored_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One tool's work on one group."""

    group: str
    tool: str
    bytes_in: int
    stored_bytes: int
    ratio: float
    at_most: float
    """What is asked of frostline; 0 = nothing."""
    in_mb_per_cpu_s: float
    out_mb_per_cpu_s: float
    in_cpu_s: float
    out_cpu_s: float
    in_wall_s: float
    out_wall_s: float
    peak_rss_mb: float
    outcome: str
    """"exact", or what went wrong."""


def measure(group: Group, args: argparse.Namespace, base: Path) -> list[Row]:
    """Let every tool store and restore *group*."""
    corpus, tree = Path(args.corpus).resolve(), base / "tree"
    if not group.files(corpus):
        return []
    size = sum(file.stat().st_size for file in group.files(corpus))
    rows = []
    for tool in _tools(group, args, base, size):
        lay(corpus, group.before(corpus), tree)
        if not group.beside:
            lay(corpus, group.files(corpus), tree)
        try:
            rows.append(_measured(group, tool, corpus, tree))
        finally:
            for folder in (tree, base / "out", tool.base):
                shutil.rmtree(folder, ignore_errors=True)
        _print_row(rows[-1])
    return rows


def _measured(group: Group, tool: Tool, corpus: Path, tree: Path) -> Row:
    warm(tree)
    tool.prepare()
    before = 0
    steps: list[Step] = []
    if group.beside:
        steps += tool.ingest()
        before = tool.stored_bytes()
        lay(corpus, group.files(corpus), tree)
    stored = tool.ingest()
    os.sync()  # nobody pays for another's dirty pages
    after = tool.stored_bytes()
    out = tree.parent / "out"
    restored = tool.restore(out)
    size = sum(file.stat().st_size for file in group.files(corpus))
    whole = size + sum(file.stat().st_size for file in group.before(corpus))
    failed = [step.name for step in steps + stored + restored if step.exit_code]
    in_cpu_s, out_cpu_s = sum(step.cpu_s for step in stored), sum(step.cpu_s for step in restored)
    return Row(
        group=group.name,
        tool=tool.name,
        bytes_in=size,
        stored_bytes=after - before,
        ratio=(after - before) / size,
        at_most=group.at_most,
        in_mb_per_cpu_s=size / 1e6 / in_cpu_s,
        out_mb_per_cpu_s=whole / 1e6 / out_cpu_s,
        in_cpu_s=in_cpu_s,
        out_cpu_s=out_cpu_s,
        in_wall_s=sum(step.wall_s for step in stored),
        out_wall_s=sum(step.wall_s for step in restored),
        peak_rss_mb=max(step.peak_rss_mb for step in steps + stored + restored),
        outcome=f"failed: {', '.join(failed)}" if failed else _compared(tree, out),
    )


def _compared(tree: Path, out: Path) -> str:
    """Return "exact" if the tree stands somewhere below *out*, bit for bit; else what differs."""
    some = next(path for path in sorted(tree.rglob("*")) if path.is_file() and path.name != MARK).relative_to(tree)
    tops = [
        Path(str(path)[: -len(str(some))])
        for path in out.rglob(some.name)
        if path.parts[-len(some.parts) :] == some.parts
    ]
    if not tops:
        return "not restored"
    done = subprocess.run(
        ["diff", "-rq", "-x", MARK, str(tree), str(tops[0])], capture_output=True, text=True, check=False
    )
    return f"differs: {done.stdout[:300]}{done.stderr[:300]}" if done.returncode else "exact"


def _tools(group: Group, args: argparse.Namespace, base: Path, size: int) -> list[Tool]:
    """Return what was asked for, is installed, and can take the group in reasonable time."""
    tree, wanted = base / "tree", args.tools.split(",")
    found: list[Tool | None] = []
    if "frostline" in wanted:
        found += [Frostline(base / f"frostline-{effort}", tree, effort) for effort in args.effort.split(",")]
    if "restic" in wanted and shutil.which("restic"):
        found.append(Restic(base / "restic", tree))
    if "borg" in wanted and shutil.which("borg"):
        found.append(Borg(base / "borg", tree, 3))
    if "xet" in wanted:
        found.append(peers.xet(base / "xet", tree))
    if "zstd" in wanted:
        found.append(peers.each(base / "zstd", tree))
    if "zipnn" in wanted and not group.beside:
        found.append(peers.zipnn(base / "zipnn", tree, group.dtype))
    if "long" in wanted and not group.beside and size <= args.long_mb * 1e6:
        found.append(peers.long(base / "long", tree))
    return [tool for tool in found if tool is not None]


def _print_row(row: Row) -> None:
    asked = f"{row.at_most:.3f}" if row.at_most and row.tool.startswith("frostline") else ""
    print(
        f"{row.group:<26}{row.tool:<20}{row.bytes_in / 1e6:>9.1f}{row.stored_bytes / 1e6:>9.1f}{row.ratio:>8.4f}"
        f"{asked:>7}{row.in_mb_per_cpu_s:>8.0f}{row.out_mb_per_cpu_s:>8.0f}{row.in_cpu_s:>8.1f}{row.out_cpu_s:>8.1f}"
        f"{row.peak_rss_mb:>8.0f}  {row.outcome}",
        flush=True,
    )


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--groups", default="", help="comma-separated beginnings of names; default all")
    parser.add_argument("--tools", default="frostline,restic,borg,xet,zstd,zipnn,long", help="absent ones are left out")
    parser.add_argument("--effort", default="balanced", help="frostline's: fast, balanced, small; comma-separated")
    parser.add_argument("--long-mb", type=float, default=120, help="zstd -19 --long takes no larger groups: 2.5 MB/s")
    parser.add_argument("--work", default="", help="folder to work in; needs twice the largest group")
    parser.add_argument("--json", default="", help="file to write all rows to")
    parser.add_argument("--chart", default="", help="file to draw the ratios to, as SVG")
    parser.add_argument("--beside", default="", help="comma-separated files of --json, whose rows are drawn too")
    args = parser.parse_args()
    wanted = [group for group in GROUPS if group.name.startswith(tuple(args.groups.split(",")))]
    print(
        f"{'group':<26}{'tool':<20}{'MB in':>9}{'stored':>9}{'ratio':>8}{'asked':>7}{'in MB/s':>8}{'out':>8}"
        f"{'in CPU':>8}{'out':>8}{'peak MB':>8}"
    )
    rows: list[Row] = []
    base = Path(tempfile.mkdtemp(prefix="frostline-reduction-", dir=args.work or None))
    try:
        for group in wanted:
            rows += measure(group, args, base)
            if args.json:
                Path(args.json).write_text(json.dumps([asdict(row) for row in rows], indent=1))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    if args.chart:
        earlier = [
            Row(**row) for file in filter(None, args.beside.split(",")) for row in json.loads(Path(file).read_text())
        ]
        order = [group.name for group in GROUPS]
        drawn = sorted(rows + earlier, key=lambda row: order.index(row.group))
        Path(args.chart).write_text(bars([(row.group, row.tool, row.ratio) for row in drawn]))
    sys.exit(any(row.outcome != "exact" and row.tool.startswith("frostline") for row in rows))


if __name__ == "__main__":
    main()
