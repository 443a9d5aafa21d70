"""Packs, recipes and segments as docs/formats.md describes them; restore.py builds on it. Nothing of frostline's own.

Every length is held against the bytes at hand; what is not as the document says raises Damaged (or struct.error,
IndexError, UnicodeDecodeError, which mean the same).
"""

import struct
import sys
import zlib
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3
from restore_codecs import Damaged, decode

FOOTER, TRAILER = struct.Struct("<8sHHIQI32sI"), struct.Struct("<4sIIII")
BLOCK, SEGMENT = struct.Struct("<4sIIIIIBBH"), struct.Struct("<8sHHIQ32sQQ32s")
RECIPE = struct.Struct("<4sBB16sq")
BASE32 = "0123456789abcdefghjkmnpqrstvwxyz"
SINGLE, STRAIGHT = 2, 1

# Where a coded block stands, and the digest of its base (b"" for none). A block and what is in it: names are recipe ids
# (in a recipe pack); digests are missing while nobody has decoded a block of a pack without its trailer. One version of
# one file: a part is (length, digest of the chunk), (length, b"") for a hole, or (length, wrapper, inner parts).
Place = namedtuple("Place", "pack offset stored_len raw_len codec base")
Block = namedtuple("Block", "place first lengths names digests")
Recipe = namedtuple("Recipe", "recipe_id size digest mode owner times stored_ns root path links xattrs parts")


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

    def open_block(self, place: Place, base: bytes = b"") -> bytes:
        """Return the decoded bytes of a block; nothing has confirmed them yet."""
        return decode(place.codec, self.read(place.pack, place.offset, place.stored_len), place.raw_len, base)


class Reader:
    """Takes pieces off some bytes."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        """Begin at *at*."""
        self.data, self.at = data, at

    def take(self, length: int) -> bytes:
        """Return the next *length* bytes."""
        if length > len(self.data) - self.at:
            raise Damaged("something is cut short")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self) -> int:
        """Return the next LEB128 number."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def numbers(self, count: int) -> list[int]:
        """Return the next *count* numbers."""
        if count > len(self.data) - self.at:
            raise Damaged("something is cut short")
        return [self.number() for _ in range(count)]

    def signed(self) -> int:
        """Return the next signed number."""
        value = self.number()
        return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)

    def text(self) -> bytes:
        """Return the next text."""
        return self.take(self.number())


def read_pack(store: Store, key: str) -> list[Block]:
    """Return what is in a pack, by its trailer or else by scanning: then the blocks have no digests and names yet."""
    try:
        return list(trailer_blocks(store, key))
    except (Damaged, struct.error, IndexError, UnicodeDecodeError):
        print(f"{key}: the trailer is damaged; scanning", file=sys.stderr)
        return list(scanned_blocks(store, key))


def trailer_blocks(store: Store, key: str) -> Iterator[Block]:
    """Yield the blocks that the trailer lists."""
    size = store.path(key).stat().st_size
    end = store.read(key, max(0, size - FOOTER.size), FOOTER.size)
    magic, version, kind, chunk_count, offset, length, digest, check = FOOTER.unpack(end)
    if magic != b"FRLNFOOT" or version != 1 or zlib.crc32(end[:-4]) != check:
        raise Damaged("footer")
    index = Reader(store.read(key, offset, length))
    if blake3(index.data).digest() != digest:
        raise Damaged("trailer")
    _, block_count, _, codec_count, _ = TRAILER.unpack(index.take(TRAILER.size))
    codecs = [index.take(index.take(1)[0]).decode("ascii") for _ in range(codec_count)]
    rows = [index.numbers(5) for _ in range(block_count)]
    lengths = [all_lengths(index.numbers(row[4] - 1), row[2]) for row in rows]
    if kind == 1:
        names = [index.take(8) for _ in range(chunk_count)]  # fingerprints; restoring needs the digests alone
        digests = [index.take(32) for _ in range(chunk_count)]
        bases = [index.take(32) if row[3] & 1 else b"" for row in rows]
    else:
        names = []
        for _ in range(chunk_count):
            shared = index.take(1)[0]
            names.append((names[-1][:shared] if names else b"") + index.take(16 - shared))
        digests = [digest for row in rows for digest in [index.take(32)] * row[4]]
        bases = [b""] * len(rows)
    at, first = 16, 0
    for (gap, stored_len, raw_len, coding, count), held, base in zip(rows, lengths, bases, strict=True):
        place = Place(key, at + gap, stored_len, raw_len, codecs[coding >> 1], base)
        yield Block(place, first, held, names[first : first + count], digests[first : first + count])
        at, first = place.offset + stored_len, first + count


def scanned_blocks(store: Store, key: str) -> Iterator[Block]:
    """Yield the blocks whose headers are sound. Reads the whole pack into memory (64 MiB as configured)."""
    data = store.path(key).read_bytes()
    at = data.find(b"FLBK")
    while at >= 0:
        following = at + 1
        try:
            _, stored_len, raw_len, count, first, lengths_len, name_len, has_base, _ = BLOCK.unpack_from(data, at)
            head = Reader(data, at + BLOCK.size)
            codec, base = head.take(name_len), head.take(32 * has_base)
            lengths_at = head.at
            end = lengths_at + lengths_len
            check = zlib.crc32(struct.pack("<Q", at), zlib.crc32(data[at:end]))
            if data[end : end + 4] == struct.pack("<I", check):
                lengths = all_lengths(head.numbers(count - 1), raw_len)
                place = Place(key, end + 4, stored_len, raw_len, codec.decode("ascii"), base)
                yield Block(place, first, lengths, [], [])
                following = end + 4 + stored_len
        except (Damaged, struct.error, IndexError, UnicodeDecodeError):
            pass  # the four letters stand in a payload
        at = data.find(b"FLBK", following)


def all_lengths(but_last: list[int], raw_len: int) -> list[int]:
    """Return the lengths of a block's chunks from all but the last."""
    lengths = [*but_last, raw_len - sum(but_last)]
    if min(lengths) <= 0 or raw_len > 1 << 30:
        raise Damaged("a block is longer than can be, or its chunks do not add up to it")
    return lengths


def pieces(raw: bytes, lengths: list[int]) -> Iterator[bytes]:
    """Yield the chunks or recipes of a decoded block."""
    start = 0
    for length in lengths:
        yield raw[start : start + length]
        start += length


def decode_recipe(data: bytes) -> Recipe:
    """Return the recipe stored as *data*."""
    reader = Reader(data)
    magic, version, form, key, stored_ns = RECIPE.unpack(reader.take(RECIPE.size))
    if magic != b"FLRE" or version != 1 or form not in {0, STRAIGHT, SINGLE}:
        raise Damaged("a recipe is of an unknown version: use a newer restore.py")
    mode, uid, gid, link_count, xattr_count = reader.numbers(5)
    if max(mode, uid, gid) >> 32:
        raise Damaged("a recipe has a mode or owner that cannot be")
    root, _chunker, _user, _group, path = (reader.text() for _ in range(5))
    links = [reader.text() for _ in range(link_count)]
    xattrs = [(reader.text(), reader.text()) for _ in range(xattr_count)]
    seconds, ns = reader.signed(), reader.number()
    mtime_ns = seconds * 10**9 + ns
    atime_ns = (seconds + reader.signed()) * 10**9 + reader.number()
    size, digest = reader.number(), reader.take(32)
    parts = [(size, digest)] if form == SINGLE else recipe_parts(reader, form)
    status = (size, digest, mode, (uid, gid), (atime_ns, mtime_ns), stored_ns)
    return Recipe(recipe_text(key), *status, root.decode(), path, links, xattrs, parts)


def recipe_parts(reader: Reader, form: int) -> list[tuple]:
    """Return the parts of a file that is not one chunk."""
    count = reader.number()
    lengths = reader.numbers(count)
    reader.take(8 * count)  # fingerprints
    chunks = [(length, reader.take(32)) for length in lengths]
    if form == STRAIGHT:
        return chunks
    code_count, hole_count, wrap_count, wrapper_count = reader.numbers(4)
    codes, holes = iter(reader.numbers(code_count)), iter(reader.numbers(hole_count))
    wraps = iter([reader.numbers(3) for _ in range(wrap_count)])
    wrappers = [reader.text().decode("ascii") for _ in range(wrapper_count)]
    unused = iter(chunks)
    parts: list[tuple] = []
    for code in codes:
        if code == 1:
            parts.append((next(holes), b""))
        elif code == 2:
            wrapper, length, inner = next(wraps)
            named = [next(codes) for _ in range(inner)]
            parts.append((length, wrappers[wrapper], [chunks[c - 3] if c else next(unused) for c in named]))
        else:
            parts.append(chunks[code - 3] if code else next(unused))
    return parts


def recipe_text(key: bytes) -> str:
    """Return an id of 16 bytes as its 26 letters."""
    number = int.from_bytes(key, "big")
    return "".join(BASE32[number >> 5 * place & 31] for place in reversed(range(26)))


def read_segment(data: bytes) -> tuple[int, bytes, bytes, list[str]]:
    """Return (number, hash of the one before, own hash, records) of a segment."""
    magic, version, name_len, _, number, before, raw_len, _, digest = SEGMENT.unpack_from(data)
    start = SEGMENT.size + name_len
    body = decode(data[SEGMENT.size : start].decode("ascii"), data[start:], raw_len)
    if (magic, version) != (b"FRLNSEGM", 1) or blake3(body).digest() != digest:
        raise Damaged("it is of an unknown version or fails its digest")
    return number, before, blake3(data).digest(), body.decode().splitlines()
