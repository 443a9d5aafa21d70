"""What machine code reads from a statx: where each number stands, and what becomes of it.

Used by tiering.hot.native_reads and native_looks. Raises ImportError on import where that cannot be had.
"""

import ctypes
import sys
from typing import Any

import numpy as np

from dedup.kernels.machine import I32, I64, external, inner

# struct statx, include/uapi/linux/stat.h: the same on every architecture. In words of eight bytes.
WORDS = 32
MASK, ATTRIBUTES, IDS, MODE, INO, SIZE, BLOCKS, KNOWN, DEVICE = 0, 1, 2, 3, 4, 5, 6, 7, 17
ATIME, CTIME, MTIME = 8, 12, 14
BASIC = 0x7FF
NO_FOLLOW, NO_AUTOMOUNT, EMPTY_PATH = 0x100, 0x800, 0x1000
_NS = 10**9
_LOW = 0xFFFFFFFF

if sys.byteorder != "little" or sys.maxsize < 1 << 32 or not hasattr(ctypes.CDLL(None), "statx"):
    raise ImportError("this C library or machine is not one that many files can be looked at with at once")

statx = external("statx", I32, I32, I64, I32, I32, I64)


@inner
def address_of(array: Any) -> Any:
    """Return the address of an array's first number."""
    return np.int64(array.ctypes.data)


@inner
def device(found: Any) -> Any:
    """Return st_dev, as makedev() of the C library puts it together."""
    major, minor = found[DEVICE] & _LOW, found[DEVICE] >> 32 & _LOW
    return (major & 0xFFFFF000) << 32 | (major & 0xFFF) << 8 | (minor & 0xFFFFFF00) << 12 | minor & 0xFF


@inner
def time_ns(found: Any, at: Any) -> Any:
    """Return one of the times."""
    return found[at] * _NS + (found[at + 1] & _LOW)


@inner
def mode(found: Any) -> Any:
    """Return st_mode."""
    return found[MODE] >> 32 & 0xFFFF


@inner
def links(found: Any) -> Any:
    """Return st_nlink."""
    return found[IDS] & _LOW


@inner
def uid(found: Any) -> Any:
    """Return st_uid."""
    return found[IDS] >> 32 & _LOW


@inner
def gid(found: Any) -> Any:
    """Return st_gid."""
    return found[MODE] & _LOW
