"""How loops become machine code here: at first use, for one signature, cached on disk where that works.

Used by the kernels beside it. Knows nothing of what they compute.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# What a broken or unwritable cache makes numba raise; the kernel is then compiled in memory (about a second).
CACHE_TROUBLE = (RuntimeError, OSError, EOFError, ValueError, ImportError, AttributeError, KeyError)

WORD_TYPES = {
    1: numba.types.uint8,
    2: numba.types.uint16,
    4: numba.types.uint32,
    8: numba.types.uint64,
}
U64 = np.uint64
SCALAR = numba.types.uint64
I32, I64 = numba.types.int32, numba.types.int64
VOID, ADDRESS = numba.types.void, numba.types.voidptr
viewed: Any = numba.carray  # type: ignore[attr-defined]
"""viewed(address, length, dtype), inside of a loop: an array over memory that is not ours."""


def inner(function: Callable[..., Any]) -> Any:
    """Let *function* be called from loops. Nobody else may call it."""
    return numba.njit(nogil=True)(function)


def external(name: str, result: Any, *arguments: Any) -> Any:
    """Return a function of the C library, which the caller has seen to be there, for loops to call."""
    return numba.types.ExternalFunction(name, result(*arguments))


def numbers_in() -> Any:
    """Return the type of a contiguous array of signed 64-bit numbers that is only read."""
    return numba.types.Array(I64, 1, "C", readonly=True)


def numbers_out() -> Any:
    """Return the type of a contiguous array of signed 64-bit numbers that is written."""
    return numba.types.Array(I64, 1, "C")


def array_in(width: int) -> Any:
    """Return the type of a contiguous array of *width*-byte words that is only read: it takes views of bytes, too."""
    return numba.types.Array(WORD_TYPES[width], 1, "C", readonly=True)


def array_out(width: int) -> Any:
    """Return the type of a contiguous array of *width*-byte words that is written."""
    return numba.types.Array(WORD_TYPES[width], 1, "C")


def planes_of(array: Any, width: int) -> Any:
    """Return the type of a tuple of *width* arrays."""
    tuple_of: Any = numba.types.UniTuple
    return tuple_of(array, width)


def compiled(loop: Callable[..., Any], result: Any, *arguments: Any) -> Any:
    """Return *loop* as machine code for one signature, compiled now. Raises ImportError where that cannot be done."""
    signature = result(*arguments)
    try:
        try:
            return numba.njit(signature, nogil=True, cache=True)(loop)
        except CACHE_TROUBLE:
            return numba.njit(signature, nogil=True, cache=False)(loop)
    except numba.core.errors.NumbaError as error:
        raise ImportError(f"{loop.__name__} cannot be compiled here: {error}") from error
