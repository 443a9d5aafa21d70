"""A history of accesses as columns: what the simulator replays and the optimum is computed on.

Objects are numbered from 0; events of one object stand together, in time order, at most one per object and tick (reads
of the same tick are summed, since no decision falls between them). Who reads files into this form is
tiering.jobs.trace_files; policies.synthetic makes artificial ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

READ, WRITE, DELETE = 0, 1, 2
OPS = {"read": READ, "write": WRITE, "delete": DELETE}


class TraceError(ValueError):
    """The columns do not describe a history. The message names the column and the row."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Objects and their reads. Ticks are whole numbers from 0; a tick lasts *tick_days*."""

    tick_days: float
    end_tick: int
    """Where the history stops; holding is charged up to it."""
    sizes: Ints
    """Bytes per object."""
    births: Ints
    """Tick in which the object is first there."""
    deaths: Ints
    """Tick in which it goes: end_tick, or earlier if it was deleted or overwritten."""
    kinds: Ints
    """Index into kind_names."""
    kind_names: tuple[str, ...]
    starts: Ints
    """Events of object i are starts[i]:starts[i + 1]; one longer than the other object columns."""
    ticks: Ints
    counts: Ints
    """Reads in that tick."""
    read_bytes: Ints

    @property
    def objects(self) -> int:
        """Number of objects (versions: an overwrite makes a new one)."""
        return len(self.sizes)

    @property
    def events(self) -> int:
        """Number of (object, tick) pairs with reads."""
        return len(self.ticks)

    @property
    def days(self) -> float:
        """Length of the history."""
        return self.end_tick * self.tick_days

    def between(self, first_tick: int, end_tick: int) -> "Trace":
        """Return the history of a period: objects alive in it, born at its start at the latest; ticks count from it."""
        alive = np.flatnonzero((self.births < end_tick) & (self.deaths > first_tick))
        owner = np.repeat(np.arange(self.objects), np.diff(self.starts))
        number = np.full(self.objects, -1)
        number[alive] = np.arange(len(alive))
        kept = (self.ticks >= first_tick) & (self.ticks < end_tick) & (number[owner] >= 0)
        return Trace(
            tick_days=self.tick_days,
            end_tick=end_tick - first_tick,
            sizes=self.sizes[alive],
            births=np.maximum(self.births[alive] - first_tick, 0),
            deaths=np.minimum(self.deaths[alive], end_tick) - first_tick,
            kinds=self.kinds[alive],
            kind_names=self.kind_names,
            starts=_starts(number[owner[kept]], len(alive)),
            ticks=self.ticks[kept] - first_tick,
            counts=self.counts[kept],
            read_bytes=self.read_bytes[kept],
        )


@dataclass(frozen=True, slots=True)
class Accesses:
    """Rows as they are read from a file, any order; all columns equally long."""

    days: Floats
    """Since any fixed moment."""
    objects: Ints
    """Object numbers from 0, without gaps."""
    ops: Ints
    """READ, WRITE or DELETE."""
    op_bytes: Ints


def make_trace(
    accesses: Accesses,
    sizes: Ints,
    kinds: Ints,
    kind_names: Sequence[str],
    *,
    tick_days: float = 1.0,
    end_day: float | None = None,
    born_days: Floats | None = None,
) -> Trace:
    """Return the history in *accesses*: an object is born at *born_days* or at its first row, whatever that is.

    A write to an object that was written or read before ends it and begins a new version of the same size and kind; a
    delete ends it. Time 0 is the first row's or birth's. Raises TraceError on columns that contradict each other.
    """
    _check(accesses, sizes, kinds, kind_names, tick_days)
    order = np.lexsort((accesses.ops == READ, accesses.days, accesses.objects))
    days, objects, ops = accesses.days[order], accesses.objects[order], accesses.ops[order]
    first_day = min(float(days.min()), float(born_days.min()) if born_days is not None else np.inf)
    last_day = max(float(days.max()), end_day if end_day is not None else -np.inf)
    ticks = np.floor((days - first_day) / tick_days).astype(np.int64)
    end_tick = int((last_day - first_day) // tick_days) + 1
    is_new = np.r_[True, objects[1:] != objects[:-1]]
    after_delete = np.r_[False, ops[:-1] == DELETE]
    begins = is_new | (ops == WRITE) | (after_delete & (ops == READ))
    version = np.cumsum(begins) - 1
    version_object = objects[begins]
    births = ticks[begins]
    if born_days is not None:
        firsts = is_new[begins]
        born = np.floor((born_days[version_object] - first_day) / tick_days).astype(np.int64)
        births = np.where(firsts, np.minimum(births, born), births)
    deaths = np.full(len(births), end_tick)
    overwritten = np.flatnonzero(version_object[1:] == version_object[:-1])
    deaths[overwritten] = births[overwritten + 1]
    deleted = ops == DELETE
    deaths[version[deleted]] = np.minimum(deaths[version[deleted]], ticks[deleted])
    is_read = ops == READ
    return _gather(
        version[is_read], ticks[is_read], accesses.op_bytes[order][is_read],
        Trace(
            tick_days=tick_days, end_tick=end_tick, sizes=sizes[version_object], births=births, deaths=deaths,
            kinds=kinds[version_object], kind_names=tuple(kind_names), starts=np.zeros(1, np.int64),
            ticks=births[:0], counts=births[:0], read_bytes=births[:0],
        ),
    )  # fmt: skip


def _gather(owners: Ints, ticks: Ints, read_bytes: Ints, empty: Trace) -> Trace:
    """Return *empty* with the reads, summed per object and tick; versions that never lived a tick are dropped.

    A read in the tick in which its version goes counts in the tick before.
    """
    ticks = np.minimum(ticks, empty.deaths[owners] - 1)
    first = np.r_[True, (owners[1:] != owners[:-1]) | (ticks[1:] != ticks[:-1])] if len(owners) else np.zeros(0, bool)
    at = np.flatnonzero(first)
    lived = np.flatnonzero(empty.deaths > empty.births)
    number = np.full(empty.objects, -1)
    number[lived] = np.arange(len(lived))
    owner = number[owners[at]]
    counts = np.diff(np.r_[at, len(owners)])
    total = np.add.reduceat(read_bytes, at) if len(at) else read_bytes
    kept = owner >= 0
    return Trace(
        tick_days=empty.tick_days,
        end_tick=empty.end_tick,
        sizes=empty.sizes[lived],
        births=empty.births[lived],
        deaths=empty.deaths[lived],
        kinds=empty.kinds[lived],
        kind_names=empty.kind_names,
        starts=_starts(owner[kept], len(lived)),
        ticks=ticks[at][kept],
        counts=counts[kept],
        read_bytes=total[kept],
    )


def _starts(owners: Ints, objects: int) -> Ints:
    starts: Ints = np.zeros(objects + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=objects), out=starts[1:])
    return starts


def _check(accesses: Accesses, sizes: Ints, kinds: Ints, kind_names: Sequence[str], tick_days: float) -> None:
    rows = len(accesses.days)
    if rows == 0:
        raise TraceError("no rows")
    if not (len(accesses.objects) == len(accesses.ops) == len(accesses.op_bytes) == rows):
        raise TraceError("columns differ in length")
    if tick_days <= 0:
        raise TraceError(f"tick_days must be positive (got {tick_days})")
    if not np.isfinite(accesses.days).all():
        raise TraceError(f"time: row {int(np.argmin(np.isfinite(accesses.days)))} is not a number")
    if accesses.op_bytes.min() < 0 or sizes.min() < 0:
        raise TraceError("bytes and sizes must not be negative")
    if accesses.objects.min() < 0 or accesses.objects.max() >= len(sizes) or len(sizes) != len(kinds):
        raise TraceError("every object needs a size and a kind")
    if kinds.min() < 0 or kinds.max() >= len(kind_names):
        raise TraceError("every kind needs a name")
