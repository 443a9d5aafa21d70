"""Snappy's raw format spelled out in plain Python: the definition that dedup.kernels.snappy is tested against.

Used by tests, and by nobody in production: it is 300 times slower than the kernel. Format: google/snappy,
format_description.txt; what the encoders choose follows CompressFragment of the versions named in
dedup.snappy_variants. What is here neither reads nor writes the length that precedes the elements.
"""

from dedup.snappy_variants import CRC, CRC_TABLES, MULTIPLIER, STEADY, TOP, Variant

FRAGMENT = 65536
MARGIN = 15
"""No match may begin less than this before the end of a fragment."""


def reference_encode(plain: bytes, variant: Variant) -> bytes:
    """Return the elements that *variant* writes for *plain*."""
    return b"".join(_fragment(plain[i : i + FRAGMENT], variant) for i in range(0, len(plain), FRAGMENT))


def reference_decode(coded: bytes, length: int) -> bytes | None:
    """Return the *length* bytes that the elements *coded* stand for; None if they do not stand for so many."""
    out = bytearray()
    i = 0
    while i < len(coded):
        tag = coded[i]
        i += 1
        if tag & 3 == 0:
            size = (tag >> 2) + 1
            if size > 60:
                extra = size - 60
                size = int.from_bytes(coded[i : i + extra], "little") + 1
                i += extra
            piece = coded[i : i + size]
            i += size
            if i > len(coded) or len(out) + size > length:
                return None
            out += piece
            continue
        if tag & 3 == 1:
            size, extra, high = (tag >> 2 & 7) + 4, 1, tag >> 5 << 8
        else:
            size, extra, high = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4, 0
        offset = high | int.from_bytes(coded[i : i + extra], "little")
        i += extra
        if i > len(coded) or not 0 < offset <= len(out) or len(out) + size > length:
            return None
        for _ in range(size):
            out.append(out[-offset])
    return bytes(out) if len(out) == length else None


class _Table:
    """The last position of each hash; positions of a fragment of *size* bytes, all 0 at first."""

    def __init__(self, data: bytes, variant: Variant) -> None:
        bits = 8
        while bits < variant.most_bits and 1 << bits < len(data):
            bits += 1
        self._data, self._variant, self._bits = data, variant, bits
        self._places = [0] * (1 << bits)

    def replace(self, position: int) -> int:
        """Enter *position* under the hash of the four bytes there; return the position that stood in its place."""
        slot = self._slot(int.from_bytes(self._data[position : position + 4], "little"))
        before = self._places[slot]
        self._places[slot] = position
        return before

    def _slot(self, word: int) -> int:
        mask = (1 << self._bits) - 1
        if self._variant.hash == CRC:
            word ^= mask << 1
            crc = 0
            for k in range(4):
                crc ^= CRC_TABLES[3 - k][word >> 8 * k & 255]
            return crc >> 1 & mask
        bits = self._bits if self._variant.hash == TOP else self._variant.most_bits
        return (word * MULTIPLIER & 0xFFFFFFFF) >> (32 - bits) & mask


def _fragment(data: bytes, variant: Variant) -> bytes:
    out = bytearray()
    table = _Table(data, variant)
    limit = len(data) - MARGIN
    pending, here = 0, 1
    while here <= limit:
        found = _search(data, table, here, variant)
        if found is None:
            break
        here, candidate = found
        out += _literal(data[pending:here])
        while True:
            length = 4
            while here + length < len(data) and data[candidate + length] == data[here + length]:
                length += 1
            out += _copies(here - candidate, length)
            here += length
            pending = here
            if here >= limit:
                break
            table.replace(here - 1)
            candidate = table.replace(here)
            if data[candidate : candidate + 4] != data[here : here + 4]:
                break
        if here >= limit:
            break
        here += 1
    return bytes(out + _literal(data[pending:]))


def _search(data: bytes, table: _Table, here: int, variant: Variant) -> tuple[int, int] | None:
    """Return the first position from *here* on that was looked at and matches, and what it matches; None at the end."""
    skip = 32
    while True:
        step = skip >> 5
        skip += 1 if variant.skip == STEADY else step
        if here + step > len(data) - MARGIN:
            return None
        candidate = table.replace(here)
        if data[candidate : candidate + 4] == data[here : here + 4]:
            return here, candidate
        here += step


def _literal(piece: bytes) -> bytes:
    if not piece:
        return b""
    last = len(piece) - 1
    if last < 60:
        return bytes([last << 2]) + piece
    if last < 256:
        return bytes([60 << 2, last]) + piece
    return bytes([61 << 2, last & 255, last >> 8]) + piece


def _copies(offset: int, length: int) -> bytes:
    out = b""
    while length >= 68:
        out += _copy(offset, 64)
        length -= 64
    if length > 64:
        out += _copy(offset, 60)
        length -= 60
    if length < 12 and offset < 2048:
        return out + bytes([offset >> 8 << 5 | length - 4 << 2 | 1, offset & 255])
    return out + _copy(offset, length)


def _copy(offset: int, length: int) -> bytes:
    return bytes([length - 1 << 2 | 2, offset & 255, offset >> 8])
