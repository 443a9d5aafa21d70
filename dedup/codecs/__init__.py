"""Codecs by stored name: how a block's bytes are kept smaller, and how they come back.

Used by dedup.blocks, dedup.assemble and whatever stores recipes and segments. Which codec a block gets depends on its
content, on what segmentation says of it, and on one effort setting alone. docs/codecs.md has every payload, byte by
byte.
"""

from collections.abc import Callable
from functools import partial

from dedup.codecs import cast, choice, delta, frames, planes, sections
from dedup.codecs.coded import EFFORTS, RAW, Coded, level_of
from dedup.codecs.elements import ELEMENTS, SORTED
from dedup.errors import CorruptChunk, UnknownName
from dedup.fingerprint import Buffer

GIVEN = "given"
"""Kind of bytes whose codec is prescribed, not chosen."""

__all__ = [
    "EFFORTS",
    "GIVEN",
    "RAW",
    "Coded",
    "decode",
    "encode",
    "encode_against",
    "is_known",
    "level_given",
    "needs_base",
]

_Decoder = Callable[[Buffer, int], bytes]
_BaseDecoder = Callable[[Buffer, int, Buffer], bytes]


def encode(data: Buffer, *, kind: str = "generic", element: str = "", effort: str) -> Coded:
    """Return *data* coded on its own, or raw where coding does not make it smaller; decoded again and compared first.

    *kind* and *element* are those of dedup.values.Region; they steer the choice and are never trusted: data that is not
    what they say is coded no worse than raw. Of kind GIVEN *element* is the name of the codec, raw or zstd:<level>,
    that somebody prescribed. *effort* is a key of EFFORTS (ValueError). Raises CorruptChunk if a codec does not give
    the same bytes back (a fault of memory or library: nothing may be stored then), UnknownName for what cannot be
    prescribed.
    """
    raw = bytes(data)
    if kind == GIVEN:
        return _proven(choice.prescribed(raw, level_given(element)), raw, None)
    level = level_of(effort, kind)
    return _proven(choice.solo(raw, kind=kind, element=element, level=level), raw, None)


def encode_against(
    data: Buffer, base: Buffer, *, element: str, base_element: str, effort: str, solo: Coded | None = None
) -> Coded | None:
    """Return *data* coded against *base*, the raw bytes of another chunk, or None where that does not pay.

    It pays below 0.97 of *solo*, or of what a sample says of coding it alone: so ask here first, and code alone what
    comes back as None. A base of the same element and length gives a delta, or sorts (an AdamW moment m by its v); an
    f32 base of twice the length gives a cast. Decoded again and compared before returning, as encode() does.
    """
    level = level_of(effort)
    raw = bytes(data)
    coded = choice.against(raw, base, elements=(element, base_element), level=level, rival=solo)
    if coded is None or len(coded.payload) >= len(raw):
        return None
    return _proven(coded, raw, base)


def level_given(codec: str) -> int | None:
    """Return the zstd level of a codec that may be prescribed, None for raw. Raises UnknownName for any other."""
    if codec == RAW:
        return None
    name, _, level = codec.partition(":")
    if name != "zstd" or not level.isdecimal() or int(level) not in frames.LEVELS:
        raise UnknownName(
            f'codec {codec!r} cannot be prescribed: only "raw" and "zstd:1" to "zstd:{max(frames.LEVELS)}"'
        )
    return int(level)


def decode(codec: str, payload: Buffer, raw_len: int, base: Buffer | None = None) -> bytes:
    """Return the *raw_len* raw bytes of *payload*. Never allocates beyond a small multiple of raw_len and the base.

    *base* is needed where needs_base() says so, and ignored elsewhere. Raises UnknownName for a codec this version does
    not know, CorruptChunk for a payload that does not decode, decodes to another length, or lacks its base.
    """
    alone = _ALONE.get(codec)
    if alone is not None:
        return alone(payload, raw_len)
    against = _AGAINST.get(codec)
    if against is None:
        raise UnknownName(f"codec {codec!r} is not known")
    if base is None:
        raise CorruptChunk(f"{codec} needs the chunk it was coded against")
    return against(payload, raw_len, base)


def is_known(codec: str) -> bool:
    """Return whether decode() knows *codec*."""
    return codec in _ALONE or codec in _AGAINST


def needs_base(codec: str) -> bool:
    """Return whether a payload of *codec* is decoded against the raw bytes of another chunk. Raises UnknownName."""
    if not is_known(codec):
        raise UnknownName(f"codec {codec!r} is not known")
    return codec in _AGAINST


def _proven(coded: Coded, raw: bytes, base: Buffer | None) -> Coded:
    if coded.codec != RAW and decode(coded.codec, coded.payload, len(raw), base) != raw:
        raise CorruptChunk(f"{coded.codec} does not give back the {len(raw)} bytes it was given")
    return coded


def _decode_raw(payload: Buffer, raw_len: int) -> bytes:
    if len(payload) != raw_len:
        raise CorruptChunk(f"raw payload has {len(payload)} bytes, expected {raw_len}")
    return bytes(payload)


def _decode_zstd(payload: Buffer, raw_len: int) -> bytes:
    return frames.expand(payload, raw_len)


_ALONE: dict[str, _Decoder] = {
    RAW: _decode_raw,
    **{f"zstd:{level}": _decode_zstd for level in frames.LEVELS},
    choice.PLANES: planes.decode,
    **{f"{choice.PLANES}:{element}": planes.decode for element in ELEMENTS},
    sections.SECTIONS: sections.decode,
}
_AGAINST: dict[str, _BaseDecoder] = {
    **{
        f"{way}:{element}": partial(delta.decode, way=way, element=element) for way in delta.FORMS for element in SORTED
    },
    **{f"{cast.CAST}:{element}": partial(cast.decode, element=element) for element in cast.ELEMENTS},
}
