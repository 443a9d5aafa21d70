"""Puts millions of chunks into a catalog, as migrations commit them, and looks them up again.

Every batch is one commit of twenty files of a thousand new chunks each (64 KiB, sixteen to a block, one pack a file),
with its references, recipes, ledger entry and outbox records; then, each in a process of its own, chunks are looked up
64 at a time: all of them new, with the filter in front of the index and without it, and all of them known. Nothing is
read or stored: this is the catalog alone. The fingerprints are made again from the seed.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from measured import run
from served import Served

from dedup.recipe_id import recipe_ids, recipe_key
from dedup.values import Block, ChunkPart, Digest, FileMeta, Fingerprint, Recipe
from tiering.catalog import commit, packs, roots, walked
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.presence import FILE, open_filter
from tiering.catalog.tables import outbox as outbox_table
from tiering.catalog.transaction import Tx
from tiering.catalog.upkeep import tend
from tiering.catalog.values import NewBlock, PendingPack, StoredBatch, StoredFile
from tiering.clock import SystemClock

CHUNKS_PER_FILE = 1000
CHUNKS_PER_BLOCK = 16
CHUNK_BYTES = 64 << 10
FILES_PER_BATCH = 20
AT_ONCE = 64  # chunks of a 4 MiB group
TIER = "standard"
META = FileMeta(0o100644, 1000, 1000, 5, 5)


@dataclass(frozen=True, slots=True)
class Row:
    """One phase."""

    what: str
    chunks: int
    wall_s: float
    cpu_s: float
    """Of the client's process."""
    us_per_chunk: float
    """CPU of the client."""
    peak_rss_mb: float
    mb_on_disk: float
    server_cpu_s: float = 0.0
    """Of a PostgreSQL server on this machine."""
    server_peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """The identity of a made-up file."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int


def chunks_of(file: int, count: int = CHUNKS_PER_FILE) -> list[ChunkPart]:
    """Return the first *count* chunks of file number *file*: the same for ever."""
    drawn = np.random.default_rng([7, file]).bytes(32 * count)
    digests = [drawn[i : i + 32] for i in range(0, len(drawn), 32)]
    return [ChunkPart(Fingerprint(digest[:8]), Digest(digest), CHUNK_BYTES) for digest in digests]


def ingest(catalog: Catalog, files: int) -> None:
    """Commit *files* made-up files."""
    with catalog.write() as tx:
        root_id = roots.add(tx, name="data", path=b"/data", marker="marker")
    ids = recipe_ids(bytes(12))
    for first in range(0, files, FILES_PER_BATCH):
        numbers = range(first, min(files, first + FILES_PER_BATCH))
        with catalog.write() as tx:
            rows = [_fresh(number) for number in numbers]
            walked.add_fresh(tx, root_id, rows, access_quality="none", op_id=f"scan:{first}")
            pages = walked.known_page(tx, root_id, after=(b"", b"%09d" % (first - 1)), limit=FILES_PER_BATCH)
            batch = _batch(tx, dict(zip(numbers, (row[-1] for row in pages), strict=True)), ids, first)
        with catalog.write() as tx:
            rejected = commit.commit_stored(tx, batch)
            # What a segment would take out of the catalog again.
            tx.conn.execute(outbox_table.delete())
        if rejected:
            raise SystemExit(str(rejected[0]))
        if first % 5000 == 0:
            tend(catalog)
            print(f"{first * CHUNKS_PER_FILE:,}", file=sys.stderr)


def _fresh(number: int) -> walked.FreshFile:
    size = CHUNKS_PER_FILE * CHUNK_BYTES
    return (b"", b"%09d" % number, size, 1, 1, 1, number, 1, 0o100644, 1000, 1000, None)


def _batch(tx: Tx, file_ids: dict[int, int], ids: Iterator[str], first: int) -> StoredBatch:
    blocks: list[NewBlock] = []
    stored: list[StoredFile] = []
    pack_nos: list[int] = []
    for number, file_id in file_ids.items():
        parts = chunks_of(number)
        pack_no = packs.add_pending(tx, _pending("data", number, len(parts) * CHUNK_BYTES // 2))
        pack_nos.append(pack_no)
        blocks += [NewBlock(pack_no, block) for block in _blocks(parts)]
        size = len(parts) * CHUNK_BYTES
        recipe = Recipe(next(ids), "data", b"%09d" % number, (), size, parts[0].digest, "gear-1", META, tuple(parts))
        stored.append(StoredFile(file_id, Stored(1, number, size, 1, 1), recipe))
    recipe_pack = packs.add_pending(tx, _pending("recipes", first, 1000))
    digest = stored[0].recipe.digest
    keys = tuple(ChunkPart(Fingerprint(recipe_key(file.recipe.recipe_id)), digest, 40) for file in stored)
    recipe_block = Block(64, 30 * len(keys), 40 * len(keys), "zstd:3", keys, None)
    return StoredBatch(
        op_id=f"migrate:{first}",
        tier=TIER,
        tiers=(TIER,),
        pack_nos=(*pack_nos, recipe_pack),
        blocks=tuple(blocks),
        recipe_blocks=(NewBlock(recipe_pack, recipe_block),),
        files=tuple(stored),
    )


def _pending(kind: str, number: int, size: int) -> PendingPack:
    return PendingPack(f"{kind}/{number:09d}", kind, TIER, "STANDARD", size + 64, 64, "crc64nvme:0", "host:1:boot")


def _blocks(parts: list[ChunkPart]) -> Iterator[Block]:
    offset = 64
    for start in range(0, len(parts), CHUNKS_PER_BLOCK):
        held = tuple(parts[start : start + CHUNKS_PER_BLOCK])
        raw = CHUNK_BYTES * len(held)
        yield Block(offset, raw // 2, raw, "zstd:3", held, None)
        offset += raw // 2


def query(catalog: Catalog, folder: str, files: int, *, lookups: int, phase: str) -> None:
    """Look up that many chunks, known ones from all over the catalog or new ones, as *phase* says."""
    rng = np.random.default_rng(1)
    with open_filter(catalog, folder) as known:
        for _ in range(lookups // AT_ONCE):
            if phase == "known":
                asked = [part.fingerprint for part in chunks_of(int(rng.integers(files)), AT_ONCE)]
            else:
                drawn = rng.bytes(8 * AT_ONCE)
                asked = [Fingerprint(drawn[i : i + 8]) for i in range(0, len(drawn), 8)]
            worth = asked if phase == "unfiltered" else known.may_hold(asked)
            found = {}
            if worth:
                with catalog.read() as tx:
                    found = packs.lookup(tx, worth, [TIER])
            if len(found) != (AT_ONCE if phase == "known" else 0):
                raise SystemExit(f"{len(found)} chunks were found")


def main() -> None:
    """Run every phase in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000_000)
    parser.add_argument("--lookups", type=int, default=200_000)
    parser.add_argument("--catalog", default="", help="database URL; default: SQLite in a folder of its own")
    parser.add_argument("--keep", default="", help="work below this folder and leave everything there")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--phase", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.phase:
        _phase(args)
    elif args.keep:
        os.makedirs(args.keep, exist_ok=True)
        _all(args, args.keep)
    else:
        with tempfile.TemporaryDirectory(prefix="frostline-index-") as folder:
            _all(args, folder)


def _phase(args: argparse.Namespace) -> None:
    catalog = open_catalog(args.catalog, clock=SystemClock(), create=args.phase == "ingest")
    files = args.chunks // CHUNKS_PER_FILE
    if args.phase == "ingest":
        ingest(catalog, files)
    elif args.phase == "filter":
        with open_filter(catalog, args.keep):
            pass
    else:
        query(catalog, args.keep, files, lookups=args.lookups, phase=args.phase)
    catalog.close()


def _all(args: argparse.Namespace, folder: str) -> None:
    url = args.catalog or f"sqlite:///{folder}/catalog.db"
    rows = []
    phases = {
        "ingest": "commit", "filter": "make the filter", "again": "take the filter up", "new": "look up new, filtered",
        "unfiltered": "look up new, by index", "known": "look up known",
    }  # fmt: skip
    for phase, what in phases.items():
        argv = [sys.executable, __file__, "--phase", "filter" if phase == "again" else phase, "--catalog", url]
        argv += ["--chunks", str(args.chunks), "--lookups", str(args.lookups), "--keep", folder]
        with Served(url) as server:
            step = run(what, argv)
        if step.exit_code:
            raise SystemExit(1)
        count = args.lookups if phase in {"new", "unfiltered", "known"} else args.chunks
        size = sum(path.stat().st_size for path in Path(folder).glob("catalog.db*")) / 1e6
        size = (Path(folder) / FILE).stat().st_size / 1e6 if phase in {"filter", "again"} else size
        if url.startswith("postgresql") and phase not in {"filter", "again"}:
            size = server.disk_mb()
        each_us = step.cpu_s / count * 1e6
        mine = (step.wall_s, step.cpu_s, each_us, step.peak_rss_mb, size)
        rows.append(Row(what, count, *mine, server.cpu_s, server.peak_mb))
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    head = f"{'what':<26}{'chunks':>12}{'wall s':>9}{'CPU s':>9}{'us each':>9}{'peak MB':>9}{'disk MB':>9}"
    print(f"{head}{'server CPU s':>14}{'server MB':>11}")
    for row in rows:
        print(
            f"{row.what:<26}{row.chunks:>12,}{row.wall_s:>9.1f}{row.cpu_s:>9.1f}{row.us_per_chunk:>9.2f}"
            f"{row.peak_rss_mb:>9.0f}{row.mb_on_disk:>9.0f}{row.server_cpu_s:>14.1f}{row.server_peak_mb:>11.0f}"
        )


if __name__ == "__main__":
    main()
