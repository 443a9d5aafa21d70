"""The split-block Bloom filter as machine code: one cache line per key, some 40 ns where the filter outgrows the cache.

Used by dedup.membership, whose plain functions say what is computed; a property test holds the two equal. Releases the
GIL. add() is not atomic: two at once may lose bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import VOID, array_in, array_out, compiled
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


_ADD = compiled(_add, VOID, array_out(4), array_in(8), array_in(4))
_MAY_HOLD = compiled(_may_hold, VOID, array_in(4), array_in(8), array_in(4), array_out(1))


def add(table: NDArray[np.uint32], keys: NDArray[np.uint64]) -> None:
    """Set the bits of *keys* in *table*."""
    _ADD(table, keys, SALTS)


def may_hold(table: NDArray[np.uint32], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return for each of *keys* whether all its bits are set in *table*."""
    out = np.empty(len(keys), dtype=np.bool_)
    _MAY_HOLD(table, keys, SALTS, out.view(np.uint8))
    return out
