"""Snappy: the decoder agrees with its definition on any bytes, and every encoder's output decodes to its input."""

import numpy as np

from dedup.snappy import MOST_PER_BYTE, Writers, decode
from dedup.snappy_reference import reference_decode, reference_encode
from dedup.snappy_variants import VARIANTS
from dedup.varint import encode_varints

# The definition is slow: what is longer is cut.
LONGEST = 3000


def fuzz(data: bytes) -> None:
    """Decode *data*, behind a length that may be right; then encode it."""
    data = data[:LONGEST]
    length = int.from_bytes(data[:2], "little") % (MOST_PER_BYTE * len(data) + 1)
    coded = encode_varints([length]) + data[2:]
    found = decode(np.frombuffer(coded, dtype=np.uint8))
    expected = reference_decode(data[2:], length) if length <= MOST_PER_BYTE * len(coded) else None
    assert (None if found is None else found.tobytes()) == expected
    plain = np.frombuffer(data, dtype=np.uint8)
    for variant in VARIANTS:
        out = np.empty(64 + 2 * len(data), dtype=np.uint8)
        size = Writers().encode(variant.letter, plain, out)
        assert out[:size].tobytes() == encode_varints([len(data)]) + reference_encode(data, variant)
