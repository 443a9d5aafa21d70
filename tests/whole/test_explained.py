"""Stored bytes are what dedup predicts, and every byte of the bucket is explained.

10,000 tiny files, two identical files, a file and its edited copy. What must be there is computed here from the files
alone; what is there is read from the store's own objects with tools/restore.py, which knows neither catalog nor
ledger. Both are held against what the audit says.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from blake3 import blake3

from dedup.chunkers import chunker_of
from dedup.formats.segmentation import segment
from dedup.values import Region, Span
from tests.tools.script import load
from tests.whole.site import SKIPPED, Site
from tests.whole.tree import noise, text, write

script = load("restore_formats")
TINY = 10_000
FOLDERS = 8
MIB = 1 << 20

Chunk = tuple[int, bytes]
"""(length, digest)"""


def contents() -> Iterator[tuple[bytes, bytes]]:
    """Yield (path, content). Of the tiny files one in a hundred repeats another, one in a thousand is empty."""
    for i in range(TINY):
        number = i - 1 if i % 100 == 99 else i
        data = b'{"id": %d, "text": "%s"}' % (number, b"word " * (number % 40)) if i % 1000 else b""
        yield b"tiny/%d/%05d.json" % (i % FOLDERS, i), data
    same = text(1, MIB) + noise(1, 2 * MIB)
    yield b"copies/one.bin", same
    yield b"copies/two.bin", same
    before = noise(2, 3 * MIB) + text(2, MIB)
    yield b"runs/before.bin", before
    yield b"runs/after.bin", before[:MIB] + b"inserted in the middle" + before[MIB : 3 * MIB] + before[3 * MIB + 100 :]


def predicted(data: bytes) -> list[Chunk]:
    """Return the chunks that a file of this content is cut into."""
    chunks: list[Chunk] = []
    for region in segment(InMemory(data)) or [Region(Span(0, len(data)), "generic")]:
        view = memoryview(data)[region.span.start : region.span.end]
        start = 0
        for end in chunker_of(region, len(data)).cuts(view, final=True):
            chunks.append((end - start, blake3(view[start:end]).digest()))
            start = end
    return chunks


@dataclass(frozen=True, slots=True)
class InMemory:
    """A file to be segmented."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class Bucket:
    """What lies in the store, by its own words."""

    sizes: dict[str, int]
    """key -> bytes"""
    chunks: dict[bytes, int]
    """digest -> length"""
    recipes: dict[bytes, Any]
    """path -> recipe"""
    stored_bytes: int
    """Of the blocks of data packs."""

    def bytes_under(self, prefix: str) -> int:
        """Sum the objects below a prefix."""
        return sum(size for key, size in self.sizes.items() if key.startswith(prefix))

    def keys_under(self, prefix: str) -> list[str]:
        """Name the objects below a prefix."""
        return [key for key in self.sizes if key.startswith(prefix)]


def read_bucket(folder: Path) -> Bucket:
    """Read every object, every chunk and every recipe, each confirmed by its digest."""
    store = script.Store([folder])
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    bucket = Bucket(sizes, {}, {}, 0)
    for key in [key for key in sizes if key.startswith(("packs/", "recipes/"))]:
        blocks = list(script.trailer_blocks(store, key))
        is_data = key.startswith("packs/")
        assert sizes[key] == explained(blocks, is_data=is_data), key
        for block in blocks:
            raw = store.open_block(block.place)
            pieces = list(script.pieces(raw, block.lengths))
            if is_data:
                found = [blake3(piece).digest() for piece in pieces]
                assert found == block.digests
                assert bucket.chunks.keys().isdisjoint(found), "a chunk is stored twice"
                bucket.chunks.update(zip(found, block.lengths, strict=True))
                bucket = replace(bucket, stored_bytes=bucket.stored_bytes + block.place.stored_len)
            else:
                assert {blake3(raw).digest()} == set(block.digests)
                bucket.recipes.update((recipe.path, recipe) for recipe in map(script.decode_recipe, pieces))
    return bucket


def explained(blocks: list[Any], *, is_data: bool) -> int:
    """Return the length of a pack with these blocks by docs/formats.md, each where the one before it ends."""
    at, numbers = 16, 0
    codecs = sorted({block.place.codec for block in blocks})
    for block in blocks:
        place, lengths = block.place, sum(map(number_len, block.lengths[:-1]))
        assert place.base == b""  # nothing here is a tensor
        header = script.BLOCK.size + len(place.codec) + lengths + 4
        at += header
        assert place.offset == at
        at += place.stored_len
        coding = 2 * codecs.index(place.codec)
        of_block = (header, place.stored_len, place.raw_len, coding, len(block.lengths))
        numbers += sum(map(number_len, of_block)) + lengths
    names = [name for block in blocks for name in block.names]
    if is_data:
        named = (8 + 32) * len(names)
    else:
        named = sum(17 - shared(*pair) for pair in pairwise([b"", *names])) + 32 * len(blocks)
    trailer = script.TRAILER.size + sum(1 + len(codec) for codec in codecs) + numbers + named
    return at + int(trailer) + int(script.FOOTER.size)


def shared(one: bytes, other: bytes) -> int:
    """Return how many leading bytes two ids have in common."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), len(one))


def number_len(number: int) -> int:
    """Return the bytes that a number takes in LEB128."""
    return max(1, (number.bit_length() + 6) // 7)


def test_p6_stored_bytes_are_what_dedup_predicts_and_each_byte_of_the_bucket_is_explained(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    parts: dict[bytes, list[Chunk]] = {}
    size_bytes = tiny_bytes = 0
    for path, data in contents():
        write(os.fsencode(site.root) + b"/" + path, data)
        parts[path] = predicted(data)
        size_bytes += len(data)
        tiny_bytes += len(data) * path.startswith(b"tiny/")
    distinct = {digest: length for chunks in parts.values() for length, digest in chunks}
    site.init()

    done = site.json("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=SKIPPED)
    said = site.audit()
    bucket = read_bucket(site.store_dir)

    # Deduplication: exactly the distinct chunks, whatever file they came from.
    assert done["files_done"] == len(parts) == TINY + 4
    assert bucket.chunks == distinct
    assert {path: recipe.parts for path, recipe in bucket.recipes.items()} == parts
    assert parts[b"copies/one.bin"] == parts[b"copies/two.bin"]
    edited = Counter(parts[b"runs/after.bin"]) - Counter(parts[b"runs/before.bin"])
    assert sum(length for length, _ in edited.elements()) < MIB  # two edits: a chunk or two around each
    # Packing: ten thousand files, a handful of objects.
    assert len(bucket.keys_under("packs/")) + len(bucket.keys_under("recipes/")) < TINY / 200
    assert len(bucket.sizes) < TINY / 100

    # The audit, from the store's own files.
    stored = bucket.stored_bytes
    framing = bucket.bytes_under("packs/") - stored
    raw = sum(distinct.values())
    assert {key: value for key, value in said.items() if key.endswith("_bytes")} == {
        "logical_bytes": size_bytes,
        "hot_bytes": tiny_bytes,  # smaller than release.min_size: stored, and not worth a placeholder
        "dual_bytes": tiny_bytes,
        "offline_bytes": size_bytes - tiny_bytes,
        "retained_bytes": 0,
        "stored_bytes": stored + framing,
        "overhead_bytes": framing,
        "dedup_saved_bytes": size_bytes - raw,
        "compression_saved_bytes": raw - stored,
        "dead_bytes": 0,
        "metadata_bytes": sum(bucket.bytes_under(key) for key in ("recipes/", "segments/", "frostline.json")),
        "bucket_bytes": sum(bucket.sizes.values()),
        "in_flight_bytes": 0,
        "object_bytes": 0,
        "original_bytes": 0,
    }
    assert {key.split("/")[0] for key in bucket.sizes} == {"packs", "recipes", "segments", "frostline.json"}
