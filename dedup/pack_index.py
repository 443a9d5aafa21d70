"""The trailer of a pack: its blocks, and what each chunk or recipe in them is called. Numbers, then names, in columns.

Used by dedup.pack; docs/formats.md has the bytes. A chunk costs 40 bytes and its length; a recipe 2 to 17 and its
length, since ids made one after the other share their beginning and the recipes of a block their digest.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from dedup.errors import FormatError
from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN
from dedup.layout import (
    HEADER_LEN,
    RECIPE_KEY_LEN,
    Footer,
    PackKind,
    all_lengths,
    checked_block,
    codec_bytes,
    codec_name,
)
from dedup.values import Block, ChunkPart, Digest, Fingerprint
from dedup.varint import decode_varints, encode_columns

TRAILER_MAGIC = b"FLTR"

_TRAILER = struct.Struct("<4sIIII")
_NUMBERS = 5
"""Of each block: gap before its payload, stored length, raw length, codec and base, number of chunks."""
_LEAST_BYTES: dict[PackKind, int] = {"data": FINGERPRINT_LEN + DIGEST_LEN, "recipes": 2}
"""Of one chunk or recipe in a trailer."""


def trailer(kind: PackKind, blocks: Sequence[Block]) -> bytes:
    """Return the index of a pack of *blocks*, which are in pack order."""
    codecs = sorted({block.codec for block in blocks})
    chunks = list(chain.from_iterable([block.chunks for block in blocks]))
    names, digests, lengths = zip(*chunks, strict=True) if chunks else ((), (), ())
    numbers = _numbers(blocks, codecs, lengths)
    parts = [_TRAILER.pack(TRAILER_MAGIC, len(blocks), len(chunks), len(codecs), len(numbers))]
    for name in codecs:
        encoded = codec_bytes(name)
        parts += [bytes([len(encoded)]), encoded]
    parts.append(numbers)
    if kind == "data":
        parts += names
        parts += digests
        parts += [block.base for block in blocks if block.base is not None]
    else:
        parts.append(_shared_keys(names))
        parts += [block.chunks[0].digest for block in blocks]
    return b"".join(parts)


def parse_trailer(data: bytes, end: Footer) -> list[Block]:
    """Return the blocks of a trailer whose digest has been confirmed; *end* is the pack's footer.

    Raises FormatError unless all counts agree with the length and every payload lies between header and trailer.
    """
    if len(data) < _TRAILER.size:
        raise FormatError("trailer is cut short")
    magic, block_count, chunk_count, codec_count, numbers_len = _TRAILER.unpack_from(data)
    if magic != TRAILER_MAGIC or chunk_count != end.chunk_count or block_count > chunk_count:
        raise FormatError("trailer does not agree with the footer")
    if chunk_count * _LEAST_BYTES[end.kind] + block_count * _NUMBERS + codec_count > len(data):
        raise FormatError(f"trailer of {len(data)} bytes is too short for {chunk_count} chunks")
    codecs, at = _codecs(data, codec_count)
    numbers, after = decode_varints(data, at, _NUMBERS * block_count + chunk_count - block_count)
    if after != at + numbers_len:
        raise FormatError("trailer has numbers of another length than it says")
    places = _places(numbers[: _NUMBERS * block_count], codecs, end.trailer_offset)
    lengths = _lengths(places, numbers[_NUMBERS * block_count :], chunk_count)
    named = _read_chunks if end.kind == "data" else _read_recipes
    return [checked_block(block, end.kind) for block in named(data, after, places, lengths)]


def _numbers(blocks: Sequence[Block], codecs: Sequence[str], lengths: Sequence[int]) -> bytes:
    """Return five numbers of each block, then *lengths*, those of all chunks, but for the last of each block."""
    places = {name: number for number, name in enumerate(codecs)}
    numbers: list[int] = []
    at = HEADER_LEN
    for block in blocks:
        coding = places[block.codec] << 1 | (block.base is not None)
        numbers += (block.offset - at, block.stored_len, block.raw_len, coding, len(block.chunks))
        at = block.offset + block.stored_len
    start = 0
    for block in blocks:
        end = start + len(block.chunks)
        numbers += lengths[start : end - 1]
        start = end
    return encode_columns(np.array(numbers, dtype=np.uint64), [len(numbers)])[0]


def _shared_keys(keys: Sequence[bytes]) -> bytes:
    """Return recipe ids, each as the number of leading bytes it shares with the one before, and the others."""
    out = bytearray()
    before: int | None = None
    for key in keys:
        number = int.from_bytes(key, "big")
        shared = 0
        if before is not None:
            different = (number ^ before).bit_length()  # the highest of 128 bits that differs
            shared = min(RECIPE_KEY_LEN - (different + 7) // 8, RECIPE_KEY_LEN - 1)
        out.append(shared)
        out += key[shared:]
        before = number
    return bytes(out)


def _codecs(data: bytes, count: int) -> tuple[list[str], int]:
    names, at = [], _TRAILER.size
    for _ in range(count):
        end = at + 1 + (data[at] if at < len(data) else 0)
        if end > len(data):
            raise FormatError("trailer is cut short in its codec names")
        names.append(codec_name(data[at + 1 : end]))
        at = end
    return names, at


@dataclass(frozen=True, slots=True)
class _Place:
    """A block without the names of its chunks."""

    offset: int
    stored_len: int
    raw_len: int
    codec: str
    has_base: bool
    chunk_count: int
    first: int

    def block(self, chunks: Sequence[ChunkPart], base: Digest | None) -> Block:
        return Block(self.offset, self.stored_len, self.raw_len, self.codec, tuple(chunks), base, self.first)


def _places(numbers: Sequence[int], codecs: Sequence[str], payload_end: int) -> list[_Place]:
    places, at, first = [], HEADER_LEN, 0
    columns = [iter(numbers)] * _NUMBERS
    for gap, stored_len, raw_len, coding, chunk_count in zip(*columns, strict=True):
        offset = at + gap
        at = offset + stored_len
        if at > payload_end or coding >> 1 >= len(codecs) or chunk_count == 0:
            raise FormatError("trailer describes a block that does not fit the pack")
        places.append(_Place(offset, stored_len, raw_len, codecs[coding >> 1], bool(coding & 1), chunk_count, first))
        first += chunk_count
    return places


def _lengths(places: Sequence[_Place], but_last: Sequence[int], chunk_count: int) -> list[tuple[int, ...]]:
    if sum(place.chunk_count for place in places) != chunk_count:
        raise FormatError("trailer's blocks do not hold as many chunks as it says")
    lengths, at = [], 0
    for place in places:
        lengths.append(all_lengths(but_last[at : at + place.chunk_count - 1], place.raw_len))
        at += place.chunk_count - 1
    return lengths


def _read_chunks(data: bytes, at: int, places: Sequence[_Place], lengths: Sequence[tuple[int, ...]]) -> Iterator[Block]:
    count = sum(place.chunk_count for place in places)
    digests_at = at + FINGERPRINT_LEN * count
    bases_at = digests_at + DIGEST_LEN * count
    if len(data) != bases_at + DIGEST_LEN * sum(place.has_base for place in places):
        raise FormatError("trailer is not as long as its names")
    for place, block_lengths in zip(places, lengths, strict=True):
        chunks = []
        for length in block_lengths:
            fingerprint = Fingerprint(data[at : at + FINGERPRINT_LEN])
            chunks.append(ChunkPart(fingerprint, Digest(data[digests_at : digests_at + DIGEST_LEN]), length))
            at += FINGERPRINT_LEN
            digests_at += DIGEST_LEN
        base = None
        if place.has_base:
            base = Digest(data[bases_at : bases_at + DIGEST_LEN])
            bases_at += DIGEST_LEN
        yield place.block(chunks, base)


def _read_recipes(
    data: bytes, at: int, places: Sequence[_Place], lengths: Sequence[tuple[int, ...]]
) -> Iterator[Block]:
    digests_at = len(data) - DIGEST_LEN * len(places)
    key = b""
    for place, block_lengths in zip(places, lengths, strict=True):
        digest = Digest(data[digests_at : digests_at + DIGEST_LEN])
        digests_at += DIGEST_LEN
        chunks = []
        for length in block_lengths:
            shared = data[at] if at < len(data) else RECIPE_KEY_LEN
            if shared >= RECIPE_KEY_LEN or shared > len(key):
                raise FormatError("trailer has a recipe id that cannot be")
            key = key[:shared] + data[at + 1 : at + 1 + RECIPE_KEY_LEN - shared]
            at += 1 + RECIPE_KEY_LEN - shared
            chunks.append(ChunkPart(Fingerprint(key), digest, length))
        if place.has_base:
            raise FormatError("a block of recipes has no base")
        yield place.block(chunks, None)
    if at != len(data) - DIGEST_LEN * len(places):
        raise FormatError("trailer is not as long as its names")
