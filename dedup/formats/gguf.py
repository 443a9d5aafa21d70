"""GGUF: metadata, the list of tensors, then the tensors at aligned offsets.

Used by dedup.formats. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
Metadata (a tokenizer, mostly) is skipped over, value by value, and read nowhere.
"""

import struct
from collections.abc import Iterator

from dedup.formats.covering import GENERIC, LONGEST_NAME, TENSOR, cover
from dedup.formats.elements import GGML
from dedup.formats.reading import Doubt, Reader
from dedup.values import Region, Span

MAGIC = b"GGUF"
# A tokenizer has 300,000 tokens, in three arrays; a model 2,000 tensors.
MOST_VALUES = 2_000_000
MOST_TENSORS = 50_000

_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_LONGEST_STRING = 1 << 24


def segment_gguf(reader: Reader) -> list[Region]:
    """Return each tensor as a region of its name, what stands before them as generic; Doubt if they do not fit."""
    magic, version, tensors, values = struct.unpack("<4sIQQ", reader.exact(0, 24))
    if magic != MAGIC or version not in {2, 3} or tensors > MOST_TENSORS or values > MOST_VALUES:
        raise Doubt("not a GGUF that is known here")
    scan = _Scan(reader, 24)
    alignment = 32
    for _ in range(values):
        key, kind = scan.text(), scan.number(4)
        if key == b"general.alignment" and kind == 4:
            alignment = scan.number(4)
        else:
            scan.skip_value(kind)
    if not 0 < alignment <= 1 << 20:
        raise Doubt("alignment")
    infos = [_info(scan) for _ in range(tensors)]
    start = scan.position + -scan.position % alignment
    if start > reader.size:
        raise Doubt("tensors begin behind the file")
    return cover([Region(Span(0, start), GENERIC), *_regions(infos, start, reader.size)], reader.size)


def _info(scan: "_Scan") -> tuple[int, bytes, int, int]:
    """Return (offset, name, number of elements, type) of the next tensor."""
    name, rank, count = scan.text(), scan.number(4), 1
    if rank > 8:
        raise Doubt("a tensor of too many dimensions")
    for _ in range(rank):
        count *= scan.number(8)
    kind, offset = scan.number(4), scan.number(8)
    return offset, name, count, kind


def _regions(infos: list[tuple[int, bytes, int, int]], start: int, size: int) -> Iterator[Region]:
    ascending = sorted(infos)
    nexts = [start + info[0] for info in ascending[1:]]
    for (offset, name, count, kind), following in zip(ascending, [*nexts, size], strict=True):
        # The length of a type that is not known is what its neighbour leaves it.
        element, per_block, block = GGML.get(kind, ("", 0, 0))
        length = -(-count // per_block) * block if per_block else following - start - offset
        yield Region(Span(start + offset, length), TENSOR, element, name.decode("utf-8", "replace")[:LONGEST_NAME])


class _Scan:
    """Goes through the header once."""

    __slots__ = ("_reader", "_values", "position")

    def __init__(self, reader: Reader, position: int) -> None:
        self._reader = reader
        self._values = 0
        self.position = position

    def number(self, width: int) -> int:
        """Return the next unsigned integer."""
        raw = self._reader.near(self.position, width)
        self.position += width
        return int.from_bytes(raw, "little")

    def text(self) -> bytes:
        """Return the next string."""
        length = self.number(8)
        if length > LONGEST_NAME * 4:
            raise Doubt("a name too long")
        raw = self._reader.near(self.position, length)
        self.position += length
        return raw

    def skip_value(self, kind: int, *, nested: bool = False) -> None:
        """Pass one metadata value; arrays of arrays are refused."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise Doubt("too many values")
        if kind == _STRING:
            length = self.number(8)
            if length > _LONGEST_STRING:
                raise Doubt("a string too long")
            self.position += length
        elif kind == _ARRAY and not nested:
            self._skip_array()
        elif kind in _FIXED:
            self.position += _FIXED[kind]
        else:
            raise Doubt("a type that is not known")

    def _skip_array(self) -> None:
        kind, count = self.number(4), self.number(8)
        if kind in _FIXED:
            self.position += _FIXED[kind] * count
            return
        if count > MOST_VALUES:
            raise Doubt("too many values")
        for _ in range(count):
            self.skip_value(kind, nested=True)
