"""Fixed values of every stored format, shared by the golden files and by tests that damage them."""

import io

from dedup.codecs import Coded
from dedup.fingerprint import digest, fingerprint
from dedup.pack import PackSummary, PackWriter
from dedup.recipe import encode_recipe, new_recipe_id, recipe_key
from dedup.segment import encode_segment
from dedup.values import ChunkPart, FileMeta, Fingerprint, HolePart, Recipe

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 20
NOISE = bytes(i * 167 % 251 for i in range(1000))
ZEROS = bytes(4096)
RAW_CHUNKS = (TEXT, NOISE, ZEROS)

RECORDS = (
    '{"kind":"file","path":"a.bin","state":"dual"}',
    '{"kind":"ledger","entry_no":1}',
)


def part(data: bytes) -> ChunkPart:
    return ChunkPart(fingerprint(data), digest(data), len(data))


RECIPE = Recipe(
    recipe_id=new_recipe_id(bytes(range(16))),
    root="data",
    path=b"runs/step-\xff/model.bin",
    links=(b"runs/latest.bin",),
    size=len(TEXT) * 2 + len(NOISE) + 1_000_000,
    digest=digest(TEXT + bytes(1_000_000) + NOISE + TEXT),
    chunker="gear-1:16k-64k-256k",
    meta=FileMeta(
        mode=0o100640,
        uid=1000,
        gid=100,
        mtime_ns=1_700_000_000_123_456_789,
        atime_ns=-1,
        xattrs=((b"user.note", b"x\x00y"),),
        user="ada",
        group="users",
    ),
    parts=(part(TEXT), HolePart(1_000_000), part(NOISE), part(TEXT)),
    stored_ns=1_700_000_001_000_000_000,
)
PLAIN_RECIPE = Recipe(
    recipe_id=new_recipe_id(bytes(16)),
    root="data",
    path=b"plain.txt",
    links=(),
    size=len(TEXT) + len(NOISE),
    digest=digest(TEXT + NOISE),
    chunker="gear-1:16k-64k-256k",
    meta=FileMeta(mode=0o100644, uid=0, gid=0, mtime_ns=0, atime_ns=0),
    parts=(part(TEXT), part(NOISE)),
)
EMPTY_RECIPE = Recipe(
    recipe_id=new_recipe_id(bytes([255]) * 16),
    root="data",
    path=b"empty",
    links=(),
    size=0,
    digest=digest(b""),
    chunker="gear-1:16k-64k-256k",
    meta=FileMeta(mode=0o100600, uid=0, gid=0, mtime_ns=0, atime_ns=0),
)


def sample_pack(frames: tuple[Coded, ...]) -> tuple[bytes, PackSummary]:
    """Return a data pack of RAW_CHUNKS, coded as *frames*."""
    out = io.BytesIO()
    writer = PackWriter(out, kind="data")
    for data, frame in zip(RAW_CHUNKS, frames, strict=True):
        writer.add(fingerprint(data), digest(data), len(data), frame.codec, frame.payload)
    summary = writer.finish()
    return out.getvalue(), summary


def sample_recipe_pack() -> tuple[bytes, PackSummary]:
    """Return a recipe pack whose recipes are stored raw, so that its bytes do not depend on zstd's version."""
    out = io.BytesIO()
    writer = PackWriter(out, kind="recipes")
    for recipe in (RECIPE, PLAIN_RECIPE, EMPTY_RECIPE):
        data = encode_recipe(recipe)
        writer.add(Fingerprint(recipe_key(recipe.recipe_id)), digest(data), len(data), "raw", data)
    summary = writer.finish()
    return out.getvalue(), summary


def sample_segment() -> bytes:
    """Return the second segment of a chain; its body does not shrink, so it is stored raw."""
    return encode_segment(2, "ab" * 32, RECORDS)
