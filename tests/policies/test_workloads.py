"""Artificial pipelines: histories a simulator can replay, the same for the same seed, with what each is there for."""

import numpy as np
import pytest

from policies.trace import Trace
from policies.workloads import WORKLOADS, workload


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_same_seed_gives_the_same_history_and_another_seed_another(name: str) -> None:
    first, again, other = (workload(name, objects=60, seed=seed) for seed in (5, 5, 6))
    assert _columns(first) == _columns(again)
    assert _columns(first) != _columns(other)


@pytest.mark.parametrize("name", WORKLOADS)
def test_nothing_is_read_before_it_is_born_or_after_the_end(name: str) -> None:
    trace = workload(name, objects=120, seed=3)
    owners = np.repeat(np.arange(trace.objects), np.diff(trace.starts))
    assert len(owners) == trace.events > 0
    assert np.all(trace.ticks >= trace.births[owners])
    assert np.all(trace.ticks <= trace.deaths[owners])
    assert np.all(trace.deaths <= trace.end_tick)
    assert trace.counts.min() > 0
    assert trace.sizes.min() >= 4096


def test_an_unknown_workload_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there are jobs, epochs"):
        workload("nonsense", objects=3, seed=1)


def test_jobs_read_one_object_several_times_within_a_day() -> None:
    jobs, others = workload("jobs", objects=200, seed=1), workload("epochs", objects=200, seed=1)
    assert jobs.counts.max() >= 3 > others.counts.max()


def test_a_young_site_is_younger_than_the_longest_minimum_stay() -> None:
    trace = workload("young-site", objects=50, seed=1)
    assert trace.end_tick < 90


def _columns(trace: Trace) -> list[bytes]:
    return [column.tobytes() for column in (trace.sizes, trace.births, trace.deaths, trace.starts, trace.ticks)]
