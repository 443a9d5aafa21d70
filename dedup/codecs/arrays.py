"""The transforms of words in numpy: what is computed where there is no machine code, and what it must equal.

Used by dedup.codecs.transforms alone. Words are unsigned, little-endian, contiguous; nothing here looks at a payload's
values to find a place in memory.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.codecs.elements import Sorting


def split(words: NDArray[Any], turn: int, planes: Sequence[NDArray[np.uint8]]) -> None:
    """Rotate each of *words* left by *turn* bits (0 or 1) and write its byte k, the lowest first, to *planes*[k].

    As many planes as a word has bytes, each as long as there are words.
    """
    turned = _rotated(words, turn)
    columns = turned.view(np.uint8).reshape(-1, words.itemsize)
    for k, plane in enumerate(planes):
        plane[:] = columns[:, k]


def join(planes: Sequence[NDArray[np.uint8]], turn: int, words: NDArray[Any]) -> None:
    """Undo split(): fill *words* from *planes*."""
    columns = words.view(np.uint8).reshape(-1, words.itemsize)
    for k, plane in enumerate(planes):
        columns[:, k] = plane
    if turn:
        words[:] = _rotated(words, 8 * words.itemsize - turn)


def scatter(words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    """Return *words* as differences to *base* (same length and width), sorted as *sorting* says."""
    kind = base.dtype.type
    one = kind(1)
    d = words - (base & kind(sorting.keep))
    z = (d << one) ^ ((kind(0) - (d >> kind(sorting.top))) & kind(sorting.fold))
    sorted_words: NDArray[Any] = z[_order(base, sorting)]
    return sorted_words


def gather(sorted_words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    """Undo scatter(): return the words."""
    kind = base.dtype.type
    one = kind(1)
    z = np.empty_like(base)
    z[_order(base, sorting)] = sorted_words
    d = (z >> one) ^ ((kind(0) - (z & one)) & kind(sorting.unfold))
    words: NDArray[Any] = d + (base & kind(sorting.keep))
    return words


def round_bf16(wide: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """Return the bits of f32 numbers rounded to bf16: nearest, ties to even; a NaN gives the quiet one of its sign."""
    up = wide + (np.uint32(0x7FFF) + ((wide >> np.uint32(16)) & np.uint32(1)))
    near = (up >> np.uint32(16)).astype(np.uint16)
    nan = (wide & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000)
    near[nan] = ((wide[nan] >> np.uint32(16)) & np.uint32(0x8000) | np.uint32(0x7FC0)).astype(np.uint16)
    return near


def _rotated(words: NDArray[Any], turn: int) -> NDArray[Any]:
    if not turn:
        return words
    kind = words.dtype.type
    rotated: NDArray[Any] = (words << kind(turn)) | (words >> kind(8 * words.itemsize - turn))
    return rotated


def _order(base: NDArray[Any], sorting: Sorting) -> NDArray[np.intp]:
    kind = base.dtype.type
    keys = ((base >> kind(sorting.shift)) & kind(sorting.mask)).astype(np.uint8)
    return np.argsort(keys, kind="stable")
