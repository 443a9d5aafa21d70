"""Fixed values of every stored format, shared by the golden files and by tests that damage them."""

import io

from dedup.fingerprint import digest, fingerprint
from dedup.pack import PackSummary, PackWriter
from dedup.recipe import encode_recipe
from dedup.recipe_id import new_recipe_id, recipe_ids, recipe_key
from dedup.segment import encode_segment
from dedup.values import ChunkPart, FileMeta, Fingerprint, HolePart, Recipe, WrappedPart

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 20
NOISE = bytes(i * 167 % 251 for i in range(1000))
ZEROS = bytes(4096)
BLOCKS = (((TEXT, NOISE), None), ((ZEROS,), None), ((NOISE[::-1],), NOISE))
"""(chunks, base) of each block of the sample pack."""

RECORDS = (
    '{"kind":"file","path":"a.bin","state":"dual"}',
    '{"kind":"ledger","entry_no":1}',
)


def part(data: bytes) -> ChunkPart:
    return ChunkPart(fingerprint(data), digest(data), len(data))


IDS = recipe_ids(bytes(range(12)))
RECIPE = Recipe(
    recipe_id=next(IDS),
    root="data",
    path=b"runs/step-\xff/model.bin",
    links=(b"runs/latest.bin",),
    size=len(TEXT) * 2 + len(NOISE) + 1_000_000 + 700,
    digest=digest(b"the file with its page compressed"),
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
    parts=(
        part(TEXT),
        HolePart(1_000_000),
        WrappedPart("snappy-page:1", 700, (part(TEXT), part(ZEROS))),
        part(NOISE),
        part(TEXT),
    ),
    stored_ns=1_700_000_001_000_000_000,
)
PLAIN_RECIPE = Recipe(
    recipe_id=next(IDS),
    root="data",
    path=b"plain.txt",
    links=(),
    size=len(TEXT) + len(NOISE),
    digest=digest(TEXT + NOISE),
    chunker="gear-1:16k-64k-256k",
    meta=FileMeta(mode=0o100644, uid=0, gid=0, mtime_ns=0, atime_ns=0),
    parts=(part(TEXT), part(NOISE)),
)
SMALL_RECIPE = Recipe(
    recipe_id=next(IDS),
    root="data",
    path=b"small.txt",
    links=(),
    size=len(TEXT),
    digest=digest(TEXT),
    chunker="gear-1:16k-64k-256k",
    meta=FileMeta(mode=0o100644, uid=0, gid=0, mtime_ns=5_000_000_000, atime_ns=7_000_000_001),
    parts=(part(TEXT),),
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


RECIPES = (RECIPE, PLAIN_RECIPE, SMALL_RECIPE, EMPTY_RECIPE)


def sample_pack() -> tuple[bytes, PackSummary]:
    """Return a data pack of BLOCKS, stored raw, so that its bytes depend on no codec; the last one only claims to
    need its base.
    """
    out = io.BytesIO()
    writer = PackWriter(out, kind="data")
    for chunks, base in BLOCKS:
        raw = b"".join(chunks)
        writer.add_block("raw", raw, len(raw), [part(data) for data in chunks], None if base is None else digest(base))
    summary = writer.finish()
    return out.getvalue(), summary


def sample_recipe_pack() -> tuple[bytes, PackSummary]:
    """Return a recipe pack of two blocks whose recipes are stored raw, so that its bytes depend on no codec."""
    out = io.BytesIO()
    writer = PackWriter(out, kind="recipes")
    for recipes in (RECIPES[:3], RECIPES[3:]):
        encoded = [encode_recipe(recipe) for recipe in recipes]
        add_recipes(writer, [recipe_key(recipe.recipe_id) for recipe in recipes], encoded)
    summary = writer.finish()
    return out.getvalue(), summary


def add_recipes(writer: PackWriter, keys: list[bytes], encoded: list[bytes]) -> None:
    """Append one block of encoded recipes, raw."""
    raw = b"".join(encoded)
    whole = digest(raw)
    chunks = [ChunkPart(Fingerprint(key), whole, len(data)) for key, data in zip(keys, encoded, strict=True)]
    writer.add_block("raw", raw, len(raw), chunks)


def sample_segment() -> bytes:
    """Return the second segment of a chain; its body does not shrink, so it is stored raw."""
    return encode_segment(2, "ab" * 32, RECORDS)
