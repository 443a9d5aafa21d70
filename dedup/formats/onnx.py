"""ONNX: a protobuf message whose graph holds the weights as raw bytes among its nodes.

Used by dedup.formats. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. Only messages on the way to a TensorProto
are entered; every other field is skipped by its length. There is no magic: a file is ONNX if its top-level fields are
those of a ModelProto and end exactly where the file ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from dedup.formats.covering import LONGEST_NAME, SMALL_BYTES, TENSOR, cover
from dedup.formats.elements import ONNX, fitting
from dedup.formats.reading import Doubt, Reader
from dedup.values import Region, Span

# A large graph has 20,000 nodes of some ten fields; a step takes about 2 us.
MOST_FIELDS = 1_000_000
# Each with a name of up to 512 characters: 40 MB.
MOST_TENSORS = 50_000

FIRST_BYTE = 0x08
SUFFIX = b".onnx"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Message -> field -> message inside. A graph is entered again where an attribute holds one.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}
_MOST_NUMBER = 40


@dataclass(slots=True)
class _Field:
    number: int
    wire: int
    value: int
    """Of a varint; else 0."""
    span: Span
    """Of the content."""


@dataclass(slots=True)
class _Message:
    kind: str
    span: Span


@dataclass(slots=True)
class _Tensor:
    type: int = 0
    name: str = ""
    raw: list[Span] = field(default_factory=list)


def looks_like(head: bytes) -> bool:
    """Tell whether a file that begins with *head* may be ONNX: an IR version below 32, then one of a model's fields."""
    return len(head) > 4 and head[0] == FIRST_BYTE and 0 < head[1] < 32 and head[2] in {0x12, 0x1A, 0x22, 0x3A, 0x42}


def segment_onnx(reader: Reader) -> list[Region]:
    """Return the weights of SMALL_BYTES and more as tensors, everything between as generic; Doubt if it is no model."""
    walk = _Walk(reader)
    pending = [_Message("model", Span(0, reader.size))]
    regions: list[Region] = []
    has_graph = False
    while pending:
        message = pending.pop()
        if message.kind == "tensor":
            regions += walk.tensor(message)
            if len(regions) > MOST_TENSORS:
                raise Doubt("too many tensors")
            continue
        for inner in walk.fields(message.span):
            if message.kind == "model" and inner.number > _MOST_NUMBER:
                raise Doubt("no field of a model")
            kind = _INSIDE[message.kind].get(inner.number)
            if kind is None or inner.wire != _BYTES:
                continue
            has_graph = has_graph or kind == "graph"
            # Too short to hold a weight worth a region.
            if inner.span.length >= SMALL_BYTES:
                pending.append(_Message(kind, inner.span))
    if not has_graph:
        raise Doubt("no graph")
    return cover(regions, reader.size)


class _Walk:
    """Reads fields, and counts them."""

    __slots__ = ("_count", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._count = 0

    def fields(self, span: Span) -> Iterator[_Field]:
        """Yield the fields of the message at *span*; Doubt unless they fill it exactly."""
        position = span.start
        while position < span.end:
            self._count += 1
            if self._count > MOST_FIELDS:
                raise Doubt("too many fields")
            tag, position = self._varint(position)
            number, wire = tag >> 3, tag & 7
            value, length = 0, {_FIXED64: 8, _FIXED32: 4}.get(wire, 0)
            if wire == _VARINT:
                value, position = self._varint(position)
            elif wire == _BYTES:
                length, position = self._varint(position)
            elif not length:
                raise Doubt("a wire type that is not known")
            if number == 0 or position + length > span.end:
                raise Doubt("a field ends behind its message")
            yield _Field(number, wire, value, Span(position, length))
            position += length

    def tensor(self, message: _Message) -> Iterator[Region]:
        """Yield the raw data of one TensorProto."""
        tensor = _Tensor()
        for inner in self.fields(message.span):
            if (inner.number, inner.wire) == (2, _VARINT):
                tensor.type = inner.value
            elif (inner.number, inner.wire) == (8, _BYTES):
                name = self._reader.near(inner.span.start, min(inner.span.length, LONGEST_NAME))
                tensor.name = name.decode("utf-8", "replace")
            elif inner.number in {4, 9, 10} and inner.wire == _BYTES and inner.span.length >= SMALL_BYTES:
                # float_data and double_data are packed elements; raw_data is any type's.
                tensor.type = {4: 1, 10: 11}.get(inner.number, tensor.type)
                tensor.raw.append(inner.span)
        for span in tensor.raw:
            yield Region(span, TENSOR, fitting(ONNX.get(tensor.type, ""), span.length), tensor.name)

    def _varint(self, position: int) -> tuple[int, int]:
        """Return (the number, the position behind it)."""
        raw = self._reader.near(position, min(10, self._reader.size - position))
        value = 0
        for index, byte in enumerate(raw):
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value, position + index + 1
        raise Doubt("a number does not end")
