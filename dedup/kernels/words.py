"""What bytes seem to be words of, as machine code: one pass over a sample of every section of a block.

Used by dedup.codecs.sections, which says what is computed and does the same with numpy where this cannot be had; a test
holds both equal. Releases the GIL.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import F64, I64, VOID, array_in, compiled, inner, numbers_in, numbers_out, planes_of

_PERIOD = 8
_VALUES = 256


@inner
def _tally(section: Any, runs: Any, run_words: Any, counts: Any) -> None:
    """Count in *counts* how often each value stands at each place of a period, in *runs* runs."""
    counts[:] = 0
    words = section.shape[0] // _PERIOD
    run = run_words
    if words <= runs * run_words:
        runs, run = 1, words
    step = (words - run) / (runs - 1) if runs > 1 else 0.0
    for k in range(runs):
        start = int(k * step) * _PERIOD
        for at in range(start, start + run * _PERIOD, _PERIOD):
            for place in range(_PERIOD):
                counts[(place << 8) + section[at + place]] += 1


@inner
def _entropy(counts: Any, n_log_n: Any, width: Any, place: Any) -> Any:
    """Return the entropy in bits of the bytes at *place* of words of *width*, corrected as that of a sample is."""
    total, seen = 0, 0
    weighed = 0.0
    for value in range(_VALUES):
        count = 0
        for at in range(place, counts.shape[0] >> 8, width):
            count += counts[(at << 8) + value]
        total += count
        seen += count > 0
        weighed += n_log_n[count]
    total = max(total, 1)
    return np.log2(total) - weighed / total + max(seen - 1, 0) / (2 * total * np.log(2.0))


def _spend(data: Any, sizes: Any, tables: Any, worth: Any, out: Any) -> None:
    """Write to *out* the bits a word that the planes of *data* cost, plain and rotated; see dedup.codecs.sections.

    *sizes* = bytes of a word, bytes before the first, runs, words of a run.
    """
    width, head = sizes[0], sizes[1]
    words = (data.shape[0] - head) // width
    runs, run = sizes[2], sizes[3]
    if words <= runs * run:
        runs, run = 1, words
    step = (words - run) / (runs - 1) if runs > 1 else 0.0
    n_log_n, counts = tables
    counts[:] = 0
    for k in range(runs):
        start = head + int(k * step) * width
        for at in range(start, start + run * width, width):
            before = data[at + width - 1] >> 7
            for place in range(width):
                value = data[at + place]
                counts[(place << 8) + value] += 1
                turned = ((value << 1) | before) & 255
                before = value >> 7
                counts[((_PERIOD + place) << 8) + turned] += 1
    for form in range(2):
        out[form] = 0.0
        for place in range(width):
            bits = _entropy(
                counts[(form * _PERIOD + place) << 8 : (form * _PERIOD + place + 1) << 8], n_log_n, _PERIOD, 0
            )
            out[form] += bits if bits < 8.0 * worth else 8.0


@inner
def _judge(counts: Any, n_log_n: Any, worth: Any, still: Any, tie: Any) -> Any:
    """Return 16 * width + head, as dedup.codecs.sections._guess does."""
    best, head = 1, 0
    least = _entropy(counts, n_log_n, 1, 0)
    for power in range(1, 4):
        width = 1 << power
        mean, lowest, lively = 0.0, 9.0, 0
        for place in range(width):
            entropy = _entropy(counts, n_log_n, width, place)
            mean += entropy
            if entropy > still and entropy < lowest - tie:
                lowest, lively = entropy, place
        mean /= width
        if mean < worth * least:
            best, head, least = width, (lively + 1) % width, mean
    return 16 * best + head


def _guesses(data: Any, sizes: Any, tables: Any, bounds: Any, out: Any) -> None:
    """Write to *out* what each section of *data* seems to hold; *sizes* = bytes of a section, runs, words of a run."""
    step = sizes[0]
    n_log_n, counts = tables
    for number in range(out.shape[0]):
        start = number * step
        _tally(data[start : min(start + step, data.shape[0])], sizes[1], sizes[2], counts)
        out[number] = _judge(counts, n_log_n, bounds[0], bounds[1], bounds[2])


_TABLES = (numbers_in("float64"), numbers_out())
_SPEND = compiled(_spend, VOID, array_in(1), planes_of(I64, 4), _TABLES, F64, numbers_out("float64"))
_GUESSES = compiled(_guesses, VOID, array_in(1), planes_of(I64, 3), _TABLES, planes_of(F64, 3), numbers_out())


def guesses(
    data: NDArray[np.uint8],
    sizes: tuple[int, int, int],
    n_log_n: NDArray[np.float64],
    bounds: tuple[float, float, float],
) -> NDArray[np.int64]:
    """Return 16 * width + head of each section of *data*; *bounds* = _judge's worth, still and tie."""
    found = np.empty(-(-len(data) // sizes[0]), dtype=np.int64)
    counts = np.empty(_PERIOD * _VALUES, dtype=np.int64)
    _GUESSES(data, sizes, (n_log_n, counts), bounds, found)
    return found


def spend(
    data: NDArray[np.uint8], sizes: tuple[int, int, int, int], n_log_n: NDArray[np.float64], worth: float
) -> tuple[float, float]:
    """Return the bits that a word of *data* costs split in planes, as it is and rotated; *sizes* as _spend's."""
    found = np.empty(2)
    counts = np.empty(2 * _PERIOD * _VALUES, dtype=np.int64)
    _SPEND(data, sizes, (n_log_n, counts), worth, found)
    return float(found[0]), float(found[1])
