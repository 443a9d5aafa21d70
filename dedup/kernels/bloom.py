"""The split-block Bloom filter as machine code: one cache line per key, some 40 ns where the filter outgrows the cache.

Used by dedup.membership, whose plain functions say what is computed; a property test holds the two equal. Releases the
GIL. add() is not atomic: two at once may lose bits.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dedup.kernels.gear import CACHE_TROUBLE
from dedup.membership import SALTS, WORDS

_U32, _U64 = np.uint32, np.uint64


def _add(table: Any, keys: Any, salts: Any) -> Any:
    blocks = _U64(table.shape[0] // WORDS)
    for i in range(keys.shape[0]):
        first = ((keys[i] >> _U64(32)) * blocks >> _U64(32)) * _U64(WORDS)
        low = _U32(keys[i] & _U64(0xFFFFFFFF))
        for word in range(WORDS):
            shift = _U32(low * salts[word]) >> _U32(27)
            table[first + _U64(word)] |= _U32(_U32(1) << shift)


def _may_hold(table: Any, keys: Any, salts: Any, out: Any) -> Any:
    blocks = _U64(table.shape[0] // WORDS)
    for i in range(keys.shape[0]):
        first = ((keys[i] >> _U64(32)) * blocks >> _U64(32)) * _U64(WORDS)
        low = _U32(keys[i] & _U64(0xFFFFFFFF))
        missing = _U32(0)
        for word in range(WORDS):
            bit = _U32(_U32(1) << (_U32(low * salts[word]) >> _U32(27)))
            missing |= _U32(bit & ~table[first + _U64(word)])
        out[i] = missing == 0


_TABLE, _KEYS, _SALTS = numba.types.uint32[::1], numba.types.uint64[::1], numba.types.uint32[::1]
_ADD = numba.types.void(_TABLE, _KEYS, _SALTS)
_MAY_HOLD = numba.types.void(_TABLE, _KEYS, _SALTS, numba.types.boolean[::1])


def _built(signature: Any, plain: Any) -> Any:
    try:
        return numba.njit(signature, nogil=True, cache=True)(plain)
    except CACHE_TROUBLE:
        return numba.njit(signature, nogil=True)(plain)


_add_kernel = _built(_ADD, _add)
_may_hold_kernel = _built(_MAY_HOLD, _may_hold)


def add(table: NDArray[np.uint32], keys: NDArray[np.uint64]) -> None:
    """Set the bits of *keys* in *table*."""
    _add_kernel(table, keys, SALTS)


def may_hold(table: NDArray[np.uint32], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return for each of *keys* whether all its bits are set in *table*."""
    out = np.empty(len(keys), dtype=np.bool_)
    _may_hold_kernel(table, keys, SALTS, out)
    return out
