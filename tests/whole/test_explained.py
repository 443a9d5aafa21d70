"""Stored bytes are what dedup predicts, and every byte of the bucket is explained.

10,000 tiny files, two identical files, a file and its edited copy. What must be there is computed here from the files
alone; what is there is read from the store's own objects with tools/restore.py, which knows neither catalog nor
ledger. Both are held against what the audit says.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from dedup.chunkers import chunker_for, resolve_chunker
from tests.whole.site import SKIPPED, Site
from tests.whole.tree import noise, text, write
from tools.restore import CHUNK, ENTRY, FOOTER, HEADER, TRAILER, Place, Recipe, Store, decode_recipe, pack_entries

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
    ends = resolve_chunker(chunker_for(len(data))).cuts(memoryview(data), final=True)
    pieces = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return [(len(piece), blake3(piece).digest()) for piece in pieces]


@dataclass(frozen=True, slots=True)
class Bucket:
    """What lies in the store, by its own words."""

    sizes: dict[str, int]
    """key -> bytes"""
    chunks: dict[bytes, Place]
    recipes: dict[bytes, Recipe]
    """path -> recipe"""

    def bytes_under(self, prefix: str) -> int:
        """Sum the objects below a prefix."""
        return sum(size for key, size in self.sizes.items() if key.startswith(prefix))

    def keys_under(self, prefix: str) -> list[str]:
        """Name the objects below a prefix."""
        return [key for key in self.sizes if key.startswith(prefix)]


def read_bucket(folder: Path) -> Bucket:
    """Read every object, every chunk and every recipe, each confirmed by its digest."""
    store = Store([folder])
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    chunks: dict[bytes, Place] = {}
    recipes: dict[bytes, Recipe] = {}
    for key in [key for key in sizes if key.startswith(("packs/", "recipes/"))]:
        entries = pack_entries(store, key)
        assert sizes[key] == explained([place for _, _, place in entries]), key
        for _, digest, place in entries:
            raw = store.chunk(place, digest)
            if key.startswith("packs/"):
                assert digest not in chunks, "a chunk is stored twice"
                chunks[digest] = place
            else:
                recipe = decode_recipe(raw)
                recipes[recipe.path] = recipe
    return Bucket(sizes, chunks, recipes)


def explained(places: list[Place]) -> int:
    """Return the length of a pack with these entries by docs/formats.md, each where the one before it ends."""
    at = HEADER.size
    for place in places:
        at += CHUNK.size + len(place.codec) + 4
        assert place.offset == at
        at += place.stored_len
    names = {place.codec for place in places}
    return at + TRAILER.size + sum(1 + len(name) for name in names) + ENTRY.size * len(places) + FOOTER.size


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
    assert {digest: place.raw_len for digest, place in bucket.chunks.items()} == distinct
    assert {path: recipe.parts for path, recipe in bucket.recipes.items()} == parts
    assert parts[b"copies/one.bin"] == parts[b"copies/two.bin"]
    edited = Counter(parts[b"runs/after.bin"]) - Counter(parts[b"runs/before.bin"])
    assert sum(length for length, _ in edited.elements()) < MIB  # two edits: a chunk or two around each
    # Packing: ten thousand files, a handful of objects.
    assert len(bucket.keys_under("packs/")) + len(bucket.keys_under("recipes/")) < TINY / 200
    assert len(bucket.sizes) < TINY / 100

    # The audit, from the store's own files.
    stored = sum(place.stored_len for place in bucket.chunks.values())
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
    }
    assert {key.split("/")[0] for key in bucket.sizes} == {"packs", "recipes", "segments", "frostline.json"}
