"""Whether a file that no parser knows is mostly numbers: raw dumps, HDF5, formats of one framework.

Used by dedup.formats.segmentation last. Of a number in two, four or eight bytes one byte (exponent, high digits) says
far less than another (mantissa): that shows in the histograms of every second, fourth or eighth byte, wherever the
first number begins. Which width and phase it is, the codec finds block by block.
"""

import numpy as np
from numpy.typing import NDArray

from dedup.formats.reading import Reader

# Below it, gear chunks in a block of 1 MiB lose little, and dedup may gain.
SMALLEST_BYTES = 256 << 10
# 16 x 4 KiB: 200 us. One sample from the middle mis-selects (files hold headers, zeros, indexes).
SAMPLES, SAMPLE_BYTES = 16, 4 << 10
_ENOUGH = 11
# Bits. Text and machine code stay below 1 at any width; float exponents differ from mantissas by 3 and more.
_LEAST_SPREAD = 2.0
# The mantissa is nearly noise: 512 values of 256 kinds have 7.2 bits when they are random.
_LEAST_NOISE = 6.5


def is_mostly_numbers(reader: Reader) -> bool:
    """Tell whether most of SAMPLES spread stretches look like numbers of two, four or eight bytes."""
    if reader.size < SMALLEST_BYTES:
        return False
    last = reader.size - SAMPLE_BYTES
    found = 0
    for index in range(SAMPLES):
        if SAMPLES - index < _ENOUGH - found:
            return False
        found += looks_like_numbers(reader.exact(last * index // (SAMPLES - 1), SAMPLE_BYTES))
    return found >= _ENOUGH


def looks_like_numbers(sample: bytes) -> bool:
    """Tell whether *sample* (SAMPLE_BYTES) has columns of very different entropy."""
    data = np.frombuffer(sample, dtype=np.uint8)
    for width in (2, 4, 8):
        spread = [_entropy(column) for column in data.reshape(-1, width).T]
        if max(spread) >= _LEAST_NOISE and max(spread) - min(spread) >= _LEAST_SPREAD:
            return True
    return False


def _entropy(column: NDArray[np.uint8]) -> float:
    """Return the bits per byte of *column*'s histogram."""
    counts = np.bincount(column, minlength=256)
    shares = counts[counts > 0] / len(column)
    return float(-(shares * np.log2(shares)).sum())
