"""Zip files: torch archives, npz and any other, their directories in any state."""

from dedup.formats.reading import Reader
from dedup.formats.segmentation import segment_zip
from dedup.values import Region
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as a zip."""
    holds(_segmented, data)


def _segmented(reader: Reader) -> list[Region]:
    return segment_zip(reader, depth=1)
