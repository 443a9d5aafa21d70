"""Samples spread over a block: what a choice of codec is made by.

Used by the codecs of this package. One sample from the middle mis-selects (6 % more bytes on packaged models); sixteen
small ones do not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECES = 16


def spread(words: NDArray[Any], piece: int, *, pieces: int = PIECES) -> NDArray[Any]:
    """Return *pieces* runs of *piece* items at even distances, the first and the last included, or all there is; at an
    address that suits them, whatever that of *words*.
    """
    if len(words) <= pieces * piece:
        return words if words.flags.aligned else words.copy()
    step = (len(words) - piece) / (pieces - 1)
    width, view = words.itemsize, words.view(np.uint8).data
    starts = [int(k * step) * width for k in range(pieces)]
    # Joined as bytes: np.concatenate() lets another thread in between any two.
    return np.frombuffer(b"".join([view[start : start + piece * width] for start in starts]), dtype=words.dtype)
