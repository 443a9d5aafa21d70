"""Artificial histories of AI pipelines, made to judge strategies that were tuned elsewhere: deterministic by seed.

Unlike policies.synthetic, whose shapes are processes of single files, these have what such processes lack: many reads
of one object within a day, objects that are read together, sizes of terabytes that go with how a file is used, objects
that replace each other and are deleted, and histories of two months. No constant of a strategy was chosen on them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policies.offers import GIB_F
from policies.trace import DELETE, READ, WRITE, Accesses, Floats, Ints, Trace, make_trace

WORKLOADS = ("jobs", "epochs", "checkpoints", "huge-cold", "small-cold", "versions", "campaigns", "young-site")


@dataclass(frozen=True, slots=True)
class _Rows:
    """What happens, any order; one size and kind per object."""

    days: Floats
    objects: Ints
    ops: Ints
    sizes: Ints
    kinds: Ints
    names: tuple[str, ...] = ("file",)


def workload(name: str, *, objects: int, seed: int) -> Trace:
    """Return a history of about *objects* objects. Raises ValueError on an unknown name."""
    if name not in WORKLOADS:
        raise ValueError(f'no workload "{name}" (there are {", ".join(WORKLOADS)})')
    end, make = _MAKERS[name]
    rows = make(np.random.default_rng(seed), objects, end)
    kept = rows.days < end
    accesses = Accesses(rows.days[kept], rows.objects[kept], rows.ops[kept], rows.sizes[rows.objects[kept]])
    return make_trace(accesses, rows.sizes, rows.kinds, rows.names, end_day=end - 1e-6)


def _sizes(rng: np.random.Generator, count: int, median_gib: float, sigma: float) -> Ints:
    return np.asarray(np.clip(median_gib * GIB_F * np.exp(rng.normal(0, sigma, count)), 4096, 2**44), np.int64)


def _rows(
    born: Floats, owners: Ints, times: Floats, sizes: Ints, *, dies: Floats | None = None, kinds: Ints | None = None,
    names: tuple[str, ...] = ("file",),
) -> _Rows:  # fmt: skip
    """Return writes at birth, reads of *owners* at *times* (dropped after death), and deletes where they are finite."""
    count = len(born)
    ends = np.full(count, np.inf) if dies is None else dies
    alive = times < ends[owners]
    gone = np.flatnonzero(np.isfinite(ends))
    return _Rows(
        days=np.concatenate([born, times[alive], ends[gone]]),
        objects=np.concatenate([np.arange(count), owners[alive], gone]),
        ops=np.repeat([WRITE, READ, DELETE], [count, int(alive.sum()), len(gone)]),
        sizes=sizes,
        kinds=np.zeros(count, np.int64) if kinds is None else kinds,
        names=names,
    )


def _jobs(rng: np.random.Generator, count: int, end: float) -> _Rows:
    """Batch jobs: an input of any size is read by a handful of jobs within a day, most inputs once, some weekly."""
    born = rng.uniform(0, end * 0.8, count)
    events = rng.geometric(0.6, count) - (rng.uniform(size=count) < 0.3)
    owners = np.repeat(np.arange(count), events)
    gaps = rng.exponential(np.where(rng.uniform(size=count) < 0.7, 2.0, 40.0)[owners])
    at = born[owners] + np.minimum(gaps, end)
    burst = rng.geometric(0.3, len(at))
    times = np.floor(np.repeat(at, burst)) + 0.5
    late = np.maximum(times, np.repeat(born[owners], burst))
    return _rows(born, np.repeat(owners, burst), late, _sizes(rng, count, 0.5, 3.0))


def _epochs(rng: np.random.Generator, count: int, end: float) -> _Rows:
    """Shard sets: trainings read all shards of a set each day for a while; months may pass between trainings."""
    sets = max(1, count // 40)
    member = np.arange(count) % sets
    born_set = rng.uniform(0, end / 2, sets)
    parts, owners = [np.zeros(0)], [np.zeros(0, np.int64)]
    for number in range(sets):
        shards = np.flatnonzero(member == number)
        for begin in rng.uniform(born_set[number], end, rng.poisson(2)):
            days = begin + np.arange(1 + rng.poisson(8))
            parts.append(np.tile(days, len(shards)))
            owners.append(np.repeat(shards, len(days)))
    return _rows(born_set[member], np.concatenate(owners), np.concatenate(parts), _sizes(rng, count, 0.3, 0.7))


def _checkpoints(rng: np.random.Generator, count: int, end: float) -> _Rows:
    """Series: read once the day after, by evaluation; some are resumed from; three in four are deleted in the end."""
    born = np.sort(rng.uniform(0, end, count))
    evaluated = np.flatnonzero(rng.uniform(size=count) < 0.6)
    resumed = np.flatnonzero(rng.uniform(size=count) < 0.05)
    often = rng.poisson(3, len(resumed)) + 1
    again = np.repeat(resumed, often)
    times = np.concatenate([
        born[evaluated] + rng.exponential(1.0, len(evaluated)), born[again] + rng.exponential(90.0, len(again)),
    ])  # fmt: skip
    dies = np.where(rng.uniform(size=count) < 0.75, born + 20 + rng.exponential(100.0, count), np.inf)
    dies = np.where(dies < end, dies, np.inf)
    return _rows(born, np.concatenate([evaluated, again]), times, _sizes(rng, count, 8.0, 1.5), dies=dies)


def _by_size(rng: np.random.Generator, count: int, end: float, power: float) -> _Rows:
    """Reads a day fall (power < 0) or rise with size, over eight decades of it."""
    born, sizes = rng.uniform(0, end / 2, count), _sizes(rng, count, 0.05, 3.5)
    rates = np.minimum(0.02 * (sizes / GIB_F / 0.05) ** power * np.exp(rng.normal(0, 1, count)), 3.0)
    reads = rng.poisson(rates * (end - born))
    owners = np.repeat(np.arange(count), reads)
    return _rows(born, owners, rng.uniform(born[owners], end), sizes)


def _versions(rng: np.random.Generator, count: int, end: float) -> _Rows:
    """Data sets that are published anew: the newest is read daily, the one before a little, older ones hardly ever."""
    series = max(1, count // 12)
    member, born = np.arange(count) % series, rng.uniform(0, end, count)
    order = np.lexsort((born, member))
    follower = np.full(count, end)
    same = member[order[1:]] == member[order[:-1]]
    follower[order[:-1]] = np.where(same, born[order[1:]], end)
    fresh = rng.poisson(0.7 * (follower - born))
    stale = rng.poisson(0.004 * (end - follower))
    owners, old = np.repeat(np.arange(count), fresh), np.repeat(np.arange(count), stale)
    times = np.concatenate([rng.uniform(born[owners], follower[owners]), rng.uniform(follower[old], end)])
    return _rows(born, np.concatenate([owners, old]), times, _sizes(rng, count, 2.0, 2.0))


def _campaigns(rng: np.random.Generator, count: int, end: float) -> _Rows:
    """Two kinds: raw recordings that nobody reads until a campaign reads all at once, and features read at random."""
    born = rng.uniform(0, end * 0.7, count)
    kinds = np.arange(count) % 2
    raw, features = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    parts, owners = [np.zeros(0)], [np.zeros(0, np.int64)]
    for day in rng.uniform(end * 0.1, end, 6):
        there = raw[(born[raw] < day) & (rng.uniform(size=len(raw)) < 0.5)]
        parts.append(day + rng.uniform(0, 10, len(there)))
        owners.append(there)
    rates = 0.03 * np.exp(rng.normal(0, 1.5, len(features)))
    often = np.repeat(features, rng.poisson(np.minimum(rates, 2) * (end - born[features])))
    times = np.concatenate([*parts, rng.uniform(born[often], end)])
    sizes = np.where(kinds == 0, _sizes(rng, count, 20.0, 1.0), _sizes(rng, count, 0.05, 2.0))
    return _rows(born, np.concatenate([*owners, often]), times, sizes, kinds=kinds, names=("raw", "features"))


_MAKERS: dict[str, tuple[float, Callable[[np.random.Generator, int, float], _Rows]]] = {
    "jobs": (400.0, _jobs),
    "epochs": (900.0, _epochs),
    "checkpoints": (700.0, _checkpoints),
    "huge-cold": (500.0, lambda rng, count, end: _by_size(rng, count, end, -0.5)),
    "small-cold": (500.0, lambda rng, count, end: _by_size(rng, count, end, 0.3)),
    "versions": (800.0, _versions),
    "campaigns": (1000.0, _campaigns),
    "young-site": (60.0, _jobs),
}
"""Days, and the maker; a site is young when none of its minimum stays has passed."""
