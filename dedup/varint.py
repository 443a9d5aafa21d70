"""Variable-length integers: 7 bits a byte, least significant first, the top bit set on all but the last (LEB128).

Used by dedup.layout and dedup.recipe, whose columns are mostly small numbers. Signed numbers are zigzagged first: 0,
-1, 1, -2 ... become 0, 1, 2, 3. Readers are held to 64 bits and to the bytes at hand.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from dedup.errors import FormatError

_LONGEST = 10  # bytes of a 64-bit number
_FEW = 32  # below it a loop beats setting up numpy
_SHORT = [bytes([number]) for number in range(0x80)]
_MORE = [bytes([number | 0x80]) for number in range(0x80)]


def encode_varints(numbers: Iterable[int]) -> bytes:
    """Return *numbers*, each in 0 .. 2**64-1, one after the other. Raises FormatError for others."""
    return b"".join([_SHORT[number] if 0 <= number < 0x80 else _encoded(number) for number in numbers])


def encode_columns(numbers: NDArray[np.uint64], ends: Sequence[int]) -> list[bytes]:
    """Return encode_varints() of stretches of *numbers*, each up to one of *ends*, which ascend; the last is the end of
    all.
    """
    widths = np.ones(len(numbers), dtype=np.int64)
    for bits in range(7, 64, 7):
        wide = numbers >= np.uint64(1 << bits)
        if not wide.any():
            break
        widths += wide
    after = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(widths)])
    out = np.empty(int(after[-1]), dtype=np.uint8)
    for place in range(int(widths.max(initial=0))):
        wide = widths > place
        more = (widths[wide] > place + 1).astype(np.uint64) << np.uint64(7)
        out[after[:-1][wide] + place] = numbers[wide] >> np.uint64(7 * place) & np.uint64(0x7F) | more
    data = out.tobytes()
    cuts = after[np.asarray(ends, dtype=np.int64)].tolist()
    return [data[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]


def decode_varints(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Return *count* numbers of *data* from *at* on, and where they end.

    Raises FormatError if *data* ends before or a number exceeds 64 bits; allocates in proportion to count, which it
    first holds against the bytes at hand.
    """
    if count > len(data) - at:
        raise FormatError("numbers are cut short")
    if count < _FEW:
        return _one_by_one(data, at, count)
    window = np.frombuffer(data, dtype=np.uint8, offset=at)[: _LONGEST * count]
    ends = np.flatnonzero(window < 0x80)[:count]
    if len(ends) < count:
        raise FormatError("numbers are cut short")
    starts = np.concatenate([np.zeros(1, dtype=ends.dtype), ends[:-1] + 1])
    widths = ends - starts + 1
    longest = int(widths.max())
    if longest > _LONGEST or np.any(window[starts[widths == _LONGEST] + _LONGEST - 1] > 1):
        raise FormatError("a number exceeds 64 bits")
    values = np.zeros(count, dtype=np.uint64)
    for place in range(longest):
        wide = widths > place
        values[wide] |= (window[starts[wide] + place] & 0x7F).astype(np.uint64) << np.uint64(7 * place)
    return values.tolist(), at + int(ends[-1]) + 1


def zigzag(number: int) -> int:
    """Return a signed 64-bit number as an unsigned one."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    """Return the signed number that zigzag() made *number* of."""
    return number >> 1 if number & 1 == 0 else -(number >> 1) - 1


def _encoded(number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise FormatError(f"{number} is not a 64-bit unsigned number")
    # Lengths and sizes have two or three bytes, times four or five: concatenated, at a third of a loop's time.
    if number < 1 << 14:
        return _MORE[number & 0x7F] + _SHORT[number >> 7]
    if number < 1 << 21:
        return _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + _SHORT[number >> 14]
    out = _MORE[number & 0x7F] + _MORE[number >> 7 & 0x7F] + _MORE[number >> 14 & 0x7F]
    number >>= 21
    while number >= 0x80:
        out += _MORE[number & 0x7F]
        number >>= 7
    return out + _SHORT[number]


def _one_by_one(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    numbers = []
    size = len(data)
    for _ in range(count):
        number = shift = 0
        while True:
            if at >= size:
                raise FormatError("numbers are cut short")
            byte = data[at]
            at += 1
            if byte < 0x80:
                break
            number |= (byte & 0x7F) << shift
            shift += 7
            if shift >= 7 * _LONGEST:
                raise FormatError("a number exceeds 64 bits")
        number |= byte << shift
        if shift and number >> 64:
            raise FormatError("a number exceeds 64 bits")
        numbers.append(number)
    return numbers, at
