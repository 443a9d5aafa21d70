"""Recipes: one version of one file, as a compact binary record.

Used by migrate (writing, by dedup.recipe_batch), recall, restore and rebuild (reading). Layout in docs/formats.md. A
chunk that occurs often in a file is listed once; an ordinary file costs 40 bytes a chunk and its length. What the files
of a folder have in common stands first and what differs last, since recipes are kept many to a block and compressed
together.
"""

import struct
from collections import deque
from collections.abc import Sequence
from functools import lru_cache

from dedup.errors import FormatError
from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN, Buffer
from dedup.layout import MAX_STORED_LEN, RECIPE_KEY_LEN, codec_bytes, codec_name
from dedup.recipe_id import new_recipe_id, recipe_key
from dedup.recipe_parts import Layout, lay_out, put_together
from dedup.values import ChunkPart, Digest, FileMeta, Fingerprint, Part, Recipe
from dedup.varint import decode_varints, encode_varints, unzigzag, zigzag

MAGIC = b"FLRE"
VERSION = 1
MAX_RECIPE_BYTES = MAX_STORED_LEN
MAX_TEXT = 1 << 16
"""Of one path, name or attribute: Linux allows 4 KiB paths and 64 KiB attribute values."""

FIXED = struct.Struct("<4sBB16sq")
STRAIGHT = 1
"""Flag: the parts are the distinct chunks in order, each once; no sequence is stored."""
SINGLE = 2
"""Flag: the file is one chunk, whose length and digest are the file's."""
_IDS = 1 << 32
"""Modes and owners are below: what chmod() and chown() take."""
_NS = 10**9
_TIMES = range(-(1 << 63), 1 << 63)


def encode_recipe(recipe: Recipe) -> bytes:
    """Return *recipe* as stored. Deterministic.

    Raises FormatError if its parts do not add up to its size, or a number or text is beyond what the format holds.
    """
    meta, flags = recipe.meta, _flags(recipe)
    if not (meta.mtime_ns in _TIMES and meta.atime_ns in _TIMES and recipe.stored_ns in _TIMES):
        raise FormatError("recipe has a time that the format does not hold")
    mtime_s, mtime_ns = divmod(meta.mtime_ns, _NS)
    atime_s, atime_ns = divmod(meta.atime_ns, _NS)
    texts = [recipe.path, *recipe.links]
    for name, value in meta.xattrs:
        texts += [name, value]
    encoded = b"".join(
        [
            FIXED.pack(MAGIC, VERSION, flags, recipe_key(recipe.recipe_id), recipe.stored_ns),
            shared_numbers(meta.mode, meta.uid, meta.gid, len(recipe.links), len(meta.xattrs)),
            shared_names(recipe.root, recipe.chunker, meta.user, meta.group),
            *map(_text, texts),
            encode_varints((zigzag(mtime_s), mtime_ns, zigzag(atime_s - mtime_s), atime_ns, recipe.size)),
            _of_length(recipe.digest, DIGEST_LEN),
            *_parts(recipe, flags),
        ]
    )
    if len(encoded) > MAX_RECIPE_BYTES:
        raise FormatError(f"recipe of {len(encoded)} bytes is beyond the limit of {MAX_RECIPE_BYTES}")
    return encoded


def decode_recipe(data: Buffer) -> Recipe:
    """Return the recipe stored as *data*. Raises FormatError; never allocates more than a small multiple of
    len(data).
    """
    reader = _Reader(bytes(data))
    magic, version, flags, key, stored_ns = FIXED.unpack(reader.take(FIXED.size))
    if magic != MAGIC:
        raise FormatError("not a recipe")
    if version != VERSION or flags not in {0, STRAIGHT, SINGLE}:
        raise FormatError(f"recipe format version {version}, flags {flags} is not known (this program reads {VERSION})")
    (mode, uid, gid, link_count, xattr_count), (root, chunker, user, group) = reader.head()
    path = reader.text()
    links = tuple([reader.text() for _ in range(reader.bounded(link_count, 1))]) if link_count else ()
    xattrs = tuple([(reader.text(), reader.text()) for _ in range(reader.bounded(xattr_count, 2))])
    mtime_ns, atime_ns, size = _read_times_and_size(reader)
    digest = Digest(reader.take(DIGEST_LEN))
    parts = _read_parts(reader, flags, size, digest)
    reader.finish()
    if sum([part.length for part in parts]) != size:  # noqa: C419  # as in _flags()
        raise FormatError("recipe has parts that do not add up to its size")
    return Recipe(
        recipe_id=new_recipe_id(key),
        root=root,
        path=path,
        links=links,
        size=size,
        digest=digest,
        chunker=chunker,
        meta=FileMeta(mode, uid, gid, mtime_ns, atime_ns, xattrs, user, group),
        parts=parts,
        stored_ns=stored_ns,
    )


def read_head(data: bytes, at: int) -> tuple["Head", int]:
    """Return the numbers and names that stand behind the fixed part of a recipe, which ends at *at*, and where they
    end. Raises FormatError.
    """
    reader = _Reader(data, at)
    return reader.head(), reader.at


def key_of_encoded(data: Buffer) -> bytes:
    """Return the 16 bytes of the id of an encoded recipe, which is not looked at further. Raises FormatError."""
    if len(data) < FIXED.size or bytes(data[: len(MAGIC)]) != MAGIC:
        raise FormatError("not a recipe")
    return bytes(data[len(MAGIC) + 2 :][:RECIPE_KEY_LEN])


def _flags(recipe: Recipe) -> int:
    parts = recipe.parts
    if sum([part.length for part in parts]) != recipe.size:  # noqa: C419  # once a file: half the time of a generator
        raise FormatError(f"recipe of {recipe.size} bytes has parts that do not add up to it")
    if len(parts) == 1 and isinstance(parts[0], ChunkPart) and parts[0].digest == recipe.digest:
        return SINGLE
    chunks = [part for part in parts if isinstance(part, ChunkPart)]
    return STRAIGHT if len(chunks) == len(parts) == len(set(chunks)) else 0


# The files of a batch have few owners, modes and roots between them.
@lru_cache(maxsize=1024)
def shared_numbers(mode: int, uid: int, gid: int, link_count: int, xattr_count: int) -> bytes:
    """Return the numbers that stand first as stored. Raises FormatError."""
    if max(mode, uid, gid) >= _IDS:
        raise FormatError("recipe has a mode or owner that the format does not hold")
    return encode_varints((mode, uid, gid, link_count, xattr_count))


@lru_cache(maxsize=1024)
def shared_names(*names: str) -> bytes:
    """Return root, chunker, user and group as stored. Raises FormatError."""
    return b"".join(_text(name.encode()) for name in names)


def _parts(recipe: Recipe, flags: int) -> list[bytes]:
    if flags == SINGLE and isinstance(only := recipe.parts[0], ChunkPart):
        _checked_length(only.length)
        return [_of_length(only.fingerprint, FINGERPRINT_LEN)]
    layout = lay_out(recipe.parts)
    columns = [encode_varints([len(layout.chunks)]), *_chunk_columns(layout.chunks)]
    if flags == STRAIGHT:
        return columns
    counts = (len(layout.codes), len(layout.holes), len(layout.wraps), len(layout.wrappers))
    columns += [encode_varints(counts), encode_varints(layout.codes), encode_varints(layout.holes)]
    columns += [encode_varints(number for wrap in layout.wraps for number in wrap)]
    return columns + [_text(codec_bytes(name)) for name in layout.wrappers]


def _read_parts(reader: "_Reader", flags: int, size: int, digest: Digest) -> tuple[Part, ...]:
    if flags == SINGLE:
        return (ChunkPart(Fingerprint(reader.take(FINGERPRINT_LEN)), digest, _checked_length(size)),)
    (count,) = reader.numbers(1)
    chunks = _read_chunks(reader, count)
    if flags == STRAIGHT:
        return chunks
    code_count, hole_count, wrap_count, wrapper_count = reader.numbers(4)
    codes, holes = reader.numbers(code_count), reader.numbers(hole_count)
    triples = [iter(reader.numbers(3 * reader.bounded(wrap_count, 3)))] * 3
    wraps = tuple(zip(*triples, strict=True))
    wrappers = tuple(codec_name(reader.text()) for _ in range(reader.bounded(wrapper_count, 1)))
    return put_together(Layout(chunks, tuple(codes), tuple(holes), wraps, wrappers))


def _chunk_columns(chunks: Sequence[ChunkPart]) -> list[bytes]:
    lengths = [chunk.length for chunk in chunks]
    for length in (min(lengths), max(lengths)) if lengths else ():
        _checked_length(length)
    return [
        encode_varints(lengths),
        *_all_of_length([chunk.fingerprint for chunk in chunks], FINGERPRINT_LEN),
        *_all_of_length([chunk.digest for chunk in chunks], DIGEST_LEN),
    ]


def _read_chunks(reader: "_Reader", count: int) -> tuple[ChunkPart, ...]:
    lengths = reader.numbers(reader.bounded(count, 1 + FINGERPRINT_LEN + DIGEST_LEN))
    fingerprints = reader.take(FINGERPRINT_LEN * count)
    digests = reader.take(DIGEST_LEN * count)
    if lengths:
        _checked_length(min(lengths))
        _checked_length(max(lengths))
    names = _cut(fingerprints, FINGERPRINT_LEN), _cut(digests, DIGEST_LEN), lengths
    return tuple(map(ChunkPart, *names))  # type: ignore[arg-type]  # bytes of those lengths are what they are


def _cut(data: bytes, length: int) -> list[bytes]:
    return [data[start : start + length] for start in range(0, len(data), length)]


def _read_times_and_size(reader: "_Reader") -> tuple[int, int, int]:
    mtime_s, mtime_ns, behind_s, atime_ns, size = reader.numbers(5)
    seconds = unzigzag(mtime_s)
    mtime, atime = seconds * _NS + mtime_ns, (seconds + unzigzag(behind_s)) * _NS + atime_ns
    if max(mtime_ns, atime_ns) >= _NS or mtime not in _TIMES or atime not in _TIMES:
        raise FormatError("recipe has a time that cannot be")
    return mtime, atime, size


def _checked_length(length: int) -> int:
    if not 0 < length <= MAX_STORED_LEN:
        raise FormatError(f"a chunk's length is not in 1..{MAX_STORED_LEN}")
    return length


def _text(data: bytes) -> bytes:
    if len(data) > MAX_TEXT:
        raise FormatError(f"a path, name or attribute of {len(data)} bytes is beyond the limit of {MAX_TEXT}")
    return encode_varints((len(data),)) + data


def _of_length(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise FormatError(f"expected {length} bytes, got {len(data)}")
    return data


def _all_of_length(data: list[bytes], length: int) -> list[bytes]:
    for other in set(map(len, data)) - {length}:
        raise FormatError(f"expected {length} bytes, got {other}")
    return data


Head = tuple[tuple[int, ...], tuple[str, ...]]
_heads: deque[tuple[bytes, Head]] = deque(maxlen=8)
"""Beginnings that were read before, the last ones, with what they say: the files of a folder share one, and as it says
itself where it ends, the same bytes always mean the same.
"""


class _Reader:
    """Takes pieces off a buffer; every length is held against what is left before it is believed."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self.at:
            raise FormatError("recipe is cut short")
        piece = self._data[self.at : self.at + length]
        self.at += length
        return piece

    def numbers(self, count: int) -> list[int]:
        numbers, self.at = decode_varints(self._data, self.at, count)
        return numbers

    def head(self) -> Head:
        """Return the five numbers and four names that stand first."""
        for known, said in tuple(_heads):
            if self._data.startswith(known, self.at):
                self.at += len(known)
                return said
        start = self.at
        numbers = tuple(self.numbers(5))
        if max(numbers[:3]) >= _IDS:
            raise FormatError("recipe has a mode or owner that cannot be")
        said = (numbers, tuple([self.string() for _ in range(4)]))
        _heads.append((self._data[start : self.at], said))
        return said

    def bounded(self, count: int, least: int) -> int:
        """Return *count* if that many items of at least *least* bytes can still follow."""
        if count * least > len(self._data) - self.at:
            raise FormatError("recipe is cut short")
        return count

    def text(self) -> bytes:
        (length,) = self.numbers(1)
        if length > MAX_TEXT:
            raise FormatError("recipe has a text beyond the limit")
        return self.take(length)

    def string(self) -> str:
        try:
            return self.text().decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"recipe has a name that is not UTF-8: {error}") from error

    def finish(self) -> None:
        if self.at != len(self._data):
            raise FormatError(f"recipe is followed by {len(self._data) - self.at} stray bytes")
