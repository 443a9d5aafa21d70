"""Many small files in one buffer, looked at and cut in one call each; dedup.many says what is computed.

Used by dedup.many. The loops that cut are those of the chunkers, so that a file is cut the same wherever it
stands. Releases the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels import gear, records
from dedup.kernels.machine import VOID, array_in, array_out, compiled, inner, numbers_out

GENERIC, TEXT, MEDIA, ASK = 0, 1, 2, 3
"""What a file is; ASK: its first bytes are worth a closer look."""

_gear_cuts, _record_cuts = gear.cuts, records.cuts
START, LENGTH, KIND, COUNT = range(4)
COLUMNS = 4
"""Of a table of files: where each begins in the buffer, its bytes, what it is, how many chunks it has."""
_SIZES, _THRESHOLDS = 3, 2
"""Of a chunker."""
_TABLE = 256
_ASCII = 128
IN_TEXT, FIRST_OF_MEDIUM, SECOND_OF_MEDIUM, FIRST_OF_PARTS = 1, 2, 4, 8
"""What a byte can do: stand in text, be the first or the second of a medium, be the first of a format with parts."""
_CUT = 3  # bytes of a character that begins before
_SUM_FROM, _SUM_TO = 148, 156  # the checksum of a tar's header


@inner
def _is_utf8(data: Any, start: Any, stop: Any) -> Any:
    """Tell whether the bytes in [start, stop) are UTF-8; the last character may be cut off."""
    at = start
    while at < stop:
        byte = data[at]
        at += 1
        if byte < _ASCII:
            continue
        if not 0xC2 <= byte <= 0xF4:
            return False
        # Neither longer than it has to be, nor a surrogate, nor beyond the last character.
        low = 0xA0 if byte == 0xE0 else 0x90 if byte == 0xF0 else 0x80
        high = 0x9F if byte == 0xED else 0x8F if byte == 0xF4 else 0xBF
        for _ in range(1 if byte < 0xE0 else 2 if byte < 0xF0 else 3):
            if at == stop:
                return True
            if data[at] < low or data[at] > high:
                return False
            low, high = 0x80, 0xBF
            at += 1
    return True


@inner
def _is_text(data: Any, marks: Any, start: Any, stop: Any, most: Any) -> Any:
    """Tell whether the bytes in [start, stop) are text, but for *most* that end a character, at the start."""
    is_ascii = True
    for position in range(start, stop):
        byte = data[position]
        if marks[byte] & IN_TEXT == 0:
            return False
        if byte >= _ASCII:
            is_ascii = False
    first = start
    while first < start + most and data[first] & 0xC0 == 0x80:
        first += 1
    return is_ascii or _is_utf8(data, first, stop)


@inner
def _may_begin(data: Any, at: Any) -> Any:
    """Tell whether at least 512 bytes from *at* on may begin a tflite, a safetensors or a tar, whose first byte can be
    any.
    """
    if (data[at + 4] == 0x54 and data[at + 5] == 0x46) or data[at + 8] == 0x7B:  # "TF", "{"
        return True
    digits = 0
    for position in range(at + _SUM_FROM, at + _SUM_TO):
        byte = data[position]
        if 0x30 <= byte <= 0x37:
            digits += 1
        elif byte != 0x20 and byte != 0:
            return False
    return digits > 0


@inner
def _kind(data: Any, at: Any, length: Any, marks: Any, bounds: Any) -> Any:
    """Return what the file at *at* is; *length* is not 0."""
    has_parts = length >= bounds[1]
    first = marks[data[at]]
    if first & FIRST_OF_MEDIUM and length > 1 and marks[data[at + 1]] & SECOND_OF_MEDIUM:
        return ASK
    if first & FIRST_OF_PARTS and has_parts:
        return ASK
    if length >= 8 and (
        (data[at + 4] == 0x66 and data[at + 5] == 0x74)  # "ft" of an MP4
        or (data[at] == 0x52 and data[at + 1] == 0x49 and data[at + 2] == 0x46)  # RIFF
    ):
        return ASK
    if has_parts and _may_begin(data, at):
        return ASK
    sample = bounds[0]
    if not _is_text(data, marks, at, at + min(length, sample), 0):
        return GENERIC
    if has_parts:
        last = length - sample
        steps = 1 if length <= bounds[2] * sample else bounds[2] - 1
        for step in range(1, steps + 1):
            place = at + last * step // steps
            if not _is_text(data, marks, place, place + sample, _CUT):
                return GENERIC
    return TEXT


def _kinds(data: Any, files: Any, marks: Any, bounds: Any) -> None:
    """Write to *files* what each is. *marks* of a byte are what it can do; *bounds* = bytes of a sample, bytes from
    which on a file may have parts and is looked at in several places, samples then.
    """
    for row in range(0, files.shape[0], COLUMNS):
        at, length = files[row + START], files[row + LENGTH]
        files[row + KIND] = _kind(data, at, length, marks, bounds) if length > 0 else GENERIC


def _cuts(data: Any, files: Any, sizes: Any, words: Any, ends: Any) -> None:
    """Write to *ends* where the chunks of each file end, counted from its start, and to *files* how many there are.

    *sizes* are those of the chunkers of each kind, one behind the other; *words* the gear table, then their thresholds.
    """
    used = 0
    table = words[:_TABLE]
    for row in range(0, files.shape[0], COLUMNS):
        at, length, kind = files[row + START], files[row + LENGTH], files[row + KIND]
        count = 0
        if length > sizes[_SIZES * kind]:
            view, mine = data[at : at + length], sizes[_SIZES * kind : _SIZES * (kind + 1)]
            if kind == TEXT:
                count = _record_cuts(view, table, mine, True, ends[used:])
            else:
                first = _TABLE + _THRESHOLDS * kind
                count = _gear_cuts(view, table, mine, words[first : first + _THRESHOLDS], ends[used:])
        if length > 0 and (count == 0 or ends[used + count - 1] != length):
            ends[used + count] = length
            count += 1
        files[row + COUNT] = count
        used += count


_KINDS = compiled(_kinds, VOID, array_in(1), numbers_out(), array_in(1), numbers_out())
_CUTS = compiled(_cuts, VOID, array_in(1), numbers_out(), numbers_out(), array_out(8), numbers_out())


def find_kinds(
    data: NDArray[np.uint8], files: NDArray[np.int64], marks: NDArray[np.uint8], bounds: NDArray[np.int64]
) -> None:
    """Fill the KIND of the *files* that stand in *data*: as many rows of COLUMNS. Files that may have parts have 512
    bytes at least.
    """
    _KINDS(data, files.reshape(-1), marks, bounds)


def find_cuts(
    data: NDArray[np.uint8], files: NDArray[np.int64], sizes: NDArray[np.int64], thresholds: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the ends of all chunks, each counted from the start of its file, and fill the COUNT of *files*."""
    # See record_cuts(); gear makes fewer.
    ends = np.empty(2 * int(files[:, LENGTH].sum()) // int(sizes.min()) + 2 * len(files), dtype=np.int64)
    _CUTS(data, files.reshape(-1), sizes, np.concatenate((gear.TABLE, thresholds)), ends)
    return ends[: int(files[:, COUNT].sum())]
