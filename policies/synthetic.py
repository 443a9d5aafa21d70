"""Artificial histories of known make, and thinning of counted ones: deterministic by seed.

Used to validate strategies where nothing could have been fitted: steady, bursty, drifting, periodic, born hot, born
cold; and to turn monthly counts (downloads) into single accesses. Rates are heavy-tailed as measured on real stores
(CERN EOS: 56 % of the files read once, 91 % at most four times).
"""

from collections.abc import Callable, Sequence

import numpy as np

from policies.trace import READ, WRITE, Accesses, Floats, Ints, Trace, make_trace

SHAPES = ("poisson", "bursty", "drift", "born-hot", "born-cold", "periodic", "mixed")
SIZE_MEDIAN_BYTES = 64 * 2**20  # the default pack; CERN EOS files average 150-500 MB, tails included
SIZE_SIGMA = 2.0  # of the logarithm: sizes over five decades, as measured on file systems
RATE_SIGMA = 2.0  # of the logarithm of reads a day: gives CERN's share of files read once and four times at most


def synthetic(shape: str, *, objects: int, days: int, seed: int) -> Trace:
    """Return a history of *objects* born over its first half; "mixed" has every shape, one kind of file each.

    Raises ValueError on an unknown shape.
    """
    if shape not in SHAPES:
        raise ValueError(f'no shape "{shape}" (there are {", ".join(SHAPES)})')
    rng = np.random.default_rng(seed)
    names = SHAPES[:-1] if shape == "mixed" else (shape,)
    kinds = np.arange(objects) % len(names)
    born = rng.uniform(0, days / 2, objects)
    lasting = [_MAKERS[names[kind]](rng, days - at) for kind, at in zip(kinds, born, strict=True)]
    owners = np.repeat(np.arange(objects), [len(reads) for reads in lasting])
    times = np.concatenate(lasting) + born[owners]
    sizes = draw_sizes(rng, objects)
    return _with_births(times, owners, born, sizes, kinds, names=names, end_day=float(days))


def from_histogram(reads: Ints, files: Ints, *, objects: int, days: int, seed: int) -> Trace:
    """Return a history in which files are read as often as in a histogram: *files* of them *reads* times each.

    Reads come at decreasing density after birth (log-uniform age), as on CERN EOS, where new data are read most.
    """
    rng = np.random.default_rng(seed)
    counts = rng.choice(reads, size=objects, p=files / files.sum())
    born = rng.uniform(0, days * 0.75, objects)
    owners = np.repeat(np.arange(objects), counts)
    left = days - born[owners]
    times = born[owners] + np.minimum(np.exp(rng.uniform(0, np.log1p(left))) - 1, left)
    sizes = draw_sizes(rng, objects)
    zeros: Ints = np.zeros(objects, np.int64)
    return _with_births(times, owners, born, sizes, zeros, names=("file",), end_day=float(days))


def from_counts(
    months: Floats,
    owners: Ints,
    counts: Floats,
    born: Floats,
    *,
    sizes: Ints,
    month_days: float,
    keep: float,
    seed: int,
) -> Trace:
    """Return single accesses drawn from *counts* per period: each kept with probability *keep* (a Poisson draw).

    *months* are the first days of the periods, *born* the birth day of each object; accesses fall anywhere within
    their period. At most 20 a day of one object are kept: beyond that it is always hot anyway.
    """
    rng = np.random.default_rng(seed)
    drawn = np.minimum(rng.poisson(np.minimum(counts * keep, 1e9)), int(20 * month_days))
    times = np.repeat(months, drawn) + rng.uniform(0, month_days, int(drawn.sum()))
    kinds: Ints = np.zeros(len(born), np.int64)
    end_day = float(months.max()) + month_days
    return _with_births(times, np.repeat(owners, drawn), born, sizes, kinds, names=("package",), end_day=end_day)


def draw_sizes(rng: np.random.Generator, objects: int) -> Ints:
    """Return lognormal sizes, 4 KiB to 1 TiB."""
    sizes = SIZE_MEDIAN_BYTES * np.exp(rng.normal(0.0, SIZE_SIGMA, objects))
    return np.asarray(np.clip(sizes, 4096, 2**40), np.int64)


def _with_births(
    times: Floats, owners: Ints, born: Floats, sizes: Ints, kinds: Ints, *, names: Sequence[str], end_day: float
) -> Trace:
    """Return the trace in which every object is written at its birth and then read."""
    objects = np.arange(len(born))
    accesses = Accesses(
        days=np.concatenate([born, np.minimum(times, end_day - 1e-6)]),
        objects=np.concatenate([objects, owners]),
        ops=np.repeat([WRITE, READ], [len(born), len(times)]),
        op_bytes=np.concatenate([sizes, sizes[owners]]),
    )
    return make_trace(accesses, sizes, kinds, names, end_day=end_day)


def _arrivals(rng: np.random.Generator, rate: float, days: float) -> Floats:
    return rng.uniform(0, days, rng.poisson(min(rate, 20.0) * days))


def _poisson(rng: np.random.Generator, days: float) -> Floats:
    return _arrivals(rng, _rate(rng), days)


def _rate(rng: np.random.Generator) -> float:
    return float(0.01 * np.exp(rng.normal(0.0, RATE_SIGMA)))


def _bursty(rng: np.random.Generator, days: float) -> Floats:
    """Weeks of use, months of silence."""
    begins = _arrivals(rng, 1 / 120, days)
    parts = [begin + _arrivals(rng, 1.0, rng.exponential(7.0)) for begin in begins]
    reads = np.concatenate([np.zeros(0), *parts])
    return reads[reads < days]


def _drift(rng: np.random.Generator, days: float) -> Floats:
    """A rate that wanders by a factor of about two a quarter."""
    quarters = int(np.ceil(days / 90)) or 1
    rates = _rate(rng) * np.exp(np.cumsum(rng.normal(0, 0.7, quarters)))
    parts = [90.0 * number + _arrivals(rng, rate, 90.0) for number, rate in enumerate(rates)]
    reads = np.concatenate([np.zeros(0), *parts])
    return reads[reads < days]


def _born_hot(rng: np.random.Generator, days: float) -> Floats:
    """Read daily at first, less and less over two months, then hardly ever."""
    ages = rng.exponential(rng.exponential(30.0) + 1.0, rng.poisson(20))
    late = _arrivals(rng, 1 / 1000, days)
    reads = np.concatenate([ages, late])
    return reads[reads < days]


def _born_cold(rng: np.random.Generator, days: float) -> Floats:
    """Written and left alone; one in ten is found useful after months and stays in use."""
    if rng.uniform() > 0.1:
        return _arrivals(rng, 1 / 2000, days)
    found = rng.uniform(60, 400)
    return found + _arrivals(rng, 0.1, days - found) if found < days else np.zeros(0)


def _periodic(rng: np.random.Generator, days: float) -> Floats:
    """A job that runs every so many days, until it is switched off."""
    every = float(rng.choice([1, 7, 30, 90, 365]))
    reads = np.arange(rng.uniform(0, every), min(days, rng.exponential(720.0)), every)
    return np.asarray(reads, np.float64)


_MAKERS: dict[str, Callable[[np.random.Generator, float], Floats]] = {
    "poisson": _poisson,
    "bursty": _bursty,
    "drift": _drift,
    "born-hot": _born_hot,
    "born-cold": _born_cold,
    "periodic": _periodic,
}
