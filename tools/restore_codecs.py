"""Codecs and wrappers as docs/codecs.md and docs/pages.md describe them; restore.py builds on it.

numpy is needed only where float tensors were coded as planes or against each other.
"""

import struct

import zstandard

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment]

PLANES, ENTRY = struct.Struct("<BBBB8s"), struct.Struct("<BI")
SECTIONS, SECTION = struct.Struct("<BBH8s"), struct.Struct("<BII")
CAST, CAST_WORD = struct.Struct("<B3xI8s"), [("place", "<u4"), ("word", "<u2")]
ROTATED, BF16_IN_F32, F16_IN_F32, DELTA, CONTEXT = 1, 2, 3, 4, 5
# Element: bytes of a word, lowest bit and mask of its exponent.
EXPONENTS = {"bf16": (2, 7, 0xFF), "f16": (2, 10, 0x1F), "f32": (4, 23, 0xFF), "f64": (8, 52, 0xFF)}


class Damaged(Exception):
    """Bytes are not what the format or a digest says."""


def decode(codec: str, payload: bytes, raw_len: int, base: bytes = b"") -> bytes:
    """Return the raw bytes of a coded payload; *base* are the raw bytes of the block's base."""
    name, _, element = codec.partition(":")
    if name == "raw":
        raw = payload
    elif name == "zstd":
        raw = unzstd(payload, raw_len)
    elif np is None:
        raise Damaged(f"codec {codec!r} needs numpy: install it")
    elif name == "planes-1":
        raw = join_planes(payload, raw_len)
    elif name == "sections-1":
        raw = join_sections(payload, raw_len)
    elif name in {"delta-1", "context-1"} and element in EXPONENTS:
        raw = join_planes(payload, raw_len, base, element)
    elif name == "cast-1" and element in {"bf16", "f16"}:
        raw = cast(payload, base, element)
    else:
        raise Damaged(f"codec {codec!r} is not known: use a newer restore.py")
    if len(raw) != raw_len:
        raise Damaged(f"a block has {len(raw)} bytes instead of {raw_len}")
    return raw


def unzstd(payload: bytes, raw_len: int) -> bytes:
    """Return what a zstd frame holds: *raw_len* bytes."""
    try:
        if zstandard.frame_content_size(payload) != raw_len or raw_len > (len(payload) // 4 + 1) << 17:
            raise Damaged("a zstd frame is not of the length it should be")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=raw_len)
    except zstandard.ZstdError as error:
        raise Damaged(f"a zstd frame does not decode: {error}") from error


def join_planes(payload: bytes, raw_len: int, base: bytes = b"", element: str = "") -> bytes:
    """Return the raw bytes of byte planes: on their own, or (with an *element*) sorted by the exponents of *base*."""
    version, form, count, head_len, _ = PLANES.unpack_from(payload)
    if version != 1 or form > CONTEXT or count not in {1, 2, 4, 8} or (form >= DELTA) != bool(element):
        raise Damaged("planes are of an unknown form: use a newer restore.py")
    words, tail_len = divmod(raw_len - head_len, 4 if form in {BF16_IN_F32, F16_IN_F32} else count)
    entries = [ENTRY.unpack_from(payload, PLANES.size + ENTRY.size * k) for k in range(count)]
    at = PLANES.size + ENTRY.size * count
    head, tail = payload[at : at + head_len], payload[at + head_len : at + head_len + tail_len]
    at += head_len + tail_len
    columns = np.empty((words, count), dtype=np.uint8)
    for k, (method, length) in enumerate(entries):
        plane = payload[at : at + length] if method == 0 else unzstd(payload[at : at + length], words)
        columns[:, k] = np.frombuffer(plane, dtype=np.uint8, count=words)
        at += length
    joined = columns.reshape(-1).view(f"<u{count}")
    if form in {ROTATED, BF16_IN_F32}:
        joined = joined >> 1 | joined << (8 * count - 1)
    if form == BF16_IN_F32:
        joined = joined.astype("<u4") << 16
    elif form == F16_IN_F32:
        joined = joined.view("<f2").astype("<f4")
    elif element:
        joined = unsorted(joined, base, element, is_difference=form == DELTA)
    return head + joined.tobytes() + tail


def unsorted(words: "np.ndarray", base: bytes, element: str, *, is_difference: bool) -> "np.ndarray":
    """Return words that were sorted by the exponents of a base, and are differences to it or only turned by a bit."""
    width, shift, mask = EXPONENTS[element]
    like = np.frombuffer(base, dtype=f"<u{width}", count=len(words))
    turned = np.empty_like(words)
    turned[np.argsort((like >> shift & mask).astype(np.uint8), kind="stable")] = words
    sign = turned & 1
    if is_difference:  # zigzag: 0, -1, 1, -2 ... as 0, 1, 2, 3
        return (turned >> 1 ^ (0 - sign)) + like
    return turned >> 1 | sign << (8 * width - 1)


def join_sections(payload: bytes, raw_len: int) -> bytes:
    """Return the raw bytes of stretches that were coded each in its own way."""
    version, _, count, _ = SECTIONS.unpack_from(payload)
    if version != 1:
        raise Damaged("sections are of an unknown version: use a newer restore.py")
    at, parts = SECTIONS.size + SECTION.size * count, []
    for k in range(count):
        method, length, stored = SECTION.unpack_from(payload, SECTIONS.size + SECTION.size * k)
        name = {0: "raw", 1: "zstd", 2: "planes-1"}.get(method, f"section {method}")
        parts.append(decode(name, payload[at : at + stored], length))
        at += stored
    return b"".join(parts)


def cast(payload: bytes, base: bytes, element: str) -> bytes:
    """Return f32 numbers rounded to 2-byte ones, to nearest, ties to even, but for the words that are listed."""
    version, count, _ = CAST.unpack_from(payload)
    if version != 1:
        raise Damaged("a cast is of an unknown version: use a newer restore.py")
    wide = np.frombuffer(base, dtype="<u4")
    sign = (wide >> 16 & 0x8000).astype("<u2")
    if element == "bf16":
        words, quiet = (wide.astype("<u8") + 0x7FFF + (wide >> 16 & 1) >> 16).astype("<u2"), 0x7FC0
    else:
        with np.errstate(all="ignore"):
            words, quiet = wide.view("<f4").astype("<f2").view("<u2"), 0x7E00
    words = np.where((wide & 0x7FFFFFFF) > 0x7F800000, sign | quiet, words).astype("<u2")
    listed = np.frombuffer(payload, dtype=np.dtype(CAST_WORD), count=count, offset=CAST.size)
    words[listed["place"]] = listed["word"]
    return words.tobytes()


def rewrap(wrapper: str, plain: bytes, length: int) -> bytes:
    """Return the *length* bytes that a wrapper makes of *plain*: a run of parquet pages, compressed again."""
    if wrapper != "snappy-page:1":
        raise Damaged(f"wrapper {wrapper!r} is not known: use a newer restore.py")
    table = plain[-4 - int.from_bytes(plain[-4:], "little") : -4]
    numbers, value, shift = [], 0, 0
    for byte in table:
        value, shift = value | (byte & 127) << shift, shift + 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    pages, body_at, head_at = [], 0, sum(numbers[2::3])
    if head_at + sum(numbers[::3]) + len(table) + 4 != len(plain):
        raise Damaged("the table of a run of pages does not cover it")
    for head, code, body in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        piece = plain[body_at : body_at + body]
        pages += [plain[head_at : head_at + head], snappy(piece, chr(code)) if code else piece]
        body_at, head_at = body_at + body, head_at + head
    data = b"".join(pages)
    if len(data) != length:
        raise Damaged("a run of pages comes to another length")
    return data


# Letter of a snappy encoder: (kind of slot, largest number of bits of a slot, whether the skip grows by the step).
ENCODERS = {
    "a": ("masked", 14, True),
    "b": ("masked", 15, True),
    "c": ("top", 14, True),
    "d": ("top", 14, False),
    "e": ("crc", 14, True),
    "f": ("crc", 15, True),
}


def snappy(plain: bytes, letter: str) -> bytes:
    """Return *plain* as the encoder of that letter codes it."""
    if letter not in ENCODERS:
        raise Damaged(f"snappy encoder {letter!r} is not known: use a newer restore.py")
    head, left = bytearray(), len(plain)
    while left > 127:
        head.append(left & 127 | 128)
        left >>= 7
    head.append(left)
    return bytes(head) + b"".join(fragment(plain[at : at + 65536], letter) for at in range(0, len(plain), 65536))


def fragment(data: bytes, letter: str) -> bytes:
    """Return the snappy elements of at most 65,536 bytes."""
    kind, largest, growing = ENCODERS[letter]
    bits = 8
    while bits < largest and 1 << bits < len(data):
        bits += 1
    table, out, pending, here, limit = [0] * (1 << bits), bytearray(), 0, 1, len(data) - 15

    def enter(position: int) -> int:
        place = slot(int.from_bytes(data[position : position + 4], "little"), kind, bits, largest)
        before, table[place] = table[place], position
        return before if data[before : before + 4] == data[position : position + 4] else -1

    while here <= limit:
        skip, candidate = 32, -1
        while here + (skip >> 5) <= limit and (candidate := enter(here)) < 0:
            here, skip = here + (skip >> 5), skip + ((skip >> 5) if growing else 1)
        if candidate < 0:
            break
        out += literal(data[pending:here])
        while candidate >= 0:
            end = here + 4
            while end < len(data) and data[candidate + end - here] == data[end]:
                end += 1
            out += copies(here - candidate, end - here)
            here = pending = end
            candidate = -1
            if here < limit:
                enter(here - 1)
                candidate = enter(here)
        here += 1
    return bytes(out + literal(data[pending:]))


def slot(word: int, kind: str, bits: int, largest: int) -> int:
    """Return where an encoder's table keeps a position whose four bytes are *word*."""
    if kind == "crc":
        word ^= (2 << bits) - 2
        for _ in range(32):
            word = word >> 1 ^ (0x82F63B78 if word & 1 else 0)
        return word >> 1 & (1 << bits) - 1
    product = word * 0x1E35A7BD & 0xFFFFFFFF
    return product >> 32 - bits if kind == "top" else product >> 32 - largest & (1 << bits) - 1


def literal(data: bytes) -> bytes:
    """Return the snappy element of bytes that are copied from nowhere; nothing for none."""
    last = len(data) - 1
    if last < 60:
        return bytes([last << 2]) + data if data else b""
    return (bytes([240, last]) if last < 256 else bytes([244, last & 255, last >> 8])) + data


def copies(offset: int, length: int) -> bytes:
    """Return the snappy elements of *length* bytes that stood *offset* bytes before."""
    out = b""
    while length > 64:
        part = 64 if length >= 68 else 60
        out += bytes([part - 1 << 2 | 2, offset & 255, offset >> 8])
        length -= part
    if length < 12 and offset < 2048:
        return out + bytes([offset >> 8 << 5 | length - 4 << 2 | 1, offset & 255])
    return out + bytes([length - 1 << 2 | 2, offset & 255, offset >> 8])
