"""A small store written by hand with the formats alone: no catalog, no jobs, no chunker."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dedup.codecs import encode
from dedup.fingerprint import digest
from dedup.layout import PackKind
from dedup.pack import PackWriter
from dedup.recipe import encode_recipe
from dedup.recipe_id import new_recipe_id, recipe_key
from dedup.segment import encode_segment, segment_hash
from dedup.values import ChunkPart, Digest, FileMeta, Fingerprint, HolePart, Part, Recipe
from tests.dedup.samples import part

CHUNK_BYTES = 700
CHUNKS_PER_BLOCK = 3
RECIPE_PACK = "recipes/00/r-x"


@dataclass(frozen=True)
class Stored:
    """A block to be written."""

    codec: str
    payload: bytes
    chunks: Sequence[bytes]
    base: Digest | None = None


@dataclass
class HandMadeStore:
    """Takes files in, then writes two data packs, one recipe pack and, if asked for, segments."""

    folder: Path
    blocks: list[Stored] = field(default_factory=list)
    recipes: list[Recipe] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)

    def add(self, path: bytes, data: bytes, **changes: object) -> Recipe:
        """Take one file in; *changes* are fields of its recipe, or holes: a sequence of (start, end)."""
        holes: Sequence[tuple[int, int]] = changes.pop("holes", ())  # type: ignore[assignment]
        parts: list[Part] = []
        start = 0
        for hole_start, hole_end in [*holes, (len(data), len(data))]:
            parts += self.chunks(data[start:hole_start])
            parts += [HolePart(hole_end - hole_start)] if hole_end > hole_start else []
            start = hole_end
        return self.add_parts(path, data, parts, **changes)

    def add_parts(self, path: bytes, data: bytes, parts: Sequence[Part], **changes: object) -> Recipe:
        """Take one file in whose parts are known."""
        recipe = Recipe(
            recipe_id=new_recipe_id(len(self.recipes).to_bytes(16, "big")),
            root="data",
            path=path,
            links=(),
            size=len(data),
            digest=digest(data),
            chunker="by hand",
            meta=FileMeta(0o100640, os.getuid(), os.getgid(), 1_600_000_000_123_456_789, 1_600_000_001_000_000_000),
            parts=tuple(parts),
        )
        self.recipes.append(recipe._replace(**changes))  # type: ignore[arg-type]
        return self.recipes[-1]

    def chunks(self, data: bytes) -> list[ChunkPart]:
        """Cut *data* and store what is new of it, CHUNKS_PER_BLOCK to a block."""
        found = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        new = [piece for piece in dict.fromkeys(found) if piece not in self.known]
        for at in range(0, len(new), CHUNKS_PER_BLOCK):
            some = new[at : at + CHUNKS_PER_BLOCK]
            coded = encode(b"".join(some), effort="fast")
            self.blocks.append(Stored(coded.codec, coded.payload, some))
        self.known.update(new)
        return [part(piece) for piece in found]

    def write(self) -> None:
        """Write the packs: every second block in each of two."""
        for number, blocks in enumerate((self.blocks[::2], self.blocks[1::2])):
            self.write_pack(f"packs/0{number}/{number}-x", "data", blocks)
        encoded = [encode_recipe(recipe) for recipe in self.recipes]
        blocks = []
        for at in range(0, len(encoded), CHUNKS_PER_BLOCK):
            some = encoded[at : at + CHUNKS_PER_BLOCK]
            coded = encode(b"".join(some), effort="fast")
            blocks.append(Stored(coded.codec, coded.payload, some))
        self.write_pack(RECIPE_PACK, "recipes", blocks)

    def write_pack(self, key: str, kind: PackKind, blocks: Sequence[Stored]) -> None:
        """Write one pack."""
        out = io.BytesIO()
        writer = PackWriter(out, kind=kind)
        names = iter(self.recipes)
        for block in blocks:
            raw = b"".join(block.chunks)
            chunks = [part(piece) for piece in block.chunks]
            if kind == "recipes":
                keys = [recipe_key(next(names).recipe_id) for _ in chunks]
                sizes = [chunk.length for chunk in chunks]
                chunks = [ChunkPart(Fingerprint(k), digest(raw), n) for k, n in zip(keys, sizes, strict=True)]
            writer.add_block(block.codec, block.payload, len(raw), chunks, block.base)
        writer.finish()
        self.put(key, out.getvalue())

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        place = self.folder / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)

    def stored(self, *recipes: Recipe) -> dict[str, object]:
        """Return the record that says that *recipes* are the stored copies of their paths."""
        runs = [[self.recipes.index(recipe), 1] for recipe in recipes]
        return {"record": "stored", "pack": RECIPE_PACK, "recipes": runs}

    def segments(self, *batches: list[dict[str, object]]) -> None:
        """Write a chain of segments of those records."""
        previous = ""
        for number, batch in enumerate(batches, start=1):
            data = encode_segment(number, previous, [json.dumps(record) for record in batch])
            previous = segment_hash(data)
            self.put(f"segments/{number:012d}-{previous[:16]}", data)


def file_record(stored: Recipe, **changes: object) -> dict[str, object]:
    """Return a record that says all of a file."""
    plain: dict[str, object] = {
        "record": "file",
        "root": "data",
        "path": os.fsdecode(stored.path),
        "state": "offline",
        "recipe": stored.recipe_id,
        "leader": None,
    }
    return plain | changes
