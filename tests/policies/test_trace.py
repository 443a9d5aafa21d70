"""Rows become versions, births and reads per tick."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.synthetic import SHAPES, from_counts, from_histogram, synthetic
from policies.trace import DELETE, READ, WRITE, Accesses, TraceError, make_trace


def rows(*said: tuple[float, int, int, int]) -> Accesses:
    """Return accesses from (day, object, op, bytes)."""
    columns = list(zip(*said, strict=True))
    return Accesses(np.array(columns[0], float), *(np.array(column, np.int64) for column in columns[1:]))


SIZES, KINDS = np.array([100, 200]), np.array([0, 1])


def test_reads_of_a_tick_are_one_event() -> None:
    trace = make_trace(
        rows((0, 0, WRITE, 100), (1.2, 0, READ, 60), (1.9, 0, READ, 40), (5, 0, READ, 1)), SIZES, KINDS, ("a", "b")
    )

    assert trace.ticks.tolist() == [1, 5]
    assert trace.counts.tolist() == [2, 1]
    assert trace.read_bytes.tolist() == [100, 1]


def test_an_overwrite_ends_one_version_and_begins_the_next() -> None:
    trace = make_trace(
        rows((0, 0, WRITE, 1), (3, 0, READ, 1), (5, 0, WRITE, 1), (8, 0, READ, 1), (9, 0, DELETE, 0)),
        SIZES, KINDS, ("a", "b"), end_day=20,
    )  # fmt: skip

    assert trace.births.tolist() == [0, 5]
    assert trace.deaths.tolist() == [5, 9]
    assert np.diff(trace.starts).tolist() == [1, 1]
    assert trace.end_tick == 21


def test_a_read_of_something_never_written_is_its_first_sight() -> None:
    trace = make_trace(rows((10, 1, READ, 5), (12, 1, READ, 5)), SIZES, KINDS, ("a", "b"))

    assert trace.births.tolist() == [0]
    assert trace.ticks.tolist() == [0, 2]
    assert trace.kinds.tolist() == [1]


def test_a_period_keeps_what_is_alive_in_it() -> None:
    whole = synthetic("mixed", objects=60, days=400, seed=1)
    later = whole.between(200, 400)

    assert later.end_tick == 200
    assert later.counts.sum() == whole.counts[whole.ticks >= 200].sum()
    assert (later.births >= 0).all()
    assert (later.deaths <= 200).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"days": np.zeros(0)}, "no rows"),
        ({"days": np.array([np.nan])}, "not a number"),
        ({"op_bytes": np.array([-1])}, "negative"),
        ({"objects": np.array([7])}, "needs a size"),
        ({"ops": np.zeros(2, np.int64)}, "differ in length"),
    ],
)
def test_columns_that_contradict_are_refused(change: dict[str, np.ndarray], said: str) -> None:  # type: ignore[type-arg]
    good = {"days": np.zeros(1), "objects": np.zeros(1, np.int64), "ops": np.zeros(1, np.int64)}
    good["op_bytes"] = np.zeros(1, np.int64)

    with pytest.raises(TraceError, match=said):
        make_trace(Accesses(**(good | change)), SIZES, KINDS, ("a", "b"))  # type: ignore[arg-type]


@given(st.sampled_from(SHAPES), st.integers(0, 2**31))
def test_artificial_histories_are_whole_and_repeatable(shape: str, seed: int) -> None:
    one, two = (synthetic(shape, objects=12, days=200, seed=seed) for _ in range(2))
    owners = np.repeat(np.arange(one.objects), np.diff(one.starts))

    assert one.objects == 12
    assert (one.ticks >= one.births[owners]).all()
    assert (one.ticks < one.deaths[owners]).all()
    assert np.array_equal(one.ticks, two.ticks)
    assert np.array_equal(one.sizes, two.sizes)


def test_a_histogram_is_reproduced() -> None:
    trace = from_histogram(np.array([1, 4]), np.array([3, 1]), objects=4000, days=1000, seed=2)
    reads = np.zeros(trace.objects)
    np.add.at(reads, np.repeat(np.arange(trace.objects), np.diff(trace.starts)), trace.counts)

    assert set(reads) == {1.0, 4.0}
    assert (reads == 1).mean() == pytest.approx(0.75, abs=0.03)


def test_counts_are_thinned_in_proportion() -> None:
    trace = from_counts(
        np.array([0.0, 30.0]), np.array([0, 0]), np.array([1e6, 3e6]), np.zeros(1),
        sizes=np.array([10]), month_days=30.0, keep=1e-4, seed=4,
    )  # fmt: skip
    first = trace.counts[trace.ticks < 30].sum()
    second = trace.counts[trace.ticks >= 30].sum()

    assert first == pytest.approx(100, abs=40)
    assert second == pytest.approx(300, abs=70)
