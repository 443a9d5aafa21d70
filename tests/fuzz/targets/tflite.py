"""TFLite: flatbuffers whose offsets lead anywhere."""

from dedup.formats.tflite import segment_tflite
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_tflite, data)
