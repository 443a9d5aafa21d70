"""Arrays of numpy, their headers of any length and text."""

from dedup.formats.npy import segment_npy
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_npy, data)
