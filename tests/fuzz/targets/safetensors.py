"""Safetensors: headers of any length and JSON, tensors anywhere."""

from dedup.formats.safetensors import segment_safetensors
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_safetensors, data)
