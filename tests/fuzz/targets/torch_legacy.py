"""Torch files from before the zip: pickles one behind the other, then storages."""

from dedup.formats.torch_legacy import segment_torch_legacy
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_torch_legacy, data)
