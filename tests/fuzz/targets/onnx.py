"""ONNX: protobuf messages of any nesting and length."""

from dedup.formats.onnx import segment_onnx
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_onnx, data)
