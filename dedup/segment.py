"""Segments: numbered, hash-chained batches of state changes, the catalog's shadow in the store.

Used by the flusher (writing) and by rebuild and audit (reading). Layout in docs/formats.md: a fixed header, then the
records as JSON lines under zstd. What a record says is the catalog's business; here it is one line of text.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

from dedup.codecs import Coded, decode, encode
from dedup.errors import FormatError
from dedup.fingerprint import DIGEST_LEN, Buffer
from dedup.layout import codec_bytes, codec_name

MAGIC = b"FRLNSEGM"
VERSION = 1
MAX_RAW_BYTES = 1 << 30

_HEADER = struct.Struct("<8sHHIQ32sQQ32s")
_NO_HASH = bytes(DIGEST_LEN)


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment, verified."""

    number: int
    """1, 2, 3 ... without gaps."""
    prev_hash: str
    """hash of the segment before it, 64 hex digits; "" for the first."""
    records: tuple[str, ...]
    """In the order they were committed; each one JSON object without a line break."""
    hash: str
    """BLAKE3 of the whole object, 64 hex digits."""


def encode_segment(number: int, prev_hash: str, records: Iterable[str]) -> bytes:
    """Return a segment as stored; its hash is segment_hash() of the result.

    Raises FormatError if a record holds a line break, *prev_hash* is neither "" nor 64 hex digits, or the records
    exceed MAX_RAW_BYTES together.
    """
    lines = [record.encode() for record in records]
    if any(b"\n" in line for line in lines):
        raise FormatError("a segment record must be one line")
    body = b"".join(line + b"\n" for line in lines)
    if len(body) > MAX_RAW_BYTES:
        raise FormatError(f"segment of {len(body)} bytes is beyond the limit of {MAX_RAW_BYTES}")
    coded = encode(body, kind="text", effort="balanced") if body else Coded("raw", b"")
    name = codec_bytes(coded.codec)
    header = _HEADER.pack(
        *(MAGIC, VERSION, len(name), len(lines), number, _hash_bytes(prev_hash)),
        *(len(body), len(coded.payload), blake3(body).digest()),
    )
    return header + name + coded.payload


def decode_segment(data: Buffer) -> Segment:
    """Return the segment stored as *data*, its records confirmed by their digest. Raises DedupError."""
    if len(data) < _HEADER.size:
        raise FormatError("segment is cut short")
    magic, version, name_len, count, number, prev, raw_len, stored_len, digest = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FormatError("not a segment")
    if version != VERSION:
        raise FormatError(f"segment format version {version} is not known (this program reads {VERSION})")
    start = _HEADER.size + name_len
    if start + stored_len != len(data) or raw_len > MAX_RAW_BYTES:
        raise FormatError("segment's lengths do not agree with its size")
    body = decode(codec_name(bytes(data[_HEADER.size : start])), data[start:], raw_len)
    if blake3(body).digest() != digest:
        raise FormatError(f"segment {number} fails its digest")
    return Segment(
        number=number,
        prev_hash="" if prev == _NO_HASH else prev.hex(),
        records=_records(body, count),
        hash=segment_hash(data),
    )


def segment_hash(data: Buffer) -> str:
    """Return the hash that the next segment names: BLAKE3 of the whole object, 64 hex digits."""
    return blake3(data).hexdigest()


def _records(body: bytes, count: int) -> tuple[str, ...]:
    lines = body.split(b"\n")
    if lines.pop() != b"" or len(lines) != count:
        raise FormatError(f"segment announces {count} records and holds {len(lines)}")
    try:
        return tuple(line.decode() for line in lines)
    except UnicodeDecodeError as error:
        raise FormatError(f"segment record is not UTF-8: {error}") from error


def _hash_bytes(text: str) -> bytes:
    if not text:
        return _NO_HASH
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != DIGEST_LEN or found == _NO_HASH:
        raise FormatError(f"{text!r} is not a segment hash")
    return found
