"""Byte planes as machine code: each word rotated and split, or joined and rotated back, in one pass.

Used by dedup.codecs.transforms, which falls back on dedup.codecs.arrays where these cannot be had; both give the same
bytes, which a property test proves. Loops are compiled when their width is first asked for. Every index is a loop
counter that the shortest array bounds: no value of a payload ever becomes one. Every step of a narrow word is told to
stay as narrow: it would be computed in 64 bits else, at half the speed. Releases the GIL. Measured on one core:
40 GB/s, so that the Huffman coder decides the speed.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import SCALAR, U64, VOID, array_in, array_out, compiled, planes_of

U16, U32 = np.uint16, np.uint32


def _split2(words: Any, turn: Any, planes: Any) -> None:
    p0, p1 = planes
    left, right = U16(turn & U64(15)), U16((U64(16) - turn) & U64(15))
    for i in range(words.shape[0]):
        u = words[i]
        r = U16(U16(u << left) | U16(u >> right))
        p0[i] = np.uint8(r)
        p1[i] = np.uint8(r >> U16(8))


def _split4(words: Any, turn: Any, planes: Any) -> None:
    p0, p1, p2, p3 = planes
    left, right = U32(turn & U64(31)), U32((U64(32) - turn) & U64(31))
    for i in range(words.shape[0]):
        u = words[i]
        r = U32(U32(u << left) | U32(u >> right))
        p0[i] = np.uint8(r)
        p1[i] = np.uint8(r >> U32(8))
        p2[i] = np.uint8(r >> U32(16))
        p3[i] = np.uint8(r >> U32(24))


def _split8(words: Any, turn: Any, planes: Any) -> None:
    p0, p1, p2, p3, p4, p5, p6, p7 = planes
    back = (U64(64) - turn) & U64(63)
    for i in range(words.shape[0]):
        u = words[i]
        r = (u << turn) | (u >> back)
        p0[i] = np.uint8(r)
        p1[i] = np.uint8(r >> U64(8))
        p2[i] = np.uint8(r >> U64(16))
        p3[i] = np.uint8(r >> U64(24))
        p4[i] = np.uint8(r >> U64(32))
        p5[i] = np.uint8(r >> U64(40))
        p6[i] = np.uint8(r >> U64(48))
        p7[i] = np.uint8(r >> U64(56))


def _join2(words: Any, turn: Any, planes: Any) -> None:
    p0, p1 = planes
    left, right = U16((U64(16) - turn) & U64(15)), U16(turn & U64(15))
    for i in range(words.shape[0]):
        r = U16(U16(p0[i]) | U16(U16(p1[i]) << U16(8)))
        words[i] = U16(r >> right) | U16(r << left)


def _join4(words: Any, turn: Any, planes: Any) -> None:
    p0, p1, p2, p3 = planes
    left, right = U32((U64(32) - turn) & U64(31)), U32(turn & U64(31))
    for i in range(words.shape[0]):
        low = U32(U32(p0[i]) | U32(U32(p1[i]) << U32(8)))
        r = U32(low | U32(U32(p2[i]) << U32(16)) | U32(U32(p3[i]) << U32(24)))
        words[i] = U32(r >> right) | U32(r << left)


def _join8(words: Any, turn: Any, planes: Any) -> None:
    p0, p1, p2, p3, p4, p5, p6, p7 = planes
    back = (U64(64) - turn) & U64(63)
    for i in range(words.shape[0]):
        low = U64(p0[i]) | (U64(p1[i]) << U64(8)) | (U64(p2[i]) << U64(16)) | (U64(p3[i]) << U64(24))
        high = U64(p4[i]) | (U64(p5[i]) << U64(8)) | (U64(p6[i]) << U64(16)) | (U64(p7[i]) << U64(24))
        r = low | (high << U64(32))
        words[i] = (r >> turn) | (r << back)


_SPLITS: dict[int, Callable[..., Any]] = {2: _split2, 4: _split4, 8: _split8}
_JOINS: dict[int, Callable[..., Any]] = {2: _join2, 4: _join4, 8: _join8}


@cache
def _splitter(width: int) -> Any:
    planes = planes_of(array_out(1), width)
    return compiled(_SPLITS[width], VOID, array_in(width), SCALAR, planes)


@cache
def _joiner(width: int) -> Any:
    planes = planes_of(array_in(1), width)
    return compiled(_JOINS[width], VOID, array_out(width), SCALAR, planes)


def prepare(function: str, width: int) -> None:
    """Compile *function* of this module for words of *width* bytes. Raises ImportError where that cannot be done."""
    _BUILDERS[function](width)


_BUILDERS = {"split": _splitter, "join": _joiner}
EVERY = tuple((function, width) for function in _BUILDERS for width in _SPLITS)
"""What there is to prepare()."""


def split(words: NDArray[Any], turn: int, planes: Sequence[NDArray[np.uint8]]) -> None:
    """See dedup.codecs.arrays.split."""
    _splitter(words.itemsize)(words, U64(turn), tuple(planes))


def join(planes: Sequence[NDArray[np.uint8]], turn: int, words: NDArray[Any]) -> None:
    """See dedup.codecs.arrays.join."""
    _joiner(words.itemsize)(words, U64(turn), tuple(planes))
