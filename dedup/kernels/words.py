"""What bytes seem to be words of, as machine code: one pass over a sample of every section of a block.

Used by dedup.codecs.sections, which says what is computed and does the same with numpy where this cannot be had; a test
holds both equal. Releases the GIL.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from dedup.kernels.machine import array_in, compiled, planes_of

_PERIOD = 8
_VALUES = 256


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


def _entropy(counts: Any, n_log_n: Any, width: Any, place: Any) -> Any:
    """Return the entropy in bits of the bytes at *place* of words of *width*, corrected as that of a sample is."""
    total, seen = 0, 0
    weighed = 0.0
    for value in range(_VALUES):
        count = 0
        for at in range(place, _PERIOD, width):
            count += counts[(at << 8) + value]
        total += count
        seen += count > 0
        weighed += n_log_n[count]
    total = max(total, 1)
    return np.log2(total) - weighed / total + max(seen - 1, 0) / (2 * total * np.log(2.0))


def _judge(counts: Any, n_log_n: Any, worth: Any, still: Any, tie: Any) -> Any:
    """Return 16 * width + head, as dedup.codecs.sections._guess does."""
    best, head = 1, 0
    least = _ENTROPY(counts, n_log_n, 1, 0)
    for power in range(1, 4):
        width = 1 << power
        mean, lowest, lively = 0.0, 9.0, 0
        for place in range(width):
            entropy = _ENTROPY(counts, n_log_n, width, place)
            mean += entropy
            if entropy > still and entropy < lowest - tie:
                lowest, lively = entropy, place
        mean /= width
        if mean < worth * least:
            best, head, least = width, (lively + 1) % width, mean
    return 16 * best + head


def _guesses(data: Any, sizes: Any, n_log_n: Any, bounds: Any, out: Any) -> None:
    """Write to *out* what each section of *data* seems to hold; *sizes* = bytes of a section, runs, words of a run."""
    step = sizes[0]
    counts = np.empty(_PERIOD * _VALUES, dtype=np.int64)
    for number in range(out.shape[0]):
        start = number * step
        _TALLY(data[start : min(start + step, data.shape[0])], sizes[1], sizes[2], counts)
        out[number] = _JUDGE(counts, n_log_n, bounds[0], bounds[1], bounds[2])


_INT = numba.types.int64
_FLOAT = numba.types.float64
_FLOATS = numba.types.Array(_FLOAT, 1, "C")
_COUNTS = numba.types.Array(_INT, 1, "C")
_SIZES = planes_of(_INT, 3)
_BOUNDS = planes_of(_FLOAT, 3)
_TALLY = compiled(_tally, numba.types.void, array_in(1), _INT, _INT, _COUNTS)
_ENTROPY = compiled(_entropy, _FLOAT, _COUNTS, _FLOATS, _INT, _INT)
_JUDGE = compiled(_judge, _INT, _COUNTS, _FLOATS, _FLOAT, _FLOAT, _FLOAT)
_GUESSES = compiled(_guesses, numba.types.void, array_in(1), _SIZES, _FLOATS, _BOUNDS, _COUNTS)


def guesses(
    data: NDArray[np.uint8],
    sizes: tuple[int, int, int],
    n_log_n: NDArray[np.float64],
    bounds: tuple[float, float, float],
) -> NDArray[np.int64]:
    """Return 16 * width + head of each section of *data*; *bounds* = _judge's worth, still and tie."""
    found = np.empty(-(-len(data) // sizes[0]), dtype=np.int64)
    _GUESSES(data, sizes, n_log_n, bounds, found)
    return found
