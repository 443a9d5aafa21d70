"""Recipes: one version of one file, as a compact binary record.

Used by migrate (writing), recall, restore and rebuild (reading). Layout in docs/formats.md. A chunk that occurs often
in a file is listed once; an ordinary file costs 52 bytes a chunk and a few hundred for the rest, before compression.
Recipes are kept many to an object in packs of kind "recipes", where the recipe's 16 id bytes stand for the
fingerprint.
"""

import struct
from typing import cast

import numpy as np

from dedup.errors import FormatError
from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN, Buffer
from dedup.layout import MAX_STORED_LEN
from dedup.values import ChunkPart, Digest, FileMeta, Fingerprint, HolePart, Part, Recipe, RecipeId

MAGIC = b"FLRE"
VERSION = 1
MAX_RECIPE_BYTES = MAX_STORED_LEN
MAX_TEXT = 1 << 16
"""Of one path, name or attribute: Linux allows 4 KiB paths and 64 KiB attribute values."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_ID_BYTES = 16
_ID_LETTERS = 26

_FIXED = struct.Struct("<4sHH16sQ32sIIIqqqIIII")
_LENGTH = struct.Struct("<I")
_STRAIGHT = 1
"""Flag: the parts are the distinct chunks in order, each once, without holes; no sequence is stored."""


def new_recipe_id(random16: bytes) -> RecipeId:
    """Return the id made of 16 random bytes: their base32 (Crockford, lower case), 26 letters. ValueError for another
    length.
    """
    if len(random16) != _ID_BYTES:
        raise ValueError(f"a recipe id is made of {_ID_BYTES} random bytes, got {len(random16)}")
    number = int.from_bytes(random16, "big")
    return RecipeId("".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_ID_LETTERS))))


def recipe_key(recipe_id: RecipeId) -> bytes:
    """Return the 16 bytes of an id. Raises FormatError if *recipe_id* is not one in canonical form."""
    number = 0
    for letter in recipe_id:
        value = _VALUES.get(letter)
        if value is None:
            raise FormatError(f"{recipe_id!r} is not a recipe id")
        number = number << 5 | value
    if len(recipe_id) != _ID_LETTERS or number >> 128:
        raise FormatError(f"{recipe_id!r} is not a recipe id")
    return number.to_bytes(_ID_BYTES, "big")


def encode_recipe(recipe: Recipe) -> bytes:
    """Return *recipe* as stored. Deterministic.

    Raises FormatError if its parts do not add up to its size, or a number or text is beyond what the format holds.
    """
    if sum(part.length for part in recipe.parts) != recipe.size:
        raise FormatError(f"recipe of {recipe.size} bytes has parts that do not add up to it")
    distinct, sequence, holes = _tabulate(recipe.parts)
    is_straight = not holes and len(distinct) == len(recipe.parts)
    meta = recipe.meta
    try:
        fixed = _FIXED.pack(
            MAGIC,
            VERSION,
            _STRAIGHT if is_straight else 0,
            recipe_key(recipe.recipe_id),
            recipe.size,
            _of_length(recipe.digest, DIGEST_LEN),
            *(meta.mode, meta.uid, meta.gid, meta.mtime_ns, meta.atime_ns, recipe.stored_ns),
            *(len(recipe.links), len(meta.xattrs), len(distinct), 0 if is_straight else len(sequence)),
        )
    except struct.error as error:
        raise FormatError(f"recipe has a number that the format does not hold: {error}") from error
    texts = [recipe.root.encode(), recipe.chunker.encode(), meta.user.encode(), meta.group.encode(), recipe.path]
    texts += recipe.links
    for name, value in meta.xattrs:
        texts += [name, value]
    encoded = b"".join(
        [fixed, *map(_text, texts), *_chunk_columns(distinct), *([] if is_straight else _sequence(sequence, holes))]
    )
    if len(encoded) > MAX_RECIPE_BYTES:
        raise FormatError(f"recipe of {len(encoded)} bytes is beyond the limit of {MAX_RECIPE_BYTES}")
    return encoded


def decode_recipe(data: Buffer) -> Recipe:
    """Return the recipe stored as *data*. Raises FormatError; never allocates more than a small multiple of
    len(data).
    """
    reader = _Reader(bytes(data))
    fields = _FIXED.unpack(reader.take(_FIXED.size))
    magic, version, flags, key, size, digest, mode, uid, gid, mtime_ns, atime_ns, stored_ns = fields[:12]
    link_count, xattr_count, distinct_count, part_count = fields[12:]
    if magic != MAGIC:
        raise FormatError("not a recipe")
    if version != VERSION or flags & ~_STRAIGHT:
        raise FormatError(f"recipe format version {version}, flags {flags} is not known (this program reads {VERSION})")
    root, chunker, user, group = (reader.string() for _ in range(4))
    path = reader.text()
    links = tuple(reader.text() for _ in range(reader.bounded(link_count, _LENGTH.size)))
    xattrs = tuple((reader.text(), reader.text()) for _ in range(reader.bounded(xattr_count, 2 * _LENGTH.size)))
    parts = _read_parts(reader, distinct_count, None if flags & _STRAIGHT else part_count)
    reader.finish()
    recipe = Recipe(
        recipe_id=new_recipe_id(key),
        root=root,
        path=path,
        links=links,
        size=size,
        digest=Digest(digest),
        chunker=chunker,
        meta=FileMeta(mode, uid, gid, mtime_ns, atime_ns, xattrs, user, group),
        parts=parts,
        stored_ns=stored_ns,
    )
    if sum(part.length for part in parts) != size:
        raise FormatError("recipe has parts that do not add up to its size")
    return recipe


def _tabulate(parts: tuple[Part, ...]) -> tuple[list[ChunkPart], list[int], list[int]]:
    """Return distinct chunks in order of first use, the sequence of indexes, and the holes' lengths.

    An index at or above the number of distinct chunks means a hole: the next of the list.
    """
    places: dict[ChunkPart, int] = {}
    for part in parts:
        if isinstance(part, ChunkPart):
            places.setdefault(part, len(places))
    holes = [part.length for part in parts if isinstance(part, HolePart)]
    count, hole = len(places), 0
    sequence = []
    for part in parts:
        if isinstance(part, ChunkPart):
            sequence.append(places[part])
        else:
            sequence.append(count + hole)
            hole += 1
    return list(places), sequence, holes


def _chunk_columns(distinct: list[ChunkPart]) -> list[bytes]:
    lengths = [chunk.length for chunk in distinct]
    if lengths and not 0 < min(lengths) <= max(lengths) < 1 << 32:
        raise FormatError("a chunk's length is not in 1..2**32-1")
    return [
        np.array(lengths, dtype="<u4").tobytes(),
        *(_of_length(chunk.fingerprint, FINGERPRINT_LEN) for chunk in distinct),
        *(_of_length(chunk.digest, DIGEST_LEN) for chunk in distinct),
    ]


def _sequence(sequence: list[int], holes: list[int]) -> list[bytes]:
    if holes and min(holes) <= 0:
        raise FormatError("a hole's length is not positive")
    return [np.array(sequence, dtype="<u4").tobytes(), np.array(holes, dtype="<u8").tobytes()]


def _read_parts(reader: "_Reader", distinct_count: int, part_count: int | None) -> tuple[Part, ...]:
    distinct = _read_chunks(reader, distinct_count)
    if part_count is None:
        return cast(tuple[Part, ...], distinct)
    sequence = np.frombuffer(reader.take(4 * part_count), dtype="<u4")
    holes_at = np.flatnonzero(sequence >= distinct_count)
    if not np.array_equal(sequence[holes_at], distinct_count + np.arange(len(holes_at))):
        raise FormatError("recipe lists a chunk or hole that it does not have")
    holes = np.frombuffer(reader.take(8 * len(holes_at)), dtype="<u8").tolist()
    if holes and not 0 < min(holes) <= max(holes) < 1 << 63:
        raise FormatError("a hole's length is not positive")
    everything: list[Part] = [*distinct, *map(HolePart, holes)]
    return tuple(everything[index] for index in sequence.tolist())


def _read_chunks(reader: "_Reader", count: int) -> tuple[ChunkPart, ...]:
    lengths = np.frombuffer(reader.take(4 * count), dtype="<u4").tolist()
    if lengths and min(lengths) == 0:
        raise FormatError("a chunk's length is 0")
    fingerprints = reader.take(FINGERPRINT_LEN * count)
    digests = reader.take(DIGEST_LEN * count)
    return tuple(
        ChunkPart(
            Fingerprint(fingerprints[i * FINGERPRINT_LEN : (i + 1) * FINGERPRINT_LEN]),
            Digest(digests[i * DIGEST_LEN : (i + 1) * DIGEST_LEN]),
            length,
        )
        for i, length in enumerate(lengths)
    )


def _text(data: bytes) -> bytes:
    if len(data) > MAX_TEXT:
        raise FormatError(f"a path, name or attribute of {len(data)} bytes is beyond the limit of {MAX_TEXT}")
    return _LENGTH.pack(len(data)) + data


def _of_length(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise FormatError(f"expected {length} bytes, got {len(data)}")
    return data


class _Reader:
    """Takes pieces off a buffer; every length is held against what is left before it is believed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        if length > len(self._data) - self._at:
            raise FormatError("recipe is cut short")
        piece = self._data[self._at : self._at + length]
        self._at += length
        return piece

    def bounded(self, count: int, least: int) -> int:
        """Return *count* if that many items of at least *least* bytes can still follow."""
        if count * least > len(self._data) - self._at:
            raise FormatError("recipe is cut short")
        return count

    def text(self) -> bytes:
        (length,) = _LENGTH.unpack(self.take(_LENGTH.size))
        if length > MAX_TEXT:
            raise FormatError("recipe has a text beyond the limit")
        return self.take(length)

    def string(self) -> str:
        try:
            return self.text().decode()
        except UnicodeDecodeError as error:
            raise FormatError(f"recipe has a name that is not UTF-8: {error}") from error

    def finish(self) -> None:
        if self._at != len(self._data):
            raise FormatError(f"recipe is followed by {len(self._data) - self._at} stray bytes")
