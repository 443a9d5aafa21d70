"""Differences sorted by the reference's exponent, as machine code: counting, subtraction and sorting in two passes.

Used by dedup.codecs.transforms, which falls back on dedup.codecs.arrays where these cannot be had; both give the same
bytes, which a property test proves. A quarter of the words each has positions of its own, and the four advance
together: one chain of load, use and store per exponent would wait for itself. The order is that of one stable sort all
the same. Positions come from counts of the reference alone, never from a payload. Releases the GIL. Measured on one
core: bf16 2.1 GB/s in, 1.7 GB/s out; f32 twice that.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.codecs.elements import Sorting
from dedup.kernels.machine import U64, VOID, array_in, array_out, compiled

STRIPES = 4

_ONE = np.uint32(1)
_STARTS = array_out(4)
_EXPONENTS = 256
_LAST = U64((STRIPES - 1) * _EXPONENTS)


def _count(base: Any, constants: Any, starts: Any) -> None:
    """Fill *starts*, zeros so far, with the first position of each exponent in each stripe; the mask is below 256."""
    shift, mask = constants[0], constants[1]
    quarter = base.shape[0] // STRIPES
    for i in range(quarter):
        for s in range(STRIPES):
            starts[U64(s * _EXPONENTS) + ((U64(base[i + s * quarter]) >> shift) & mask)] += _ONE
    for i in range(STRIPES * quarter, base.shape[0]):
        starts[_LAST + ((U64(base[i]) >> shift) & mask)] += _ONE
    position = np.uint32(0)
    for e in range(_EXPONENTS):
        for s in range(STRIPES):
            count = starts[s * _EXPONENTS + e]
            starts[s * _EXPONENTS + e] = position
            position += count


def _scatter(words: Any, base: Any, constants: Any, starts: Any, out: Any) -> None:
    shift, mask, keep, fold, top = constants[0], constants[1], constants[2], constants[3], constants[4]
    quarter = base.shape[0] // STRIPES
    for i in range(quarter):
        for s in range(STRIPES):
            j = i + s * quarter
            b = U64(base[j])
            e = (b >> shift) & mask
            position = starts[U64(s * _EXPONENTS) + e]
            starts[U64(s * _EXPONENTS) + e] = position + _ONE
            d = U64(words[j]) - (b & keep)
            out[position] = (d << U64(1)) ^ ((U64(0) - ((d >> top) & U64(1))) & fold)
    for j in range(STRIPES * quarter, base.shape[0]):
        b = U64(base[j])
        e = (b >> shift) & mask
        position = starts[_LAST + e]
        starts[_LAST + e] = position + _ONE
        d = U64(words[j]) - (b & keep)
        out[position] = (d << U64(1)) ^ ((U64(0) - ((d >> top) & U64(1))) & fold)


def _gather(sorted_words: Any, base: Any, constants: Any, starts: Any, out: Any) -> None:
    shift, mask, keep, unfold = constants[0], constants[1], constants[2], constants[5]
    quarter = base.shape[0] // STRIPES
    for i in range(quarter):
        for s in range(STRIPES):
            j = i + s * quarter
            b = U64(base[j])
            e = (b >> shift) & mask
            position = starts[U64(s * _EXPONENTS) + e]
            starts[U64(s * _EXPONENTS) + e] = position + _ONE
            z = U64(sorted_words[position])
            out[j] = ((z >> U64(1)) ^ ((U64(0) - (z & U64(1))) & unfold)) + (b & keep)
    for j in range(STRIPES * quarter, base.shape[0]):
        b = U64(base[j])
        e = (b >> shift) & mask
        position = starts[_LAST + e]
        starts[_LAST + e] = position + _ONE
        z = U64(sorted_words[position])
        out[j] = ((z >> U64(1)) ^ ((U64(0) - (z & U64(1))) & unfold)) + (b & keep)


def _round_bf16(wide: Any, out: Any) -> None:
    for i in range(wide.shape[0]):
        u = wide[i]
        if (u & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000):
            out[i] = np.uint16(((u >> np.uint32(16)) & np.uint32(0x8000)) | np.uint32(0x7FC0))
        else:
            out[i] = np.uint16((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & _ONE)) >> np.uint32(16))


@cache
def _counter(width: int) -> Any:
    return compiled(_count, VOID, array_in(width), array_in(8), _STARTS)


@cache
def _sorter(loop: Any, width: int) -> Any:
    return compiled(loop, VOID, array_in(width), array_in(width), array_in(8), _STARTS, array_out(width))


@cache
def _rounder() -> Any:
    return compiled(_round_bf16, VOID, array_in(4), array_out(2))


def prepare(function: str, width: int) -> None:
    """Compile *function* of this module for words of *width* bytes. Raises ImportError where that cannot be done."""
    if function == "round_bf16":
        _rounder()
    else:
        _counter(width)
        _sorter(_LOOPS[function], width)


_LOOPS = {"scatter": _scatter, "gather": _gather}
EVERY = (("round_bf16", 4), *((function, width) for function in _LOOPS for width in (2, 4)))
"""What there is to prepare()."""


def scatter(words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    """See dedup.codecs.arrays.scatter."""
    return _run(_scatter, words, base, sorting)


def gather(sorted_words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    """See dedup.codecs.arrays.gather."""
    return _run(_gather, sorted_words, base, sorting)


def round_bf16(wide: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """See dedup.codecs.arrays.round_bf16."""
    out = np.empty(len(wide), dtype=np.uint16)
    _rounder()(wide, out)
    return out


def _run(loop: Any, words: NDArray[Any], base: NDArray[Any], sorting: Sorting) -> NDArray[Any]:
    if len(words) != len(base) or words.itemsize != base.itemsize or not 0 <= sorting.mask < 256:
        raise ValueError("words and base must be of one length and width, and sorted by at most 8 bits")
    out = np.empty_like(base)
    starts = np.zeros(STRIPES * _EXPONENTS, dtype=np.uint32)
    constants = np.array(
        [sorting.shift, sorting.mask, sorting.keep, sorting.fold, sorting.top, sorting.unfold], dtype=np.uint64
    )
    _counter(base.itemsize)(base, constants, starts)
    _sorter(loop, base.itemsize)(words, base, constants, starts, out)
    return out
