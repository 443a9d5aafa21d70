"""The byte layouts of packs: fixed structures, limits, and how each is packed and checked.

Used by dedup.pack (writing, reading) and described byte by byte in docs/formats.md. All integers are little-endian; all
checks of lengths happen before anything is allocated by them.
"""

import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from blake3 import blake3

from dedup.errors import FormatError
from dedup.fingerprint import DIGEST_LEN, FINGERPRINT_LEN, Buffer
from dedup.values import Digest, Fingerprint, PackEntry

PackKind = Literal["data", "recipes"]

VERSION = 1
PACK_MAGIC = b"FRLNPACK"
CHUNK_MAGIC = b"FLCH"
TRAILER_MAGIC = b"FLTR"
FOOTER_MAGIC = b"FRLNFOOT"
KIND_CODES: dict[PackKind, int] = {"data": 1, "recipes": 2}

MAX_STORED_LEN = 1 << 30
"""Of one chunk or recipe. A recipe of this size lists 20 million chunks."""
MAX_CODEC_LEN = 64
MAX_PACK_BYTES = 1 << 40

_HEADER = struct.Struct("<8sHH4x")
_CHUNK = struct.Struct("<4sIIBx")
_ENTRY = struct.Struct("<16s32sQIIH")
_TRAILER = struct.Struct("<4sII")
_FOOTER = struct.Struct("<8sHHIQI32s")
_CRC = struct.Struct("<I")
_OFFSET = struct.Struct("<Q")

HEADER_LEN = _HEADER.size
CHUNK_FIXED_LEN = _CHUNK.size + FINGERPRINT_LEN + DIGEST_LEN
LONGEST_CHUNK_HEADER = CHUNK_FIXED_LEN + MAX_CODEC_LEN + _CRC.size
FOOTER_LEN = _FOOTER.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Footer:
    """The last bytes of a pack."""

    kind: PackKind
    entry_count: int
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


def chunk_header(entry: PackEntry, header_offset: int) -> bytes:
    """Return the header that precedes the payload of *entry* and begins at *header_offset*.

    The checksum covers the offset as well, so that the bytes of a pack stored inside a pack are not taken for chunks of
    the outer one when that is scanned.
    """
    name = codec_bytes(entry.codec)
    body = (
        _CHUNK.pack(CHUNK_MAGIC, entry.stored_len, entry.raw_len, len(name)) + entry.fingerprint + entry.digest + name
    )
    return body + _CRC.pack(zlib.crc32(_OFFSET.pack(header_offset), zlib.crc32(body)))


def parse_chunk_header(data: Buffer, header_offset: int) -> PackEntry:
    """Return the entry that a chunk header at the front of *data* describes.

    Raises FormatError if there is none or its checksum, which covers *header_offset*, does not hold.
    """
    if len(data) < CHUNK_FIXED_LEN + _CRC.size:
        raise FormatError("chunk header is cut short")
    magic, stored_len, raw_len, name_len = _CHUNK.unpack_from(data)
    end = CHUNK_FIXED_LEN + name_len
    if magic != CHUNK_MAGIC or name_len > MAX_CODEC_LEN or len(data) < end + _CRC.size:
        raise FormatError("not a chunk header")
    body = bytes(data[:end])
    if zlib.crc32(_OFFSET.pack(header_offset), zlib.crc32(body)) != _CRC.unpack_from(data, end)[0]:
        raise FormatError("chunk header fails its checksum")
    at = _CHUNK.size
    return checked_entry(
        PackEntry(
            fingerprint=Fingerprint(body[at : at + FINGERPRINT_LEN]),
            digest=Digest(body[at + FINGERPRINT_LEN : CHUNK_FIXED_LEN]),
            raw_len=raw_len,
            stored_len=stored_len,
            offset=header_offset + end + _CRC.size,
            codec=codec_name(body[CHUNK_FIXED_LEN:]),
        )
    )


def trailer(entries: list[PackEntry]) -> bytes:
    """Return the index of a pack: the codec names in use, then one fixed record per entry, in pack order."""
    names = sorted({entry.codec for entry in entries})
    numbers = {name: number for number, name in enumerate(names)}
    parts = [_TRAILER.pack(TRAILER_MAGIC, len(entries), len(names))]
    for name in names:
        encoded = codec_bytes(name)
        parts += [bytes([len(encoded)]), encoded]
    parts += [
        _ENTRY.pack(e.fingerprint, e.digest, e.offset, e.stored_len, e.raw_len, numbers[e.codec]) for e in entries
    ]
    return b"".join(parts)


def parse_trailer(data: Buffer, *, entry_count: int, payload_end: int) -> list[PackEntry]:
    """Return the entries of a trailer whose digest has been confirmed; *payload_end* is where the trailer begins.

    Raises FormatError unless the counts agree with the length and every payload lies between header and trailer.
    """
    if len(data) < _TRAILER.size:
        raise FormatError("trailer is cut short")
    magic, count, name_count = _TRAILER.unpack_from(data)
    if magic != TRAILER_MAGIC or count != entry_count or name_count > min(len(data), 1 << 16):
        raise FormatError("trailer does not agree with the footer")
    names, at = [], _TRAILER.size
    for _ in range(name_count):
        end = at + 1 + (data[at] if at < len(data) else 0)
        if end > len(data):
            raise FormatError("trailer is cut short in its codec names")
        names.append(codec_name(bytes(data[at + 1 : end])))
        at = end
    if len(data) - at != count * _ENTRY.size:
        raise FormatError(f"trailer has {len(data) - at} bytes for {count} entries")
    return [_entry(fields, names, payload_end) for fields in _ENTRY.iter_unpack(data[at:])]


def footer(kind: PackKind, entry_count: int, trailer_offset: int, trailer_bytes: bytes) -> bytes:
    """Return the last FOOTER_LEN bytes of a pack."""
    digest = blake3(trailer_bytes).digest()
    body = _FOOTER.pack(
        FOOTER_MAGIC, VERSION, KIND_CODES[kind], entry_count, trailer_offset, len(trailer_bytes), digest
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
    if offset < HEADER_LEN or offset + length + FOOTER_LEN != size_bytes or count * _ENTRY.size > length:
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


def checked_entry(entry: PackEntry) -> PackEntry:
    """Return *entry* if its lengths are within the limits; raises FormatError."""
    if len(entry.fingerprint) != FINGERPRINT_LEN or len(entry.digest) != DIGEST_LEN:
        raise FormatError("fingerprint or digest has the wrong length")
    if not (0 <= entry.raw_len <= MAX_STORED_LEN and 0 <= entry.stored_len <= MAX_STORED_LEN):
        raise FormatError(f"chunk of {entry.raw_len} raw, {entry.stored_len} stored bytes is beyond the limit")
    return entry


def _checked_kind(version: int, code: int) -> PackKind:
    if version != VERSION:
        raise FormatError(f"pack format version {version} is not known (this program reads {VERSION})")
    for kind, known in KIND_CODES.items():
        if known == code:
            return kind
    raise FormatError(f"pack kind {code} is not known")


def _entry(fields: tuple[bytes, bytes, int, int, int, int], names: list[str], payload_end: int) -> PackEntry:
    fingerprint, digest, offset, stored_len, raw_len, number = fields
    if number >= len(names) or offset < HEADER_LEN or offset + stored_len > payload_end:
        raise FormatError("trailer entry points outside of the pack")
    return checked_entry(
        PackEntry(Fingerprint(fingerprint), Digest(digest), raw_len, stored_len, offset, names[number])
    )
