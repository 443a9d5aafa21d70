#!/usr/bin/env python3
"""Restores files from a frostline store without frostline: the standard library, zstandard, blake3 and numpy alone.

    restore.py STORE_DIR OUT_DIR [--list] [--path GLOB] [--missing] [--from-recipes]

STORE_DIR is a store that is a directory, or an S3 bucket (and prefix) copied to one with its keys as paths. Further
stores of one installation (an archive tier) are given with --also. Written from docs/formats.md and the pages it names
alone; every chunk and every whole file is verified, nothing that exists is overwritten. Files land in
OUT_DIR/<root>/<path>. restore_formats.py and restore_codecs.py belong beside this file.

Which files: those of the newest state that the segments tell. Without segments, or with --from-recipes, the newest
version of every path that any recipe names. Exit code: 0 all restored, 1 some were not (each is named).
"""

import argparse
import fnmatch
import json
import os
import sqlite3
import struct
import sys
import tempfile
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3
from restore_codecs import Damaged, rewrap
from restore_formats import Block, Place, Recipe, Store, decode_recipe, pieces, read_pack, read_segment, recipe_text

DEEPEST = 6  # bases below a chunk
HELD_BLOCKS = 16  # decoded, of at most 4 MiB each but for long recipes: neighbours in a file share blocks
UNREADABLE = (Damaged, OSError, struct.error, IndexError, ValueError, StopIteration)

# A file to restore: its first name is written, the others are hard links to it.
Wanted = namedtuple("Wanted", "root names recipe_id")


class Index:
    """Where every chunk and recipe stands, in a temporary SQLite file: a store may hold more than memory does."""

    def __init__(self, store: Store, folder: str) -> None:
        """Read the trailers of all packs; the index lies in *folder*."""
        self.store = store
        self.held: OrderedDict[int, bytes] = OrderedDict()
        self.db = sqlite3.connect(os.path.join(folder, "index.db"), isolation_level=None)
        self.db.execute("PRAGMA journal_mode = OFF")
        self.db.execute("CREATE TABLE blocks (no INTEGER PRIMARY KEY, pack, offset, stored_len, raw_len, codec, base)")
        self.db.execute("CREATE TABLE chunks (digest, block, inner, length)")
        self.db.execute("CREATE TABLE recipes (id, pack, number, block, inner, length, digest)")
        self.db.execute("CREATE INDEX by_digest ON chunks (digest)")
        self.db.execute("BEGIN")
        for key in store.keys("recipes"):
            self.add_recipes(key)
        waiting = [block for key in store.keys("packs") for block in self.add_chunks(read_pack(store, key))]
        while waiting and len(still := self.add_chunks(waiting)) < len(waiting):
            waiting = still  # a block without names is named by decoding it, which may need another one's chunk
        self.db.execute("CREATE INDEX by_id ON recipes (id)")
        self.db.execute("CREATE INDEX by_place ON recipes (pack, number)")
        self.db.execute("COMMIT")

    def add_chunks(self, blocks: list[Block]) -> list[Block]:
        """Take blocks of chunks in; return those that have no names and cannot be given any yet."""
        left = []
        for block in blocks:
            digests = block.digests
            if not digests:
                try:
                    raw = self.store.open_block(block.place, self.base_of(block.place, 0))
                    digests = [blake3(piece).digest() for piece in pieces(raw, block.lengths)]
                except UNREADABLE:
                    left.append(block)
                    continue
            number, inner = self.add_block(block.place), 0
            for digest, length in zip(digests, block.lengths, strict=True):
                self.db.execute("INSERT INTO chunks VALUES (?, ?, ?, ?)", (digest, number, inner, length))
                inner += length
        return left

    def add_recipes(self, key: str) -> None:
        """Take the recipes of a pack in."""
        for block in read_pack(self.store, key):
            names, digests = block.names, block.digests
            if not digests:
                try:
                    raw = self.store.open_block(block.place)
                except UNREADABLE as error:
                    print(f"{key}: {error}", file=sys.stderr)
                    continue
                names = [piece[6:22] for piece in pieces(raw, block.lengths)]
                digests = [blake3(raw).digest()] * len(names)
            number, inner, place_in_pack = self.add_block(block.place), 0, block.first
            for name, digest, length in zip(names, digests, block.lengths, strict=True):
                row = (recipe_text(name), key, place_in_pack, number, inner, length, digest)
                self.db.execute("INSERT INTO recipes VALUES (?, ?, ?, ?, ?, ?, ?)", row)
                place_in_pack, inner = place_in_pack + 1, inner + length

    def add_block(self, place: Place) -> int:
        """Take a block in; return its number."""
        return int(self.db.execute("INSERT INTO blocks VALUES (NULL, ?, ?, ?, ?, ?, ?)", place).lastrowid or 0)

    def opened(self, number: int, depth: int) -> bytes:
        """Return a decoded block, unconfirmed."""
        if number not in self.held:
            query = "SELECT pack, offset, stored_len, raw_len, codec, base FROM blocks WHERE no = ?"
            place = Place(*self.db.execute(query, (number,)).fetchone())
            self.held[number] = self.store.open_block(place, self.base_of(place, depth))
            if len(self.held) > HELD_BLOCKS:
                self.held.popitem(last=False)
        self.held.move_to_end(number)
        return self.held[number]

    def base_of(self, place: Place, depth: int) -> bytes:
        """Return the raw bytes of a block's base; none, if it needs none."""
        if place.base and depth >= DEEPEST:
            raise Damaged("a chunk is coded against too long a chain of others")
        return self.raw(place.base, depth + 1) if place.base else b""

    def raw(self, digest: bytes, depth: int = 0) -> bytes:
        """Return a chunk, from whichever copy is sound. Raises Damaged."""
        problem = Damaged(f"chunk {digest.hex()[:16]} is in no pack")
        query = "SELECT block, inner, length FROM chunks WHERE digest = ?"
        for number, inner, length in self.db.execute(query, (digest,)).fetchall():
            try:
                raw = self.opened(number, depth)[inner : inner + length]
                if blake3(raw).digest() == digest:
                    return raw
                problem = Damaged(f"chunk {digest.hex()[:16]} fails its digest")
            except UNREADABLE as error:
                problem = Damaged(str(error))
        raise problem

    def recipe(self, recipe_id: str) -> Recipe:
        """Return a recipe, from whichever copy is sound. Raises Damaged."""
        problem = Damaged(f"recipe {recipe_id} is in no pack")
        query = "SELECT block, inner, length, digest FROM recipes WHERE id = ?"
        for number, inner, length, digest in self.db.execute(query, (recipe_id,)).fetchall():
            try:
                raw = self.opened(number, 0)
                if blake3(raw).digest() == digest:
                    return decode_recipe(raw[inner : inner + length])
                problem = Damaged(f"recipe {recipe_id} fails its digest")
            except UNREADABLE as error:
                problem = Damaged(str(error))
        raise problem

    def recipe_ids(self, record: dict[str, object]) -> list[str]:
        """Return the recipes that a record of segments names: by their ids, or by runs of places in their pack."""
        if "ids" in record:
            return list(record["ids"])  # type: ignore[call-overload]
        query = "SELECT id FROM recipes WHERE pack = ? AND number >= ? AND number < ? ORDER BY number"
        runs = [(record["pack"], first, first + count) for first, count in record["recipes"]]  # type: ignore[attr-defined]
        return [row[0] for run in runs for row in self.db.execute(query, run)]

    def all_recipes(self) -> Iterator[Recipe]:
        """Yield every sound recipe; says which are not."""
        for (recipe_id,) in self.db.execute("SELECT DISTINCT id FROM recipes").fetchall():
            try:
                yield self.recipe(recipe_id)
            except Damaged as error:
                print(error, file=sys.stderr)


def read_segments(store: Store) -> list[dict[str, object]]:
    """Return the records of the longest unbroken chain of segments, in order; says what it leaves out."""
    followers: dict[bytes, list[tuple[int, bytes, list[str]]]] = {}
    last = 0
    for key in store.keys("segments"):
        try:
            number, before, own, lines = read_segment(store.path(key).read_bytes())
        except UNREADABLE as error:
            print(f"{key}: left out: {error}", file=sys.stderr)
            continue
        last = max(last, number)
        followers.setdefault(before, []).append((number, own, lines))
    best: list[list[str]] = []
    steps: list[tuple[bytes, list[list[str]]]] = [(bytes(32), [])]
    while steps:
        at, chain = steps.pop()
        best = max(best, chain, key=len)
        steps += [(own, [*chain, lines]) for number, own, lines in followers.get(at, []) if number == len(chain) + 1]
    if len(best) < last:
        print(f"segments: the chain breaks after {len(best)} of {last}", file=sys.stderr)
    return [json.loads(line) for lines in best for line in lines]


def current_files(index: Index, records: list[dict[str, object]]) -> dict[tuple[str, str], dict[str, object]]:
    """Return (root, path) -> what the records last say of it: recipe, state, leader."""
    files: dict[tuple[str, str], dict[str, object]] = {}
    for record in records:
        kind = record["record"]
        at = (str(record.get("root")), str(record.get("path")))
        if kind == "stored":
            for recipe_id in index.recipe_ids(record):
                try:
                    recipe = index.recipe(recipe_id)
                except Damaged as error:
                    print(f"{error}; the file that it describes is left out", file=sys.stderr)
                    continue
                said = {"recipe": recipe_id, "state": "dual", "leader": None}
                files[recipe.root, os.fsdecode(recipe.path)] = said
        elif kind == "file":
            files[at] = record
        elif kind == "file_changed" and at in files:
            files[at] = files[at] | record
        elif kind == "file_gone":
            files.pop(at, None)
    return files


def wanted_by_segments(index: Index, records: list[dict[str, object]], *, missing: bool) -> list[Wanted]:
    """Return the stored files of the state that *records* lead to."""
    files = current_files(index, records)
    found: dict[tuple[str, str], Wanted] = {}
    for (root, path), record in files.items():
        if record["recipe"] is None or (record["state"] == "missing" and not missing):
            continue
        leader = record["leader"] if record["leader"] is not None else path
        leading = files.get((root, str(leader)))
        if leading is None or leading["recipe"] != record["recipe"]:
            leader = path  # the leader has gone its own way
        wanted = found.setdefault((root, str(leader)), Wanted(root, [], str(record["recipe"])))
        wanted.names.insert(0 if leader == path else len(wanted.names), os.fsencode(path))
    return list(found.values())


def wanted_by_recipes(index: Index) -> list[Wanted]:
    """Return the newest version of every path that any recipe names."""
    newest: dict[tuple[str, bytes], tuple[int, Wanted]] = {}
    for recipe in index.all_recipes():
        known = newest.get((recipe.root, recipe.path))
        if known is None or known[0] < recipe.stored_ns:
            wanted = Wanted(recipe.root, [recipe.path, *recipe.links], recipe.recipe_id)
            newest[recipe.root, recipe.path] = (recipe.stored_ns, wanted)
    return [wanted for _, wanted in newest.values()]


def restore(wanted: Wanted, index: Index, out: bytes) -> None:
    """Write one file and its further names below *out*. Raises Damaged or OSError, having left no half file."""
    recipe = index.recipe(wanted.recipe_id)
    places = [parts_below(wanted.root, name) for name in wanted.names]
    half = b".restoring-" + recipe.recipe_id.encode()
    with folder_of(out, places[0]) as (folder, name):
        if stands(folder, name):
            raise FileExistsError("there is something already")
        try:
            with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=folder), "wb") as file:
                write_content(file, recipe, index)
                apply_meta(file.fileno(), recipe, wanted.names[0])
            os.rename(half, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            if stands(folder, half):
                os.unlink(half, dir_fd=folder)
        for place in places[1:]:
            with folder_of(out, place) as (other, link):
                os.link(name, link, src_dir_fd=folder, dst_dir_fd=other)


@contextmanager
def folder_of(out: bytes, parts: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """Hold the folder of a file below *out* open, made where it is not there; give its descriptor and the file's name.

    Step by step: a tree may be deeper than a path may be long.
    """
    fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=fd)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd, parts[-1]
    finally:
        os.close(fd)


def stands(folder: int, name: bytes) -> bool:
    """Return whether anything has that name, a dangling link too."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def write_content(file: BinaryIO, recipe: Recipe, index: Index) -> None:
    """Write the parts, leaving holes, and verify the whole against the recipe."""
    whole, zeros = blake3(), bytes(1 << 20)
    for length, source, *inner in recipe.parts:
        if not source:
            file.seek(length, os.SEEK_CUR)
            for start in range(0, length, len(zeros)):
                whole.update(zeros[: min(len(zeros), length - start)])
            continue
        if inner:
            data = rewrap(source, b"".join(index.raw(digest) for _, digest in inner[0]), length)
        else:
            data = index.raw(source)
        file.write(data)
        whole.update(data)
        if len(data) != length:
            raise Damaged("a part is not as long as the recipe says")
    file.truncate(recipe.size)
    file.flush()
    if whole.digest() != recipe.digest:
        raise Damaged("the whole file fails its digest")


def apply_meta(fd: int, recipe: Recipe, target: bytes) -> None:
    """Put owner, attributes, mode and times back; what this user may not is said and left out."""
    steps: list[tuple[str, Callable[[], None]]] = [("owner", lambda: os.fchown(fd, *recipe.owner))]
    steps += [(f"attribute {os.fsdecode(n)}", partial(os.setxattr, fd, n, v)) for n, v in recipe.xattrs]
    steps.append(("mode", lambda: os.fchmod(fd, recipe.mode & 0o7777)))
    steps.append(("times", lambda: os.utime(fd, ns=recipe.times)))
    for what, step in steps:
        try:
            step()
        except OSError as error:
            print(f"{os.fsdecode(target)!a}: {what} not put back: {error.strerror}", file=sys.stderr)


def parts_below(root: str, path: bytes) -> list[bytes]:
    """Return root/path in parts. Raises Damaged for a name that would lead out of a folder."""
    parts = [root.encode(), *path.split(b"/")]
    if any(part in {b"", b".", b".."} or b"\0" in part for part in parts) or b"/" in parts[0]:
        raise Damaged(f"a recipe names the impossible path {path!r}")
    return parts


def select(options: argparse.Namespace, index: Index) -> list[Wanted]:
    """Return what the command line asks for."""
    records = [] if options.from_recipes else read_segments(index.store)
    found = wanted_by_segments(index, records, missing=options.missing) if records else wanted_by_recipes(index)
    if options.path:
        pattern = os.fsencode(options.path)
        found = [wanted for wanted in found if any(fnmatch.fnmatchcase(name, pattern) for name in wanted.names)]
    return found


def show(found: list[Wanted], index: Index) -> None:
    """Name the files and their sizes."""
    for wanted in found:
        size = index.recipe(wanted.recipe_id).size
        for name in wanted.names:
            print(f"{size:>15} {wanted.root}/{os.fsdecode(name)}".encode(errors="replace").decode())


def restore_all(found: list[Wanted], index: Index, out: Path) -> int:
    """Restore what can be; say what cannot and how much that is; return the exit code."""
    failed = 0
    for wanted in found:
        try:
            restore(wanted, index, os.fsencode(out))
        except UNREADABLE as error:
            failed += 1
            print(f"{wanted.root}/{os.fsdecode(wanted.names[0])!a}: not restored: {error}", file=sys.stderr)
    print(f"{len(found) - failed} files restored, {failed} not")
    return 1 if failed or not found else 0


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="directory with packs/, recipes/ and segments/")
    parser.add_argument("out", type=Path, help="directory to restore into; made if it is not there")
    parser.add_argument("--also", type=Path, action="append", default=[], help="another store of the installation")
    parser.add_argument("--path", help="only files whose path below the root matches this pattern")
    parser.add_argument("--list", action="store_true", help="name the files and their sizes, restore nothing")
    parser.add_argument("--missing", action="store_true", help="also files that had disappeared from their root")
    parser.add_argument("--from-recipes", action="store_true", help="do not ask the segments")
    options = parser.parse_args()
    if not options.list:
        options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=None if options.list else options.out, prefix=".restore-") as folder:
        index = Index(Store([options.store, *options.also]), folder)
        found = select(options, index)
        code = 0
        if options.list:
            show(found, index)
        else:
            code = restore_all(found, index, options.out)
        index.db.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
