"""The transforms of words: machine code where it can be had, numpy where not, loaded when first asked for.

Used by the plane, delta and cast codecs. Both ways give the same bytes.
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dedup.codecs import arrays
from dedup.codecs.elements import Sorting
from dedup.fingerprint import Buffer

_WORDS: dict[int, np.dtype[Any]] = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}


NO_MACHINE_CODE = (ImportError, OSError, AttributeError, RuntimeError)
"""What numba raises where it is missing, broken, or may not compile."""
_ROOMS = {
    "split": "dedup.kernels.planes",
    "join": "dedup.kernels.planes",
    "scatter": "dedup.kernels.delta",
    "gather": "dedup.kernels.delta",
    "round_bf16": "dedup.kernels.delta",
}


def words_of(data: Buffer, width: int) -> NDArray[Any]:
    """Return *data*, a whole number of words, as words; copied only where memory is not aligned to them."""
    words = words_in(data, width)
    return words if words.flags.aligned else words.copy()


def words_in(data: Buffer, width: int) -> NDArray[Any]:
    """Return *data* as words_of() does, where it stands: for who takes samples of it."""
    words: NDArray[Any] = np.frombuffer(data, dtype=_WORDS[width])
    return words


def split(words: NDArray[Any], turn: int) -> list[NDArray[np.uint8]]:
    """Return the byte planes of *words* rotated left by *turn* bits (0 or 1), that of the lowest byte first."""
    if words.itemsize == 1:
        return [words]
    planes = list(np.empty((words.itemsize, len(words)), dtype=np.uint8))
    _resolved("split", words.itemsize)(words, turn, planes)
    return planes


def join(planes: list[NDArray[np.uint8]], turn: int) -> NDArray[Any]:
    """Undo split(): return the words."""
    if len(planes) == 1:
        return planes[0]
    words = np.empty(len(planes[0]), dtype=_WORDS[len(planes)])
    _resolved("join", words.itemsize)(planes, turn, words)
    return words


def scatter(words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    """See dedup.codecs.arrays.scatter."""
    return cast(NDArray[Any], _resolved("scatter", base.itemsize)(words, base, sorting))


def gather(sorted_words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    """See dedup.codecs.arrays.gather."""
    return cast(NDArray[Any], _resolved("gather", base.itemsize)(sorted_words, base, sorting))


def round_bf16(wide: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """See dedup.codecs.arrays.round_bf16."""
    return cast(NDArray[np.uint16], _resolved("round_bf16", 4)(wide))


@cache
def _resolved(function: str, width: int) -> Callable[..., Any]:
    try:
        room = importlib.import_module(_ROOMS[function])
        room.prepare(function, width)
    except NO_MACHINE_CODE:
        room = arrays
    return cast(Callable[..., Any], getattr(room, function))
