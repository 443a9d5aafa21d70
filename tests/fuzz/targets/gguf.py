"""GGUF: metadata of any types, tensors of any offsets."""

from dedup.formats.gguf import segment_gguf
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_gguf, data)
