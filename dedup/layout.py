"""The byte layouts of packs: fixed structures, limits, and how each is packed and checked.

Used by dedup.pack (writing, reading) and described byte by byte in docs/formats.md. All integers are little-endian; all
checks of lengths happen before anything is allocated by them. dedup.pack_index has the trailer.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from blake3 import blake3

from dedup.errors import FormatError
from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN, Buffer
from dedup.values import Block, Digest, ScannedBlock
from dedup.varint import decode_varints, encode_varints

PackKind = Literal["data", "recipes"]

VERSION = 1
PACK_MAGIC = b"FRLNPACK"
BLOCK_MAGIC = b"FLBK"
FOOTER_MAGIC = b"FRLNFOOT"
KIND_CODES: dict[PackKind, int] = {"data": 1, "recipes": 2}
RECIPE_KEY_LEN = 16
NAME_LENS: dict[PackKind, int] = {"data": FINGERPRINT_LEN, "recipes": RECIPE_KEY_LEN}
"""Bytes that name a chunk: its fingerprint; a recipe: its id."""

MAX_STORED_LEN = 1 << 30
"""Of one block, coded or decoded. A single recipe may be that long: it lists 20 million chunks."""
MAX_BLOCK_CHUNKS = 1 << 16
"""1 MiB of files of 16 bytes each."""
MAX_CODEC_LEN = 64
MAX_PACK_BYTES = 1 << 40

_HEADER = struct.Struct("<8sHH4x")
_BLOCK = struct.Struct("<4sIIIIIBBH")
_FOOTER = struct.Struct("<8sHHIQI32s")
_CRC = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")
_HAS_BASE = 1
_LONGEST_LENGTH = 5  # bytes of a length below 2**32

HEADER_LEN = _HEADER.size
BLOCK_FIXED_LEN = _BLOCK.size
FOOTER_LEN = _FOOTER.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Footer:
    """The last bytes of a pack."""

    kind: PackKind
    chunk_count: int
    trailer_offset: int
    trailer_len: int
    trailer_digest: Digest


def pack_header(kind: PackKind) -> bytes:
    """Return the first HEADER_LEN bytes of a pack."""
    return _HEADER.pack(PACK_MAGIC, VERSION, KIND_CODES[kind])


def parse_pack_header(data: Buffer) -> PackKind:
    """Return the kind; raises FormatError for another magic, version or kind."""
    if len(data) < HEADER_LEN:
        raise FormatError("pack is shorter than its header")
    magic, version, kind = _HEADER.unpack_from(data)
    if magic != PACK_MAGIC:
        raise FormatError("not a pack: its first bytes are not FRLNPACK")
    return _checked_kind(version, kind)


def block_header(block: Block, header_offset: int) -> bytes:
    """Return the header that precedes the payload of *block* and begins at *header_offset*.

    The checksum covers the offset as well, so that the bytes of a pack stored inside a pack are not taken for blocks of
    the outer one when that is scanned.
    """
    name = codec_bytes(block.codec)
    lengths = encode_varints([chunk[2] for chunk in block.chunks[:-1]])
    flags = _HAS_BASE if block.base is not None else 0
    fixed = _BLOCK.pack(
        *(BLOCK_MAGIC, block.stored_len, block.raw_len, len(block.chunks), block.first),
        *(len(lengths), len(name), flags, 0),
    )
    body = fixed + name + (block.base or b"") + lengths
    return body + _CRC.pack(zlib.crc32(_OFFSET.pack(header_offset), zlib.crc32(body)))


def block_header_len(fixed: Buffer) -> int:
    """Return how long the block header is whose first BLOCK_FIXED_LEN bytes these are. Raises FormatError for what
    cannot be one.
    """
    if len(fixed) < BLOCK_FIXED_LEN:
        raise FormatError("block header is cut short")
    magic, _, _, chunk_count, _, lengths_len, name_len, flags, zero = _BLOCK.unpack_from(fixed)
    if magic != BLOCK_MAGIC or zero or flags & ~_HAS_BASE or name_len > MAX_CODEC_LEN:
        raise FormatError("not a block header")
    if not 0 < chunk_count <= MAX_BLOCK_CHUNKS or not chunk_count - 1 <= lengths_len <= _LONGEST_LENGTH * chunk_count:
        raise FormatError("block header has an impossible number of chunks")
    return BLOCK_FIXED_LEN + int(name_len) + (DIGEST_LEN if flags else 0) + int(lengths_len) + _CRC.size


def parse_block_header(data: Buffer, header_offset: int) -> ScannedBlock:
    """Return what the block header at the front of *data* says.

    Raises FormatError if there is none or its checksum, which covers *header_offset*, does not hold.
    """
    header_len = block_header_len(data)
    if len(data) < header_len:
        raise FormatError("block header is cut short")
    body = bytes(data[: header_len - _CRC.size])
    if zlib.crc32(_OFFSET.pack(header_offset), zlib.crc32(body)) != _CRC.unpack_from(data, len(body))[0]:
        raise FormatError("block header fails its checksum")
    _, stored_len, raw_len, chunk_count, first, lengths_len, name_len, flags, _ = _BLOCK.unpack_from(body)
    at = BLOCK_FIXED_LEN + name_len
    base = Digest(body[at : at + DIGEST_LEN]) if flags else None
    if (base is not None and chunk_count != 1) or max(raw_len, stored_len) > MAX_STORED_LEN:
        raise FormatError("block header is not of a block that can be")
    lengths, end = decode_varints(body, len(body) - lengths_len, chunk_count - 1)
    if end != len(body):
        raise FormatError("block header has stray bytes")
    return ScannedBlock(
        offset=header_offset + header_len,
        stored_len=stored_len,
        raw_len=raw_len,
        codec=codec_name(body[BLOCK_FIXED_LEN:at]),
        lengths=all_lengths(lengths, raw_len),
        base=base,
        first=first,
    )


def all_lengths(but_last: Sequence[int], raw_len: int) -> tuple[int, ...]:
    """Return the lengths of a block's chunks from all but the last. Raises FormatError unless each is positive."""
    lengths = (*but_last, raw_len - sum(but_last))
    if min(lengths) <= 0:
        raise FormatError("a block's chunks do not add up to it")
    return lengths


def footer(kind: PackKind, chunk_count: int, trailer_offset: int, trailer_bytes: bytes) -> bytes:
    """Return the last FOOTER_LEN bytes of a pack."""
    digest = blake3(trailer_bytes).digest()
    body = _FOOTER.pack(
        FOOTER_MAGIC, VERSION, KIND_CODES[kind], chunk_count, trailer_offset, len(trailer_bytes), digest
    )
    return body + _CRC.pack(zlib.crc32(body))


def parse_footer(data: Buffer, size_bytes: int) -> Footer:
    """Return the footer of a pack of *size_bytes* from its last FOOTER_LEN bytes. Raises FormatError."""
    if len(data) != FOOTER_LEN or zlib.crc32(data[: _FOOTER.size]) != _CRC.unpack_from(data, _FOOTER.size)[0]:
        raise FormatError("pack footer is damaged or cut off")
    magic, version, code, count, offset, length, digest = _FOOTER.unpack_from(data)
    if magic != FOOTER_MAGIC:
        raise FormatError("pack does not end in a footer")
    kind = _checked_kind(version, code)
    if offset < HEADER_LEN or offset + length + FOOTER_LEN != size_bytes:
        raise FormatError(f"pack footer does not fit a pack of {size_bytes} bytes")
    return Footer(kind, count, offset, length, Digest(digest))


def codec_bytes(name: str) -> bytes:
    """Return a codec name as stored. Raises FormatError for a name that cannot be."""
    encoded = name.encode()
    codec_name(encoded)
    return encoded


@lru_cache(maxsize=64)
def codec_name(data: bytes) -> str:
    """Return a stored codec name. Raises FormatError for what codec_bytes() would not have written."""
    if not 0 < len(data) <= MAX_CODEC_LEN or not data.isascii() or any(not 32 < byte < 127 for byte in data):
        raise FormatError(f"codec name {data[:80]!r} is not 1 to {MAX_CODEC_LEN} printable ASCII characters")
    return data.decode("ascii")


def checked_block(block: Block, kind: PackKind) -> Block:
    """Return *block* if a pack of *kind* can hold it; raises FormatError."""
    name_len = NAME_LENS[kind]
    if not 0 < len(block.chunks) <= MAX_BLOCK_CHUNKS:
        raise FormatError(f"a block holds 1 to {MAX_BLOCK_CHUNKS} chunks, not {len(block.chunks)}")
    names, digests, lengths = zip(*block.chunks, strict=True)
    if {*map(len, names)} != {name_len} or {*map(len, digests)} != {DIGEST_LEN}:
        raise FormatError("fingerprint, recipe id or digest has the wrong length")
    if min(lengths) <= 0 or sum(lengths) != block.raw_len:
        raise FormatError("a block's chunks do not add up to it")
    if max(block.raw_len, block.stored_len) > MAX_STORED_LEN:
        raise FormatError(f"block of {block.raw_len} raw, {block.stored_len} stored bytes is beyond the limit")
    if kind == "recipes" and (block.base is not None or len({*digests}) != 1):
        raise FormatError("the recipes of a block share one digest, and it has no base")
    if block.base is not None and (len(block.base) != DIGEST_LEN or len(block.chunks) != 1):
        raise FormatError("a block with a base holds one chunk")
    return block


def _checked_kind(version: int, code: int) -> PackKind:
    if version != VERSION:
        raise FormatError(f"pack format version {version} is not known (this program reads {VERSION})")
    for kind, known in KIND_CODES.items():
        if known == code:
            return kind
    raise FormatError(f"pack kind {code} is not known")
