"""Many small files in one buffer, looked at and cut in one call each; dedup.plain_files says what is computed.

Used by dedup.plain_files. The loops that cut are those of the chunkers, so that a file is cut the same wherever it
stands. Releases the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels import gear, records
from dedup.kernels.machine import VOID, array_in, array_out, compiled, numbers_out

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


def _kinds(data: Any, files: Any, marks: Any, bounds: Any) -> None:
    """Write to *files* what each is. *marks* of a byte: 1 stands in text, 2 may begin a medium; *bounds* = bytes of a
    sample, bytes from which on a file may have parts.
    """
    for row in range(0, files.shape[0], COLUMNS):
        at, length = files[row + START], files[row + LENGTH]
        if length >= bounds[1] or (length > 0 and marks[data[at]] & 2):
            files[row + KIND] = ASK
            continue
        if length >= 8 and (
            (data[at + 4] == 0x66 and data[at + 5] == 0x74)  # "ft" of an MP4
            or (data[at] == 0x52 and data[at + 1] == 0x49 and data[at + 2] == 0x46)  # RIFF
        ):
            files[row + KIND] = ASK
            continue
        kind = TEXT if length > 0 else GENERIC
        for position in range(at, at + min(length, bounds[0])):
            byte = data[position]
            if marks[byte] & 1 == 0:
                kind = GENERIC
                break
            if byte >= _ASCII:
                kind = ASK
        files[row + KIND] = kind


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
    """Fill the KIND of the *files* that stand in *data*: as many rows of COLUMNS."""
    _KINDS(data, files.reshape(-1), marks, bounds)


def find_cuts(
    data: NDArray[np.uint8], files: NDArray[np.int64], sizes: NDArray[np.int64], thresholds: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Return the ends of all chunks, each counted from the start of its file, and fill the COUNT of *files*."""
    # See record_cuts(); gear makes fewer.
    ends = np.empty(2 * int(files[:, LENGTH].sum()) // int(sizes.min()) + 2 * len(files), dtype=np.int64)
    _CUTS(data, files.reshape(-1), sizes, np.concatenate((gear.TABLE, thresholds)), ends)
    return ends[: int(files[:, COUNT].sum())]
