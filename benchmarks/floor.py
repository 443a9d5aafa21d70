"""The least that an ingest made of frostline's libraries can cost on a tree: each step alone, with nothing around it.

    python benchmarks/floor.py [--gb 4] [--files 44000] [--tools frostline,restic,borg] [--effort fast] [--json]

One thread does in turn, to the same bytes, what no ingest with these promises can leave out: list, read each file once,
digest it, cut and name what is no copy of a whole file, code what is new, decode it once, write and flush packs, put
bare rows into SQLite. What holds it together (formats, claims, recipes, segments, reading back) is not in it. Then two
processes do half of that each, at once: what two cores need for it, with no lock between them. Below stand whole runs
of tools.
"""

import argparse
import json
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from bisect import bisect
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from measured import Step, built, print_place, run, tools, tree_options, warm

from dedup.buffers import thread_buffer
from dedup.chunkers import chunker_for, resolve_chunker
from dedup.codecs import decode, encode
from dedup.fingerprint import Buffer, digest, fingerprint, fingerprint_number
from tiering.direct import Appender
from tiering.hot import native_reads

BLOCK_BYTES = 1 << 20
ALONE_BYTES = 64 << 10  # what is new in a longer file shares no block with others
ASKED = {"restic": 2.5, "borg zstd,1": 1.3}  # times a tool's MB per CPU-second, of an ingest
ASKED_WALL = 2.5  # times as fast as a tool, by wall time
CODING = "coding what is new"
START = ("-m", "tiering.cli", "migrate", "--help")  # loads all that a migrate does
SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8192;
CREATE TABLE files (no INTEGER PRIMARY KEY, dir BLOB, name BLOB, size, mtime, ctime, dev, ino, UNIQUE (dir, name));
CREATE TABLE recipes (no INTEGER PRIMARY KEY, digest BLOB, size INTEGER, block_no INTEGER);
CREATE TABLE chunks (no INTEGER PRIMARY KEY, fingerprint INTEGER, digest BLOB, block_no INTEGER, length INTEGER);
CREATE INDEX found ON chunks (fingerprint);
CREATE TABLE refs (recipe_no INTEGER, chunk_no INTEGER, PRIMARY KEY (recipe_no, chunk_no)) WITHOUT ROWID;
"""
COLUMNS = {"files": 8, "recipes": 4, "chunks": 5, "refs": 2}


class Floor:
    """One pass over a tree; what it writes stands below *base*."""

    def __init__(self, base: Path) -> None:
        """Make the folder *base*, the database, and the packs, which are one file flushed now and then."""
        base.mkdir()
        self.database = sqlite3.connect(base / "floor.db", isolation_level=None)
        self.database.executescript(SCHEMA)
        self.pack = os.open(base / "packs", os.O_RDWR | os.O_CREAT)
        self.appender = Appender(self.pack, ThreadPoolExecutor(1))  # past the page cache, a block behind
        self.files = self.blocks = 0
        self.spent: dict[str, Step] = {}
        self.known: dict[bytes, int] = {}  # digest -> number of the chunk
        self.cut: dict[bytes, list[bytes]] = {}  # digest of a longer file -> those of its chunks
        self.rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in COLUMNS}
        self.held: list[Buffer] = []
        self.upto: list[float] = []  # CPU-seconds of the process before each folder

    @contextmanager
    def step(self, name: str, sign: int = 1) -> Iterator[None]:
        """Add the block to the step *name*; take it off again with *sign* -1."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        yield
        wall_s, cpu_s = sign * (time.perf_counter() - wall_s), sign * (time.process_time() - cpu_s)
        before = self.spent.get(name, Step(name, 0.0, 0.0, 0.0, 0))
        self.spent[name] = Step(name, before.wall_s + wall_s, before.cpu_s + cpu_s, 0.0, 0)

    def take(self, folders: Sequence[bytes]) -> list[Step]:
        """Do all of it for the files of *folders*; return what each step took."""
        for folder in folders:
            self.upto.append(time.process_time())
            with self.step("listing"), os.scandir(folder) as entries:
                files = [(entry.name, entry.stat()) for entry in entries if entry.is_file(follow_symlinks=False)]
            if files:
                self.read(folder, sorted(files))
            if len(self.rows["files"]) >= 4000:  # a batch
                self.commit()
        self.code(self.held)
        with self.step("writing packs"):
            self.appender.finish()
            os.fsync(self.pack)
        self.commit()
        self.database.close()
        os.close(self.pack)
        return list(self.spent.values())

    def read(self, folder: bytes, files: list[tuple[bytes, os.stat_result]]) -> None:
        """Read the files of a folder, and name what is in them."""
        sizes = [status.st_size for _, status in files]
        keys = [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for _, s in files]
        buffer = thread_buffer(sum(sizes))
        with self.step("reading"):
            fd = os.open(folder, os.O_RDONLY)
            seen = native_reads.read_all(fd, [name for name, _ in files], np.array(keys, np.int64), buffer)
            os.close(fd)
        if not seen[:, 0].all():
            raise SystemExit("the tree has files that are not ordinary")
        for (name, status), end in zip(files, np.cumsum(sizes).tolist(), strict=True):
            self.name(folder, name, status, buffer[end - status.st_size : end])

    def name(self, folder: bytes, name: bytes, s: os.stat_result, view: memoryview) -> None:
        """Cut and name a file, unless it is a copy of one that was, and gather what is new."""
        if len(view) > ALONE_BYTES:
            with self.step("BLAKE3 of longer files"):
                whole = digest(view)
            if whole not in self.cut:
                self.cut[whole] = self.pieces(view)
            names = self.cut[whole]
        else:
            names = self.pieces(view)
        self.files += 1
        self.rows["files"].append(
            (self.files, folder, name, len(view), s.st_mtime_ns, s.st_ctime_ns, s.st_dev, s.st_ino)
        )
        self.rows["recipes"].append((self.files, names[0], len(view), self.blocks))
        self.rows["refs"].extend((self.files, chunk) for chunk in {self.known[key] for key in names})

    def pieces(self, view: memoryview) -> list[bytes]:
        """Return the digests of a file's chunks, those that are new gathered."""
        with self.step("cuts and fingerprints"):
            ends = resolve_chunker(chunker_for(len(view))).cuts(view, final=True)
            pieces = [view[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
            prints = [fingerprint_number(fingerprint(piece)) for piece in pieces]
        with self.step("BLAKE3 of chunks"):
            names = [digest(piece) for piece in pieces]
        new: list[Buffer] = []
        for piece, number, key in zip(pieces, prints, names, strict=True):
            if key not in self.known:
                self.rows["chunks"].append((len(self.known), number, key, self.blocks, len(piece)))
                new.append(piece if len(view) > ALONE_BYTES else bytes(piece))  # what waits outlives the buffer
                self.known[key] = len(self.known)
        if len(view) > ALONE_BYTES:
            self.code(new)
        else:
            self.held += new
        if sum(map(len, self.held)) >= BLOCK_BYTES:
            self.code(self.held)
            self.held = []
        return list(names)

    def code(self, pieces: list[Buffer]) -> None:
        """Code what is new in blocks, decode them, and write them."""
        raw = b"".join(pieces)
        for start in range(0, len(raw), BLOCK_BYTES):
            block = raw[start : start + BLOCK_BYTES]
            with self.step(CODING):
                coded = encode(block, effort="fast")
            with self.step("decoding that once"), self.step(CODING, -1):  # encode() did the same
                decode(coded.codec, coded.payload, len(block))
            with self.step("writing packs"):
                self.appender.write(coded.payload)
                self.blocks += 1
                if self.blocks % 128 == 0:  # a pack
                    os.fsync(self.pack)

    def commit(self) -> None:
        """Put the rows of the files so far into the database, durably."""
        with self.step("rows into SQLite"):
            self.database.execute("BEGIN IMMEDIATE")
            for name, rows in self.rows.items():
                self.database.executemany(f"INSERT INTO {name} VALUES (?{', ?' * (COLUMNS[name] - 1)})", rows)  # noqa: S608
                rows.clear()
            self.database.execute("COMMIT")


def at_once(base: Path, folders: Sequence[bytes], half: int) -> Step:
    """Return what two processes take that do the folders before and from *half* on, without their start. What the first
    half holds is known to the second one, as it is in one pass.
    """
    before = Floor(base / "before")
    before.take(folders[:half])
    jobs = [
        Job(base / "first", folders[:half], {}, {}),
        Job(base / "second", folders[half:], before.known, before.cut),
    ]
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(len(jobs) + 1)
    children = [context.Process(target=work, args=(job, ready)) for job in jobs]
    for child in children:
        child.start()
    ready.wait()
    started_s = time.perf_counter()
    ready.wait()
    wall_s = time.perf_counter() - started_s
    for child in children:
        child.join()
    cpu_s = sum(float((job.base / "cpu").read_text()) for job in jobs)
    return Step("the same by two processes", wall_s, cpu_s, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Job:
    """A part of a tree, and what is known of the part before."""

    base: Path
    folders: Sequence[bytes]
    known: dict[bytes, int]
    cut: dict[bytes, list[bytes]]


def work(job: Job, ready: Barrier) -> None:
    """Do a job in a process of its own once all are *ready*, and wait for them; leave its CPU-seconds in the folder."""
    floor = Floor(job.base)
    floor.known, floor.cut = job.known, job.cut
    ready.wait()
    began_s = time.process_time()
    floor.take(job.folders)
    spent_s = time.process_time() - began_s
    ready.wait()
    (job.base / "cpu").write_text(str(spent_s))


def _sum(name: str, steps: Sequence[Step]) -> Step:
    return Step(name, sum(step.wall_s for step in steps), sum(step.cpu_s for step in steps), 0.0, 0)


def measure(args: argparse.Namespace, base: Path) -> dict[str, list[Step]]:
    """Build the tree; return the steps of the floor, and as whole runs their sum and every tool."""
    tree = base / "tree"
    built(tree, args)
    folders = [folder for folder, _, _ in os.walk(os.fsencode(tree))]
    floor = Floor(base / "one")
    steps = [run("starting Python", [sys.executable, *START]), *floor.take(folders)]
    half = bisect(floor.upto, (floor.upto[0] + time.process_time()) / 2)
    runs = [_sum("floor", steps), at_once(base, folders, half)]
    for tool in tools(args, base, tree):
        tool.prepare()
        os.sync()  # nobody pays for another's dirty pages
        warm(tree)
        runs.append(_sum(tool.name, tool.ingest()))
        (tree / ".frostline-root").unlink(missing_ok=True)
    return {"steps": steps, "runs": runs}


def print_steps(steps: list[Step], runs: list[Step]) -> None:
    """Print the steps, their sum, the tools, and how much of what is asked the floor takes alone."""
    print(f"{'':<28}{'wall s':>8}{'CPU s':>8}")
    for step in (*steps, *runs):
        print(f"{step.name:<28}{step.wall_s:>8.2f}{step.cpu_s:>8.2f}")
    floor, apart, *others = runs
    least_s, least_cpu_s = steps[0].wall_s + apart.wall_s, steps[0].cpu_s + apart.cpu_s
    for step in others:
        if step.name in ASKED:
            asked_s = step.cpu_s / ASKED[step.name]
            said = f"the floor is {floor.cpu_s / asked_s:.0%} of that, by two at once {least_cpu_s / asked_s:.0%}"
            print(f"{ASKED[step.name]} times {step.name}: {asked_s:.1f} CPU-seconds; {said}")
        if not step.name.startswith("frostline"):
            asked_s = step.wall_s / ASKED_WALL
            said = f"starting and two processes at once take {least_s / asked_s:.0%} of that"
            print(f"{ASKED_WALL} times as fast as {step.name}: {asked_s:.1f} s; {said}")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tree_options(parser)
    parser.set_defaults(tools="restic,borg", effort="fast")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frostline-floor-") as base:
        found = measure(args, Path(base))
    if args.json:
        print(json.dumps(found, default=asdict, indent=2))
    else:
        print_steps(**found)
        print_place()


if __name__ == "__main__":
    main()
