"""Snappy's raw format as machine code: a decoder, and the frozen encoders that reproduce what common libraries write.

Used by dedup.snappy alone, which checks lengths and owns the buffers. dedup.snappy_reference says in plain Python what
is computed, byte for byte; a property test holds the two equal. Releases the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import I64, array_in, array_out, compiled, inlined, inner, numbers_in
from dedup.snappy_variants import CRC_TABLES

_U8, _U16, _U32, _U64 = np.uint8, np.uint16, np.uint32, np.uint64
_CRC = np.array(CRC_TABLES, dtype=np.uint32).ravel()  # four tables of 256

FRAGMENT = 65536
MARGIN = 15
LONGEST_FRAGMENT = 32 + FRAGMENT + FRAGMENT // 6
"""Coded: google/snappy's own bound, which every variant keeps to, with room for the 15 bytes that a copy spills."""


@inlined
def _load32(data: Any, at: Any) -> Any:
    # Unsigned indexes: signed ones make numba test each for being negative, and the four loads do not become one.
    i = _U64(at)
    low = _U32(data[i]) | (_U32(data[i + _U64(1)]) << _U32(8))
    high = _U32(data[i + _U64(2)]) | (_U32(data[i + _U64(3)]) << _U32(8))
    return _U32(low | (high << _U32(16)))


@inlined
def _load64(data: Any, at: Any) -> Any:
    i = _U64(at)
    return _U64(_load32(data, i)) | (_U64(_load32(data, i + _U64(4))) << _U64(32))


@inlined
def _store64(out: Any, at: Any, word: Any) -> Any:
    i = _U64(at)
    for k in range(8):
        out[i + _U64(k)] = _U8((word >> _U64(8 * k)) & _U64(255))


@inlined
def _copy16(source: Any, start: Any, out: Any, at: Any, length: Any) -> Any:
    """Copy *length* bytes in steps of 16: reads and writes up to 15 bytes more. No overlap, or none nearer than 16."""
    done = 0
    while done < length:
        first, second = _load64(source, start + done), _load64(source, start + done + 8)
        _store64(out, at + done, first)
        _store64(out, at + done + 8, second)
        done += 16


@inlined
def _plan(size: Any, how: Any) -> Any:
    """Return how a fragment of *size* bytes is hashed: (kind, shift, mask, tables); *how* = rules as in
    snappy_variants.Variant, tables of the CRC.
    """
    rules, bits = how[0], 8
    while bits < rules[1] and (1 << bits) < size:
        bits += 1
    shift = _U32(32 - bits) if rules[0] == 0 else _U32(32 - rules[1])
    return rules[0], shift, _U32((1 << bits) - 1), how[1]


@inlined
def _slot(word: Any, plan: Any) -> Any:
    """Return the index in the table of a 4-byte *word*."""
    kind, shift, mask, tables = plan
    if kind == 2:
        x = _U32(word ^ (mask << _U32(1)))
        crc = tables[_U64(x & _U32(255)) + _U64(768)] ^ tables[_U64((x >> _U32(8)) & _U32(255)) + _U64(512)]
        crc ^= tables[_U64((x >> _U32(16)) & _U32(255)) + _U64(256)] ^ tables[_U64(x >> _U32(24))]
        return _U64((crc >> _U32(1)) & mask)
    return _U64((_U32(word * _U32(0x1E35A7BD)) >> shift) & mask)


@inlined
def _literal(source: Any, start: Any, stop: Any, out: Any, at: Any) -> Any:
    last = stop - start - 1
    if last < 60:
        out[_U64(at)] = _U8(last << 2)
        at += 1
    elif last < 256:
        out[_U64(at)] = _U8(60 << 2)
        out[_U64(at + 1)] = _U8(last)
        at += 2
    else:
        out[_U64(at)] = _U8(61 << 2)
        out[_U64(at + 1)] = _U8(last & 255)
        out[_U64(at + 2)] = _U8(last >> 8)
        at += 3
    if stop + 16 <= len(source):
        _copy16(source, start, out, at, last + 1)
    else:
        for i in range(last + 1):
            out[_U64(at + i)] = source[_U64(start + i)]
    return at + last + 1


@inlined
def _copy_far(out: Any, at: Any, offset: Any, length: Any) -> Any:
    out[_U64(at)] = _U8(((length - 1) << 2) | 2)
    out[_U64(at + 1)] = _U8(offset & 255)
    out[_U64(at + 2)] = _U8(offset >> 8)
    return at + 3


@inlined
def _copy(out: Any, at: Any, offset: Any, length: Any) -> Any:
    while length >= 68:
        at = _copy_far(out, at, offset, 64)
        length -= 64
    if length > 64:
        at = _copy_far(out, at, offset, 60)
        length -= 60
    # Without a branch: which form it is cannot be predicted, and costs more than the arithmetic.
    near = _U32(1) if (length < 12 and offset < 2048) else _U32(0)
    short = _U32(((offset >> 8) << 5) | ((length - 4) << 2) | 1)
    far = _U32(((length - 1) << 2) | 2)
    out[_U64(at)] = _U8(short if near else far)
    out[_U64(at + 1)] = _U8(offset & 255)
    out[_U64(at + 2)] = _U8(offset >> 8)
    return at + 3 - np.int64(near)


@inlined
def _zero_bytes(word: Any) -> Any:
    """Return how many low bytes of *word*, which is not 0, are 0."""
    low = _U32(word & _U64(0xFFFFFFFF))
    count = 4 if low == _U32(0) else 0
    half = _U32(word >> _U64(32)) if low == _U32(0) else low
    count += 2 if (half & _U32(0xFFFF)) == _U32(0) else 0
    quarter = half >> _U32(16) if (half & _U32(0xFFFF)) == _U32(0) else half
    return count + (1 if (quarter & _U32(0xFF)) == _U32(0) else 0)


@inlined
def _match_end(source: Any, earlier: Any, here: Any, stop: Any) -> Any:
    """Return where the bytes from *here* stop equalling those from *earlier*; at most *stop*."""
    while here + 8 <= stop:
        differing = _load64(source, earlier) ^ _load64(source, here)
        if differing != _U64(0):
            return here + _zero_bytes(differing)
        here += 8
        earlier += 8
    while here < stop and source[_U64(earlier)] == source[_U64(here)]:
        here += 1
        earlier += 1
    return here


@inlined
def _enter(source: Any, start: Any, here: Any, table: Any, plan: Any) -> Any:
    """Enter *here* in the table; return what stood in its place if the four bytes there are the same, else -1."""
    word = _load32(source, here)
    slot = _slot(word, plan)
    candidate = start + np.int64(table[slot])
    table[slot] = _U16(here - start)
    return candidate if _load32(source, candidate) == word else -1


@inlined
def _search(source: Any, span: Any, here: Any, table: Any, planned: Any) -> Any:
    """Return (position, candidate) of the first match from *here* on that is looked at; (*here*, -1) for none."""
    plan, growing = planned
    start, stop = span
    skip, following = 32, here
    while True:
        here = following
        step = skip >> 5
        skip += step if growing else 1
        following = here + step
        if following > stop - MARGIN:
            return here, -1
        candidate = _enter(source, start, here, table, plan)
        if candidate >= 0:
            return here, candidate


@inner
def _fragment(source: Any, span: Any, out: Any, table: Any, how: Any) -> Any:
    """Encode source[span[0]:span[1]] (at most FRAGMENT bytes) to *out*; return the bytes written."""
    start, stop = span
    plan = _plan(stop - start, how)
    for slot in range(np.int64(plan[2]) + 1):
        table[slot] = 0
    planned = (plan, how[0][2] == 1)
    at, pending, here = 0, start, start + 1
    limit = stop - MARGIN
    while here <= limit:
        here, candidate = _search(source, span, here, table, planned)
        if candidate < 0:
            break
        at = _literal(source, pending, here, out, at)
        while candidate >= 0:
            end = _match_end(source, candidate + 4, here + 4, stop)
            at = _copy(out, at, here - candidate, end - here)
            here = pending = end
            candidate = -1
            if here < limit:
                table[_slot(_load32(source, here - 1), plan)] = _U16(here - 1 - start)
                candidate = _enter(source, start, here, table, plan)
        here += 1
    return _literal(source, pending, stop, out, at) if pending < stop else at


def _encode(source: Any, out: Any, scratch: Any, table: Any, how: Any) -> Any:
    """Encode all of *source* to *out*, by way of *scratch*; return the bytes written, -1 if *out* is too small."""
    size, start, at = len(source), 0, 0
    while start < size:
        stop = min(start + FRAGMENT, size)
        length = _fragment(source, (start, stop), scratch, table, how)
        if at + length > len(out):
            return -1
        for i in range(length):
            out[_U64(at + i)] = scratch[_U64(i)]
        at += length
        start = stop
    return at


def _reproduces(source: Any, coded: Any, scratch: Any, table: Any, how: Any) -> Any:
    """Return whether encoding *source* gives exactly *coded*; *scratch* holds one coded fragment."""
    size, start, at = len(source), 0, 0
    while start < size:
        stop = min(start + FRAGMENT, size)
        length = _fragment(source, (start, stop), scratch, table, how)
        if at + length > len(coded):
            return False
        for i in range(length):
            if scratch[_U64(i)] != coded[_U64(at + i)]:
                return False
        at += length
        start = stop
    return at == len(coded)


def _decode(coded: Any, out: Any) -> Any:  # noqa: C901, PLR0912, PLR0915  in one piece: split, it is a quarter slower
    """Decode the elements of *coded* to *out*; return whether they fill it exactly. Never reads or writes beyond."""
    size, room, i, at = len(coded), len(out), 0, 0
    length: Any
    offset: Any
    while i < size:
        tag = np.int64(coded[_U64(i)])
        i += 1
        kind = tag & 3
        if kind == 0:
            length = (tag >> 2) + 1
            if length > 60:
                extra = length - 60
                if i + extra > size:
                    return False
                length = 0
                for k in range(extra):
                    length |= np.int64(coded[_U64(i + k)]) << (8 * k)
                length += 1
                i += extra
            if length > size - i or length > room - at:
                return False
            if i + length + 16 <= size and at + length + 16 <= room:
                _copy16(coded, i, out, at, length)
            else:
                for k in range(length):
                    out[_U64(at + k)] = coded[_U64(i + k)]
            i += length
            at += length
            continue
        if kind == 1:
            if i + 1 > size:
                return False
            length = ((tag >> 2) & 7) + 4
            offset = ((tag >> 5) << 8) | np.int64(coded[_U64(i)])
            i += 1
        else:
            extra = 2 if kind == 2 else 4
            if i + extra > size:
                return False
            length = (tag >> 2) + 1
            offset = 0
            for k in range(extra):
                offset |= np.int64(coded[_U64(i + k)]) << (8 * k)
            i += extra
        if offset == 0 or offset > at or length > room - at:
            return False
        if offset >= 16 and at + length + 16 <= room:
            _copy16(out, at - offset, out, at, length)
        else:
            for k in range(length):
                out[_U64(at + k)] = out[_U64(at + k - offset)]
        at += length
    return at == room


_HOW = (numbers_in(), array_in(4))
_ENCODE = compiled(_encode, I64, array_in(1), array_out(1), array_out(1), array_out(2), _HOW)
_REPRODUCES = compiled(_reproduces, I64, array_in(1), array_in(1), array_out(1), array_out(2), _HOW)
_DECODE = compiled(_decode, I64, array_in(1), array_out(1))


class Encoder:
    """One frozen encoder with its working memory. Not thread-safe: one for each call costs 2 us."""

    __slots__ = ("_how", "_scratch", "_table")

    def __init__(self, rules: tuple[int, int, int]) -> None:
        self._how = np.array(rules, dtype=np.int64), _CRC
        self._table = np.empty(1 << rules[1], dtype=np.uint16)
        self._scratch = np.empty(LONGEST_FRAGMENT, dtype=np.uint8)

    def encode(self, source: NDArray[np.uint8], out: NDArray[np.uint8]) -> int:
        """Encode *source* to *out*; return the bytes written, -1 if they are more than *out* holds."""
        return int(_ENCODE(source, out, self._scratch, self._table, self._how))

    def reproduces(self, source: NDArray[np.uint8], coded: NDArray[np.uint8]) -> bool:
        """Return whether encoding *source* gives *coded*; stops at the first fragment that differs."""
        return bool(_REPRODUCES(source, coded, self._scratch, self._table, self._how))


def decode(coded: NDArray[np.uint8], out: NDArray[np.uint8]) -> bool:
    """Decode the elements *coded* to *out*; False if they are not well-formed or do not fill it exactly."""
    return bool(_DECODE(coded, out))
