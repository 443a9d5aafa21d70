"""Codecs by stored name: how a block's bytes are kept smaller, and how they come back.

Used by dedup.blocks, dedup.assemble and whatever stores recipes and segments. Which codec a block gets depends on its
content, on what segmentation says of it, and on one effort setting alone. docs/codecs.md has every payload, byte by
byte.
"""

from collections.abc import Callable

from dedup.codecs import frames
from dedup.codecs.coded import EFFORTS, RAW, Coded, level_of
from dedup.errors import CorruptChunk, UnknownName
from dedup.fingerprint import Buffer

__all__ = ["EFFORTS", "RAW", "Coded", "decode", "encode", "encode_against", "is_known", "needs_base"]

_Decoder = Callable[[Buffer, int, Buffer | None], bytes]


def encode(data: Buffer, *, kind: str = "generic", element: str = "", effort: str) -> Coded:
    """Return *data* coded on its own, or raw where coding does not make it smaller; decoded again and compared first.

    *kind* and *element* are those of dedup.values.Region; they steer the choice and are never trusted: data that is not
    what they say is coded no worse than raw. *effort* is a key of EFFORTS (ValueError). Raises CorruptChunk if a codec
    does not give the same bytes back (a fault of memory or library: nothing may be stored then).
    """
    level = level_of(effort)
    raw = bytes(data)
    payload = frames.compress(raw, level)
    if len(payload) >= len(raw):
        return Coded(RAW, raw)
    return _proven(Coded(f"zstd:{level}", payload), raw, None)


def encode_against(
    data: Buffer, base: Buffer, *, element: str, base_element: str, effort: str, solo: Coded | None = None
) -> Coded | None:
    """Return *data* coded against *base*, the raw bytes of another chunk, or None where that does not pay.

    It pays below 0.97 of *solo*, or of what a sample says of coding it alone. Decoded again and compared first.
    """
    level_of(effort)
    return None


def decode(codec: str, payload: Buffer, raw_len: int, base: Buffer | None = None) -> bytes:
    """Return the *raw_len* raw bytes of *payload*. Never allocates beyond raw_len and what the payload can hold.

    *base* is needed where needs_base() says so, and ignored elsewhere. Raises UnknownName for a codec this version does
    not know, CorruptChunk for a payload that does not decode, decodes to another length, or lacks its base.
    """
    return _decoder(codec)(payload, raw_len, base)


def is_known(codec: str) -> bool:
    """Return whether decode() knows *codec*."""
    return codec in _DECODERS


def needs_base(codec: str) -> bool:
    """Return whether a payload of *codec* is decoded against the raw bytes of another chunk. Raises UnknownName."""
    _decoder(codec)
    return False


def _proven(coded: Coded, raw: bytes, base: Buffer | None) -> Coded:
    if decode(coded.codec, coded.payload, len(raw), base) != raw:
        raise CorruptChunk(f"{coded.codec} does not give back the {len(raw)} bytes it was given")
    return coded


def _decoder(codec: str) -> _Decoder:
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise UnknownName(f"codec {codec!r} is not known")
    return decoder


def _decode_raw(payload: Buffer, raw_len: int, base: Buffer | None) -> bytes:
    del base
    if len(payload) != raw_len:
        raise CorruptChunk(f"raw payload has {len(payload)} bytes, expected {raw_len}")
    return bytes(payload)


def _decode_zstd(payload: Buffer, raw_len: int, base: Buffer | None) -> bytes:
    del base
    return frames.expand(payload, raw_len)


_DECODERS: dict[str, _Decoder] = {RAW: _decode_raw, **{f"zstd:{level}": _decode_zstd for level in frames.LEVELS}}
