"""Every decoder as docs/codecs.md tells it, number by number in plain Python: what the fast ones must equal.

Used by the tests beside it. Checks nothing: fingerprints are passed over.
"""

import math
import struct

import zstandard

WIDTHS = {"bf16": 2, "f16": 2, "f32": 4, "f64": 8}
KEYS = {"bf16": (7, 0xFF), "f16": (10, 0x1F), "f32": (23, 0xFF), "f64": (52, 0xFF)}


def decode(codec: str, payload: bytes, raw_len: int, base: bytes = b"") -> bytes:
    """Return the raw bytes of a sound payload."""
    name, _, element = codec.partition(":")
    if name == "raw":
        return payload
    if name == "zstd":
        return expand(payload)
    if name == "sections-1":
        return sections(payload)
    if name == "cast-1":
        return cast(payload, base, element)
    return planes(payload, raw_len, base, element)


def expand(frame: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(frame)


def planes(payload: bytes, raw_len: int, base: bytes, element: str) -> bytes:
    _, form, count, head_len = payload[:4]
    width = 4 if form in {2, 3} else count
    words_len, tail_len = divmod(raw_len - head_len, width)
    position = 12 + 5 * count + head_len + tail_len
    head = payload[12 + 5 * count :][:head_len]
    tail = payload[12 + 5 * count + head_len :][:tail_len]
    opened = []
    for k in range(count):
        method, length = struct.unpack_from("<BI", payload, 12 + 5 * k)
        body = payload[position : position + length]
        opened.append(expand(body) if method else body)
        position += length
    assert position == len(payload)
    words = [sum(opened[k][i] << 8 * k for k in range(count)) for i in range(words_len)]
    if form >= 4:
        words = sorted_back(words, base, element, form)
    else:
        words = [turned_back(word, form, count) for word in words]
    return head + b"".join(word.to_bytes(width, "little") for word in words) + tail


def turned_back(word: int, form: int, width: int) -> int:
    if form in {1, 2}:
        word = (word >> 1) | ((word & 1) << (8 * width - 1))
    if form == 2:
        return word << 16
    if form == 3:
        (number,) = struct.unpack("<e", word.to_bytes(2, "little"))
        return int.from_bytes(struct.pack("<f", number), "little")
    return word


def sorted_back(words: list[int], base: bytes, element: str, form: int) -> list[int]:
    width = WIDTHS[element]
    shift, mask = KEYS[element]
    like = [int.from_bytes(base[i : i + width], "little") for i in range(0, len(base) // width * width, width)]
    places = sorted(range(len(like)), key=lambda i: (like[i] >> shift) & mask)
    out = [0] * len(like)
    for place, z in zip(places, words, strict=True):
        if form == 5:
            out[place] = turned_back(z, 1, width)
        else:
            out[place] = (like[place] + (~(z >> 1) if z & 1 else z >> 1)) % (1 << 8 * width)
    return out


def sections(payload: bytes) -> bytes:
    _, _, count = struct.unpack_from("<BBH", payload)
    position, raw = 12 + 9 * count, b""
    for k in range(count):
        codec, raw_len, length = struct.unpack_from("<BII", payload, 12 + 9 * k)
        raw += decode(("raw", "zstd", "planes-1")[codec], payload[position : position + length], raw_len)
        position += length
    return raw


def cast(payload: bytes, base: bytes, element: str) -> bytes:
    (count,) = struct.unpack_from("<I", payload, 4)
    wide = [int.from_bytes(base[i : i + 4], "little") for i in range(0, len(base), 4)]
    words = [rounded_bf16(u) if element == "bf16" else rounded_f16(u) for u in wide]
    for k in range(count):
        place, word = struct.unpack_from("<IH", payload, 16 + 6 * k)
        words[place] = word
    return b"".join(word.to_bytes(2, "little") for word in words)


def rounded_bf16(u: int) -> int:
    if u & 0x7FFFFFFF > 0x7F800000:
        return (u >> 16) & 0x8000 | 0x7FC0
    return (u + 0x7FFF + ((u >> 16) & 1)) >> 16


def rounded_f16(u: int) -> int:
    sign = (u >> 16) & 0x8000
    if u & 0x7FFFFFFF > 0x7F800000:
        return sign | 0x7E00
    (number,) = struct.unpack("<f", (u & 0x7FFFFFFF).to_bytes(4, "little"))
    if math.isinf(number):
        return sign | 0x7C00
    # In units of the lowest bit of the result; Python rounds halves to even.
    exponent = max(-14, math.frexp(number)[1] - 1)
    units = round(math.ldexp(number, 10 - exponent))
    return sign | min(0x7C00, units + ((exponent + 14) << 10 if units else 0))
