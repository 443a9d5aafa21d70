#!/usr/bin/env python3
"""Restores files from a frostline store without frostline: the standard library, zstandard and blake3, nothing else.

    restore.py STORE_DIR OUT_DIR [--list] [--path GLOB] [--missing] [--from-recipes]

STORE_DIR is a store that is a directory, or an S3 bucket (and prefix) copied to one with its keys as paths. Further
stores of one installation (an archive tier) are given with --also. Written from docs/formats.md
alone; every chunk and every whole file is verified, nothing that exists is overwritten. Files land in
OUT_DIR/<root>/<path>.

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
import zlib
from collections import namedtuple
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import zstandard
from blake3 import blake3

HEADER, FOOTER = struct.Struct("<8sHH4x"), struct.Struct("<8sHHIQI32sI")
CHUNK, TRAILER, ENTRY = struct.Struct("<4sIIBx16s32s"), struct.Struct("<4sII"), struct.Struct("<16s32sQIIH")
SEGMENT, RECIPE = struct.Struct("<8sHHIQ32sQQ32s"), struct.Struct("<4sHH16sQ32sIIIqqqIIII")
LENGTH = struct.Struct("<I")
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"


class Damaged(Exception):
    """Bytes are not what the format or a digest says."""


# Where a coded payload stands; one version of one file; a file to restore (its first name is written, the others are
# hard links to it) with the place and digest of its recipe. A part is (length, digest of the chunk), b"" for a hole.
Place = namedtuple("Place", "pack offset stored_len raw_len codec")
Recipe = namedtuple("Recipe", "recipe_id size digest mode owner times stored_ns root path links xattrs parts")
Wanted = namedtuple("Wanted", "root names place digest size")


class Store:
    """Directories that hold the objects of one installation."""

    def __init__(self, folders: list[Path]) -> None:
        """Read from *folders*; an object is taken from the first that has it."""
        self.folders = folders

    def keys(self, prefix: str) -> list[str]:
        """Return the keys below "packs", "recipes" or "segments", sorted."""
        files = ((folder, path) for folder in self.folders for path in (folder / prefix).rglob("*"))
        return sorted({str(path.relative_to(folder)) for folder, path in files if path.is_file()})

    def path(self, key: str) -> Path:
        """Return where the object lies. Raises Damaged if it does not."""
        for folder in self.folders:
            if (folder / key).is_file():
                return folder / key
        raise Damaged(f"the object {key} is not there")

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of an object, shorter only at its end."""
        with self.path(key).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def chunk(self, place: Place, digest: bytes) -> bytes:
        """Return the raw bytes of a payload, decoded and confirmed."""
        raw = decode(place.codec, self.read(place.pack, place.offset, place.stored_len), place.raw_len)
        if blake3(raw).digest() != digest:
            raise Damaged(f"a chunk of {place.pack} at {place.offset} fails its digest")
        return raw


def decode(codec: str, payload: bytes, raw_len: int) -> bytes:
    """Return the raw bytes of a coded payload."""
    if codec == "raw":
        raw = payload
    elif codec.startswith("zstd:"):
        try:
            if zstandard.frame_content_size(payload) != raw_len or raw_len > (len(payload) // 4 + 1) << 17:
                raise Damaged("a zstd frame is not of the length it should be")
            raw = zstandard.ZstdDecompressor().decompress(payload, max_output_size=raw_len)
        except zstandard.ZstdError as error:
            raise Damaged(f"a zstd frame does not decode: {error}") from error
    else:
        raise Damaged(f"codec {codec!r} is not known: use a newer restore.py")
    if len(raw) != raw_len:
        raise Damaged(f"a chunk has {len(raw)} bytes instead of {raw_len}")
    return raw


def pack_entries(store: Store, key: str) -> list[tuple[bytes, bytes, Place]]:
    """Return (fingerprint or recipe id, digest, place) of everything in a pack, by its trailer or else by scanning."""
    try:
        return list(trailer_entries(store, key))
    except (Damaged, struct.error, IndexError, UnicodeDecodeError):
        print(f"{key}: the trailer is damaged; scanning", file=sys.stderr)
        return list(scanned_entries(store, key))


def trailer_entries(store: Store, key: str) -> Iterator[tuple[bytes, bytes, Place]]:
    """Yield the entries that the trailer lists."""
    size = store.path(key).stat().st_size
    end = store.read(key, max(0, size - FOOTER.size), FOOTER.size)
    magic, version, _, count, offset, length, digest, check = FOOTER.unpack(end)
    if magic != b"FRLNFOOT" or version != 1 or zlib.crc32(end[:-4]) != check:
        raise Damaged("footer")
    index = store.read(key, offset, length)
    if blake3(index).digest() != digest:
        raise Damaged("trailer")
    _, _, names_count = TRAILER.unpack_from(index)
    names, at = [], TRAILER.size
    for _ in range(names_count):
        names.append(index[at + 1 : at + 1 + index[at]].decode("ascii"))
        at += 1 + index[at]
    if len(index) - at != count * ENTRY.size:
        raise Damaged("trailer")
    for name, chunk_digest, where, stored_len, raw_len, codec in ENTRY.iter_unpack(index[at:]):
        yield name, chunk_digest, Place(key, where, stored_len, raw_len, names[codec])


def scanned_entries(store: Store, key: str) -> Iterator[tuple[bytes, bytes, Place]]:
    """Yield the entries whose chunk headers are sound. Reads the whole pack into memory (64 MiB as configured)."""
    data = store.path(key).read_bytes()
    at = data.find(b"FLCH")
    while at >= 0:
        following = at + 1
        if len(data) - at >= CHUNK.size:
            _, stored_len, raw_len, name_len, name, digest = CHUNK.unpack_from(data, at)
            end = at + CHUNK.size + name_len
            check = zlib.crc32(struct.pack("<Q", at), zlib.crc32(data[at:end]))
            if data[end : end + 4] == LENGTH.pack(check):
                codec = data[at + CHUNK.size : end].decode("ascii", "replace")
                yield name, digest, Place(key, end + 4, stored_len, raw_len, codec)
                following = end + 4 + stored_len
        at = data.find(b"FLCH", following)


def decode_recipe(data: bytes) -> Recipe:
    """Return the recipe stored as *data*."""
    head = RECIPE.unpack_from(data)
    magic, version, flags, key, size, digest, mode, uid, gid, mtime_ns, atime_ns, stored_ns = head[:12]
    links, xattrs, distinct, sequence_len = head[12:]
    if magic != b"FLRE" or version != 1 or flags > 1:
        raise Damaged("a recipe is of an unknown version: use a newer restore.py")
    at = RECIPE.size

    def take(length: int) -> bytes:
        nonlocal at
        at += length
        if at > len(data):
            raise Damaged("a recipe is cut short")
        return data[at - length : at]

    def text() -> bytes:
        return take(LENGTH.unpack(take(4))[0])

    root, _chunker, _user, _group, path = (text() for _ in range(5))
    link_names = [text() for _ in range(links)]
    attributes = [(text(), text()) for _ in range(xattrs)]
    lengths = struct.unpack(f"<{distinct}I", take(4 * distinct))
    take(16 * distinct)  # the fingerprints find duplicates; restoring needs the digests alone
    chunks = list(zip(lengths, (take(32) for _ in range(distinct)), strict=True))
    if not flags & 1:
        order = struct.unpack(f"<{sequence_len}I", take(4 * sequence_len))
        hole_count = sum(index >= distinct for index in order)
        holes = struct.unpack(f"<{hole_count}Q", take(8 * hole_count))
        chunks = [chunks[index] if index < distinct else (holes[index - distinct], b"") for index in order]
    number = int.from_bytes(key, "big")
    recipe_id = "".join(BASE32[number >> 5 * place & 31] for place in reversed(range(26)))
    status = (size, digest, mode, (uid, gid), (atime_ns, mtime_ns), stored_ns)
    return Recipe(recipe_id, *status, root.decode(), path, link_names, attributes, chunks)


def read_segments(store: Store) -> list[dict[str, object]]:
    """Return the records of the longest unbroken chain of segments, in order; says what it leaves out."""
    followers: dict[bytes, list[tuple[int, bytes, list[str]]]] = {}
    last = 0
    for key in store.keys("segments"):
        data = store.path(key).read_bytes()
        try:
            magic, version, name_len, _, number, prev, raw_len, _, digest = SEGMENT.unpack_from(data)
            start = SEGMENT.size + name_len
            body = decode(data[SEGMENT.size : start].decode("ascii"), data[start:], raw_len)
            if (magic, version) != (b"FRLNSEGM", 1) or blake3(body).digest() != digest:
                raise Damaged("it is of an unknown version or fails its digest")
        except (Damaged, struct.error, UnicodeDecodeError) as error:
            print(f"{key}: left out: {error}", file=sys.stderr)
            continue
        last = max(last, number)
        followers.setdefault(prev, []).append((number, blake3(data).digest(), body.decode().splitlines()))
    best: list[list[str]] = []
    steps: list[tuple[bytes, list[list[str]]]] = [(bytes(32), [])]
    while steps:
        at, chain = steps.pop()
        best = max(best, chain, key=len)
        steps += [(h, [*chain, lines]) for number, h, lines in followers.get(at, []) if number == len(chain) + 1]
    if len(best) < last:
        print(f"segments: the chain breaks after {len(best)} of {last}", file=sys.stderr)
    return [json.loads(line) for lines in best for line in lines]


def wanted_by_segments(store: Store, records: list[dict[str, object]], *, missing: bool) -> list[Wanted]:
    """Return the stored files of the state that *records* lead to."""
    files: dict[tuple[str, str], dict[str, object]] = {}
    recipes: dict[str, dict[str, object]] = {}
    for record in records:
        kind = record["record"]
        if kind == "recipe":
            recipes[str(record["recipe"])] = record
        elif kind == "file":
            files[str(record["root"]), str(record["path"])] = record
        elif kind == "file_gone":
            files.pop((str(record["root"]), str(record["path"])), None)
    found: dict[tuple[str, str], Wanted] = {}
    for (root, path), record in files.items():
        if record["recipe"] is None or (record["state"] == "missing" and not missing):
            continue
        leader = record["leader"] if record["leader"] is not None else path
        leading = files.get((root, str(leader)))
        if leading is None or leading["recipe"] != record["recipe"]:
            leader = path  # the leader has gone its own way
        known = recipes.get(str(record["recipe"]))
        if known is None:
            print(f"{root}/{path!a}: no segment says where its recipe is; try --from-recipes", file=sys.stderr)
            continue
        numbers = [int(str(known[name])) for name in ("offset", "stored_len", "raw_len")]
        place = Place(str(known["pack"]), numbers[0], numbers[1], numbers[2], str(known["codec"]))
        digest = bytes.fromhex(str(known["recipe_digest"]))
        wanted = found.setdefault((root, str(leader)), Wanted(root, [], place, digest, int(str(known["size"]))))
        wanted.names.insert(0 if leader == path else len(wanted.names), os.fsencode(path))
    return list(found.values())


def wanted_by_recipes(store: Store) -> list[Wanted]:
    """Return the newest version of every path that any recipe names."""
    newest: dict[tuple[str, bytes], tuple[int, Wanted]] = {}
    for key in store.keys("recipes"):
        for _, digest, place in pack_entries(store, key):
            try:
                recipe = decode_recipe(store.chunk(place, digest))
            except Damaged as error:
                print(f"{key}: {error}", file=sys.stderr)
                continue
            known = newest.get((recipe.root, recipe.path))
            if known is None or known[0] < recipe.stored_ns:
                names = [recipe.path, *recipe.links]
                wanted = Wanted(recipe.root, names, place, digest, recipe.size)
                newest[recipe.root, recipe.path] = (recipe.stored_ns, wanted)
    return [wanted for _, wanted in newest.values()]


class ChunkIndex:
    """Where every chunk stands, in a temporary SQLite file: a store may hold more chunks than memory does."""

    def __init__(self, store: Store, folder: str) -> None:
        """Read the trailers of all data packs; the index lies in *folder*."""
        self.store = store
        self.db = sqlite3.connect(os.path.join(folder, "chunks.db"), isolation_level=None)
        self.db.execute("PRAGMA journal_mode = OFF")
        self.db.execute("CREATE TABLE chunks (digest, pack, offset, stored_len, raw_len, codec)")
        self.db.execute("BEGIN")
        for key in store.keys("packs"):
            rows = [(digest, *place) for _, digest, place in pack_entries(store, key)]
            self.db.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?)", rows)
        self.db.execute("CREATE INDEX by_digest ON chunks (digest)")
        self.db.execute("COMMIT")

    def raw(self, digest: bytes) -> bytes:
        """Return a chunk, from whichever copy is sound. Raises Damaged."""
        problem = Damaged(f"chunk {digest.hex()[:16]} is in no pack")
        query = "SELECT pack, offset, stored_len, raw_len, codec FROM chunks WHERE digest = ?"
        for row in self.db.execute(query, (digest,)).fetchall():
            try:
                return self.store.chunk(Place(*row), digest)
            except (Damaged, OSError) as error:
                problem = Damaged(str(error))
        raise problem


def restore(wanted: Wanted, index: ChunkIndex, out: bytes) -> None:
    """Write one file and its further names below *out*. Raises Damaged or OSError, having left no half file."""
    recipe = decode_recipe(index.store.chunk(wanted.place, wanted.digest))
    target = place_below(out, wanted.root, wanted.names[0])
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.lexists(target):
        raise FileExistsError("there is something already")
    half = os.path.join(os.path.dirname(target), b".restoring-" + recipe.recipe_id.encode())
    try:
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            write_content(file, recipe, index)
            apply_meta(file.fileno(), recipe, target)
        os.rename(half, target)
    finally:
        if os.path.lexists(half):
            os.unlink(half)
    for name in wanted.names[1:]:
        link = place_below(out, wanted.root, name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.link(target, link)


def write_content(file: BinaryIO, recipe: Recipe, index: ChunkIndex) -> None:
    """Write the parts, leaving holes, and verify the whole against the recipe."""
    whole, zeros = blake3(), bytes(1 << 20)
    for length, digest in recipe.parts:
        if digest:
            raw = index.raw(digest)
            file.write(raw)
            whole.update(raw)
            if len(raw) != length:
                raise Damaged("a chunk is not as long as the recipe says")
        else:
            file.seek(length, os.SEEK_CUR)
            for start in range(0, length, len(zeros)):
                whole.update(zeros[: min(len(zeros), length - start)])
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
            print(f"{os.fsdecode(target)}: {what} not put back: {error.strerror}", file=sys.stderr)


def place_below(out: bytes, root: str, path: bytes) -> bytes:
    """Return OUT/root/path. Raises Damaged for a name that would lead out of it."""
    parts = [root.encode(), *path.split(b"/")]
    if any(part in {b"", b".", b".."} or b"\0" in part for part in parts) or b"/" in parts[0]:
        raise Damaged(f"a recipe names the impossible path {path!r}")
    return os.path.join(out, *parts)


def select(options: argparse.Namespace, store: Store) -> list[Wanted]:
    """Return what the command line asks for."""
    records = [] if options.from_recipes else read_segments(store)
    found = wanted_by_segments(store, records, missing=options.missing) if records else wanted_by_recipes(store)
    if options.path:
        pattern = os.fsencode(options.path)
        found = [wanted for wanted in found if any(fnmatch.fnmatchcase(name, pattern) for name in wanted.names)]
    return sorted(found, key=lambda wanted: (wanted.place.pack, wanted.place.offset))


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
    store = Store([options.store, *options.also])
    found = select(options, store)
    if options.list:
        for wanted in found:
            for name in wanted.names:
                print(f"{wanted.size:>15} {wanted.root}/{os.fsdecode(name)}".encode(errors="replace").decode())
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory(dir=options.out, prefix=".restore-") as folder:
        index = ChunkIndex(store, folder)
        for wanted in found:
            try:
                restore(wanted, index, os.fsencode(options.out))
            except (Damaged, OSError) as error:
                failed += 1
                print(f"{wanted.root}/{os.fsdecode(wanted.names[0])!a}: not restored: {error}", file=sys.stderr)
        index.db.close()
    print(f"{len(found) - failed} files restored, {failed} not")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
