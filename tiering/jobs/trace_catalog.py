"""This installation's own recorded history as a trace: what `simulate`, `sensitivity` and `tune` replay without a file.

Reads the catalog, changes nothing. What it cannot know: reads before a file was first seen (of those only the last is
recorded, which says nothing of the others: left out), earlier sizes of files that were overwritten, and files whose
rows are gone.
"""

import os
from array import array

import numpy as np

from policies.kinds import kind_of
from policies.trace import Ints, Trace, TraceError
from policies.values import NS_PER_DAY
from tiering.catalog.history import FileHistory, count_leaders, each_history
from tiering.catalog.transaction import Tx

MOST_FILES = 1_000_000
"""Beyond it every second, third ... file is taken: 100 bytes a file here and some 500 in a replay bound the memory."""


class _Columns:
    """Grows file by file; days are days since the epoch."""

    def __init__(self, today: int) -> None:
        self.today = today
        self.sizes, self.births, self.deaths, self.kinds = array("q"), array("q"), array("q"), array("q")
        self.ends, self.days, self.counts = array("q"), array("q"), array("q")
        self.kind_numbers: dict[str, int] = {}

    def add(self, file: FileHistory) -> None:
        birth = file.first_seen_ns // NS_PER_DAY
        missing = file.missing_since_ns
        death = self.today + 1 if missing is None else max(birth + 1, missing // NS_PER_DAY)
        kind = str(kind_of(os.fsdecode(file.name)))
        self.sizes.append(file.size_bytes)
        self.births.append(birth)
        self.deaths.append(death)
        self.kinds.append(self.kind_numbers.setdefault(kind, len(self.kind_numbers)))
        for day, opens in file.days:
            if birth <= day < death:
                self.days.append(day)
                self.counts.append(max(1, opens))
        self.ends.append(len(self.days))


def recorded_trace(tx: Tx, *, most_files: int = MOST_FILES) -> Trace:
    """Return the history from the first scan until today, in ticks of a day; every read takes the whole file.

    Of more than *most_files* files an even sample is taken. Raises TraceError where no file is known.
    """
    every = max(1, -(-count_leaders(tx) // most_files))
    columns = _Columns(tx.now_ns // NS_PER_DAY)
    for file in each_history(tx, every=every):
        columns.add(file)
    if not columns.sizes:
        raise TraceError("the catalog knows no file yet: run frostline scan first")
    births, sizes = _whole(columns.births), _whole(columns.sizes)
    starts = np.concatenate([[0], _whole(columns.ends)]).astype(np.int64)
    counts = _whole(columns.counts)
    first = int(births.min())
    return Trace(
        tick_days=1.0,
        end_tick=columns.today + 1 - first,
        sizes=sizes,
        births=births - first,
        deaths=_whole(columns.deaths) - first,
        kinds=_whole(columns.kinds),
        kind_names=tuple(columns.kind_numbers),
        starts=starts,
        ticks=_whole(columns.days) - first,
        counts=counts,
        read_bytes=counts * np.repeat(sizes, np.diff(starts)),
    )


def _whole(column: "array[int]") -> Ints:
    return np.array(column, np.int64)
