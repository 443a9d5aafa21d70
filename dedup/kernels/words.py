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
def _entropy(counts: Any, n_log_n: Any) -> Any:
    """Return the entropy in bits of the bytes that *counts* counts, corrected as that of a sample is.

    In four sums: an addition waits for the one before it.
    """
    total, seen = 0, 0
    w0, w1, w2, w3 = 0.0, 0.0, 0.0, 0.0
    for value in range(0, _VALUES, 4):
        c0, c1, c2, c3 = counts[value], counts[value + 1], counts[value + 2], counts[value + 3]
        total += c0 + c1 + c2 + c3
        seen += (c0 > 0) + (c1 > 0) + (c2 > 0) + (c3 > 0)
        w0 += n_log_n[c0]
        w1 += n_log_n[c1]
        w2 += n_log_n[c2]
        w3 += n_log_n[c3]
    total = max(total, 1)
    return np.log2(total) - (w0 + w1 + (w2 + w3)) / total + max(seen - 1, 0) / (2 * total * np.log(2.0))


def _spend(data: Any, sizes: Any, tables: Any, out: Any) -> None:
    """Write to *out* the bits that each plane of *data* costs, plain and then rotated; see dedup.codecs.sections.

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
        for place in range(width):
            at = (form * _PERIOD + place) << 8
            out[form * width + place] = _entropy(counts[at : at + _VALUES], n_log_n)


@inner
def _judge(counts: Any, n_log_n: Any, bounds: Any, entropies: Any) -> Any:
    """Return 16 * width + head, as dedup.codecs.sections._guess does. Folds *counts*; *entropies* is room for 16."""
    width = _PERIOD
    while width > 0:
        for place in range(width):
            entropies[width + place] = _entropy(counts[place << 8 : (place + 1) << 8], n_log_n)
        width >>= 1
        for at in range(width << 8):
            counts[at] += counts[(width << 8) + at]
    worth, still, tie = bounds
    best, head, least = 1, 0, entropies[1]
    for power in range(1, 4):
        width = 1 << power
        mean, lowest, lively = 0.0, 9.0, 0
        for place in range(width):
            entropy = entropies[width + place]
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
    n_log_n, entropies, counts = tables
    for number in range(out.shape[0]):
        start = number * step
        _tally(data[start : min(start + step, data.shape[0])], sizes[1], sizes[2], counts)
        out[number] = _judge(counts, n_log_n, bounds, entropies)


_TABLES = (numbers_in("float64"), numbers_out())
_SPEND = compiled(_spend, VOID, array_in(1), planes_of(I64, 4), _TABLES, numbers_out("float64"))
_ROOMS = (numbers_in("float64"), numbers_out("float64"), numbers_out())
_GUESSES = compiled(_guesses, VOID, array_in(1), planes_of(I64, 3), _ROOMS, planes_of(F64, 3), numbers_out())


def guesses(
    data: NDArray[np.uint8],
    sizes: tuple[int, int, int],
    n_log_n: NDArray[np.float64],
    bounds: tuple[float, float, float],
) -> NDArray[np.int64]:
    """Return 16 * width + head of each section of *data*; *bounds* = _judge's worth, still and tie."""
    found = np.empty(-(-len(data) // sizes[0]), dtype=np.int64)
    counts = np.empty(_PERIOD * _VALUES, dtype=np.int64)
    _GUESSES(data, sizes, (n_log_n, np.empty(2 * _PERIOD), counts), bounds, found)
    return found


def spend(
    data: NDArray[np.uint8], sizes: tuple[int, int, int, int], n_log_n: NDArray[np.float64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the bits that words of *data* cost in each plane, as they are and rotated; *sizes* as _spend's."""
    width = sizes[0]
    found = np.empty(2 * width)
    counts = np.empty(2 * _PERIOD * _VALUES, dtype=np.int64)
    _SPEND(data, sizes, (n_log_n, counts), found)
    bits = tuple(found.tolist())
    return bits[:width], bits[width:]
