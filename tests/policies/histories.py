"""Small histories and cost tables for the tests of simulator, optimum and strategies."""

from collections.abc import Sequence

import numpy as np

from policies.costs import CostTable, cost_table
from policies.offers import Terms, make_offers
from policies.trace import Ints, Trace
from tests.policies.facts import GIB, book

BOOK = book()
INSTANT = ("STANDARD", "STANDARD_IA", "GLACIER_IR")
WITH_INT = (*INSTANT, "INTELLIGENT_TIERING")
ARCHIVES = (*INSTANT, "GLACIER", "DEEP_ARCHIVE")


def table_for(trace: Trace, classes: Sequence[str] = INSTANT, terms: Terms | None = None) -> CostTable:
    """Return the costs of a trace's objects."""
    chosen = terms or Terms()
    return cost_table(make_offers(BOOK, classes, chosen), trace.sizes, chosen)


def history(
    reads: Sequence[Sequence[int]], *, end: int, sizes: Sequence[int] | None = None, deaths: Sequence[int] | None = None
) -> Trace:
    """Return objects born at tick 0 and read once at each tick of their list; 1 GiB each unless told."""
    count = len(reads)
    size = np.array(sizes if sizes is not None else [GIB] * count, np.int64)
    ticks: Ints = np.array([tick for ticks in reads for tick in ticks], np.int64)
    lengths = np.array([len(ticks) for ticks in reads])
    return Trace(
        tick_days=1.0,
        end_tick=end,
        sizes=size,
        births=np.zeros(count, np.int64),
        deaths=np.array(deaths if deaths is not None else [end] * count, np.int64),
        kinds=np.zeros(count, np.int64),
        kind_names=("file",),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        ticks=ticks,
        counts=np.ones(len(ticks), np.int64),
        read_bytes=np.repeat(size, lengths),
    )
