"""HDF5: superblocks, groups and headers whose addresses lead anywhere."""

from dedup.formats.hdf5 import segment_hdf5
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as such a file."""
    holds(segment_hdf5, data)
