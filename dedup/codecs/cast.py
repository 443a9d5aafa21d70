"""Casts: a bf16 or f16 tensor that is the rounding of an f32 tensor, and costs next to nothing beside it.

Used by dedup.codecs.choice. Rounds to nearest, ties to even, as every framework does; words that came out otherwise
(NaNs, whose bits frameworks choose freely) are listed.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.codecs import transforms
from dedup.codecs.samples import spread
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer, fingerprint

CAST = "cast-1"
ELEMENTS = ("bf16", "f16")
VERSION = 1
HEADER = struct.Struct("<B3xI8s")
_EXCEPTION = np.dtype([("place", "<u4"), ("word", "<u2")])

# One word in 64 costs 6 bytes in 128: with more, it was not rounded so, and a delta or planes do better.
_RAREST = 64
_SAMPLE_WORDS = 256


def encode(data: Buffer, base: Buffer, *, element: str) -> bytes | None:
    """Return the payload of *data* as f32 *base* rounded to *element*; None where too much of it is not."""
    if len(data) * 2 != len(base) or len(data) % 2:
        return None
    words, wide = transforms.words_of(data, 2), transforms.words_of(base, 4)
    some, some_wide = spread(words, _SAMPLE_WORDS), spread(wide, _SAMPLE_WORDS)
    if np.count_nonzero(rounded(some_wide, element) != some) * _RAREST > max(len(some), _RAREST):
        return None
    places = np.flatnonzero(rounded(wide, element) != words)
    if len(places) * _RAREST > len(words):
        return None
    listed = np.empty(len(places), dtype=_EXCEPTION)
    listed["place"], listed["word"] = places, words[places]
    return HEADER.pack(VERSION, len(places), fingerprint(data)) + listed.tobytes()


def decode(payload: Buffer, raw_len: int, base: Buffer, *, element: str) -> bytes:
    """Return the *raw_len* bytes of *payload*. Raises CorruptChunk, also where *base* is not twice as long."""
    if raw_len * 2 != len(base) or raw_len % 2:
        raise CorruptChunk(f"cast of {raw_len} bytes from a base of {len(base)}")
    if len(payload) < HEADER.size:
        raise CorruptChunk(f"cast payload of {len(payload)} bytes has no header")
    version, count, check = HEADER.unpack_from(payload)
    if version != VERSION or HEADER.size + count * _EXCEPTION.itemsize != len(payload):
        raise CorruptChunk(f"cast payload of version {version}, {len(payload)} bytes, cannot list {count} words")
    words = rounded(transforms.words_of(base, 4), element)
    listed = np.frombuffer(payload, dtype=_EXCEPTION, offset=HEADER.size)
    if count and int(listed["place"].max()) >= len(words):
        raise CorruptChunk(f"cast payload lists a word beyond the {len(words)} there are")
    words[listed["place"]] = listed["word"]
    raw = words.tobytes()
    if fingerprint(raw) != check:
        raise CorruptChunk("cast gives other bytes than were coded: damaged, or not the right base")
    return raw


def rounded(wide: NDArray[Any], element: str) -> NDArray[Any]:
    """Return f32 words rounded to *element*; a NaN becomes the quiet NaN of its sign without payload."""
    if element == "bf16":
        return transforms.round_bf16(wide)
    floats = wide.view("<f4")
    with np.errstate(all="ignore"):
        words = floats.astype("<f2").view("<u2")
    nan = np.isnan(floats)
    if nan.any():
        words[nan] = ((wide[nan] >> np.uint32(16)) & np.uint32(0x8000)).astype(np.uint16) | np.uint16(0x7E00)
    return words
