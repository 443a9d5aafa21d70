"""TFLite: a flatbuffer whose buffers are the weights.

Used by dedup.formats. Schema: tensorflow/lite/schema/schema.fbs (version 3). Model = {version, operator_codes,
subgraphs, description, buffers, ...}; SubGraph = {tensors, ...}; Tensor = {shape, type, buffer, name, ...}; Buffer =
{data, offset, size}. Nothing is entered twice by following an offset back: the depth is fixed, the tables are counted.
"""

import struct
from collections.abc import Iterator

from dedup.formats.covering import LONGEST_NAME, SMALL_BYTES, TENSOR, cover
from dedup.formats.elements import TFLITE, fitting
from dedup.formats.reading import Doubt, Reader
from dedup.values import Region, Span

IDENTIFIER = b"TFL3"
MOST_TABLES = 20_000

_MODEL_SUBGRAPHS, _MODEL_BUFFERS = 2, 4
_SUBGRAPH_TENSORS = 0
_TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME = 1, 2, 3
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2


def segment_tflite(reader: Reader) -> list[Region]:
    """Return the buffers of SMALL_BYTES and more as tensors, the rest as generic; Doubt if an offset leads nowhere."""
    tables = _Tables(reader)
    model = tables.follow(0)
    types = dict(_types(tables, model))
    regions: dict[Span, Region] = {}
    for index, buffer in enumerate(tables.vector(model, _MODEL_BUFFERS)):
        span = _data(tables, buffer)
        if span is not None and span.length >= SMALL_BYTES:
            element, name = types.get(index, ("", f"buffer.{index}"))
            # Two buffers may share their bytes.
            regions.setdefault(span, Region(span, TENSOR, fitting(element, span.length), name))
    return cover(regions.values(), reader.size)


def _types(tables: "_Tables", model: int) -> Iterator[tuple[int, tuple[str, str]]]:
    """Yield (buffer, (element, name)) of every tensor."""
    for subgraph in tables.vector(model, _MODEL_SUBGRAPHS):
        for tensor in tables.vector(subgraph, _SUBGRAPH_TENSORS):
            kind, buffer = tables.scalar(tensor, _TENSOR_TYPE, 1), tables.scalar(tensor, _TENSOR_BUFFER, 4)
            yield buffer, (TFLITE.get(kind, ""), tables.text(tensor, _TENSOR_NAME))


def _data(tables: "_Tables", buffer: int) -> Span | None:
    """Return where a buffer's bytes stand: in its vector, or, in files over 2 GiB, where offset and size say."""
    field = tables.field(buffer, _BUFFER_DATA)
    if field is not None:
        start = tables.follow(field)
        return Span(start + 4, tables.unsigned(start, 4))
    offset, size = tables.scalar(buffer, _BUFFER_OFFSET, 8), tables.scalar(buffer, _BUFFER_SIZE, 8)
    return Span(offset, size) if offset > 1 else None


class _Tables:
    """Follows the offsets of a flatbuffer."""

    __slots__ = ("_count", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._count = 0

    def unsigned(self, position: int, width: int) -> int:
        """Return the unsigned integer at *position*."""
        return int.from_bytes(self._reader.near(position, width), "little")

    def follow(self, position: int) -> int:
        """Return where the offset at *position* leads."""
        return position + self.unsigned(position, 4)

    def field(self, table: int, number: int) -> int | None:
        """Return where field *number* of *table* stands; None if it is left out."""
        self._count += 1
        if self._count > 8 * MOST_TABLES:
            raise Doubt("too many tables")
        (back,) = struct.unpack("<i", self._reader.near(table, 4))
        vtable = table - back
        entry = 4 + 2 * number
        if entry + 2 > self.unsigned(vtable, 2):
            return None
        offset = self.unsigned(vtable + entry, 2)
        return table + offset if offset else None

    def scalar(self, table: int, number: int, width: int) -> int:
        """Return an unsigned field; 0, its default, if it is left out."""
        place = self.field(table, number)
        return 0 if place is None else self.unsigned(place, width)

    def text(self, table: int, number: int) -> str:
        """Return a string field."""
        place = self.field(table, number)
        if place is None:
            return ""
        start = self.follow(place)
        length = min(self.unsigned(start, 4), LONGEST_NAME)
        return self._reader.near(start + 4, length).decode("utf-8", "replace")

    def vector(self, table: int, number: int) -> Iterator[int]:
        """Yield where each table of a vector of tables stands."""
        place = self.field(table, number)
        if place is None:
            return
        start = self.follow(place)
        count = self.unsigned(start, 4)
        if count > MOST_TABLES:
            raise Doubt("too many tables")
        for index in range(count):
            yield self.follow(start + 4 + 4 * index)
