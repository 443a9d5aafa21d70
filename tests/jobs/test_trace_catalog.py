"""The recorded days of use become a history: births, deaths, sizes and kinds as the catalog knows them."""

import pytest

from policies.trace import TraceError
from policies.values import NS_PER_DAY
from tests.jobs.lab import Lab
from tests.jobs.scanning import rows, scan
from tiering.catalog import access, files
from tiering.catalog.access import AccessDay
from tiering.errors import UsageError
from tiering.jobs.simulate import own_history
from tiering.jobs.trace_catalog import recorded_trace

DAY_S = 86_400


def ids(lab: Lab) -> dict[str, int]:
    return {path: row.file_id for path, row in rows(lab).items()}


def note(lab: Lab, *days: AccessDay) -> None:
    with lab.catalog.write() as tx:
        access.add(tx, days)


def today(lab: Lab) -> int:
    return lab.clock.now_ns() // NS_PER_DAY


@pytest.fixture
def recorded(lab: Lab) -> Lab:
    """Two files of day 0, one of day 10, reads in between; now is day 20."""
    lab.write("run/a.pt", b"x" * 1000)
    lab.write("b.parquet", b"y" * 50)
    scan(lab)
    begin = today(lab)
    lab.clock.advance(10 * DAY_S)
    lab.write("late.pt", b"z" * 7)
    scan(lab)
    lab.clock.advance(10 * DAY_S)
    known = ids(lab)
    with lab.catalog.write() as tx:
        access.forget(tx, before_day=today(lab) + 1)  # what the scans themselves concluded from the test's own writes
    note(
        lab,
        AccessDay(known["run/a.pt"], begin - 40, "atime"),
        AccessDay(known["run/a.pt"], begin + 3, "atime"),
        AccessDay(known["run/a.pt"], begin + 3, "opens", 5),
        AccessDay(known["run/a.pt"], begin + 12, "recall"),
        AccessDay(known["late.pt"], begin + 2, "atime"),
        AccessDay(known["late.pt"], begin + 15, "opens", 2),
    )
    return lab


def test_days_of_use_become_reads_of_whole_files(recorded: Lab) -> None:
    trace = own_history(recorded.catalog)
    order = {int(size): number for number, size in enumerate(trace.sizes)}

    assert (trace.end_tick, trace.tick_days) == (21, 1.0)
    assert trace.sizes.sum() == 1057
    assert trace.births[[order[1000], order[50], order[7]]].tolist() == [0, 0, 10]
    assert set(trace.deaths.tolist()) == {21}
    assert [trace.kind_names[kind] for kind in trace.kinds[[order[1000], order[50]]]] == ["checkpoint", "dataset"]
    first, late = order[1000], order[7]
    assert trace.ticks[trace.starts[first] : trace.starts[first + 1]].tolist() == [3, 12]
    assert trace.counts[trace.starts[first] : trace.starts[first + 1]].tolist() == [5, 1]
    assert trace.read_bytes[trace.starts[first] : trace.starts[first + 1]].tolist() == [5000, 1000]
    assert trace.ticks[trace.starts[late] : trace.starts[late + 1]].tolist() == [15]


def test_a_file_that_went_missing_ends_on_that_day(recorded: Lab) -> None:
    gone = ids(recorded)["b.parquet"]
    with recorded.catalog.write() as tx:
        files.mark_missing(tx, [gone], op_id="test")
    recorded.clock.advance(5 * DAY_S)
    trace = own_history(recorded.catalog)

    assert trace.end_tick == 26
    assert sorted(trace.deaths.tolist()) == [20, 26, 26]


def test_of_very_many_files_an_even_sample_is_taken(lab: Lab) -> None:
    for number in range(9):
        lab.write(f"f{number}.pt", b"x")
    scan(lab)
    with lab.catalog.read() as tx:
        sample = recorded_trace(tx, most_files=4)

    assert 2 <= sample.objects <= 4


def test_hard_links_count_once(lab: Lab) -> None:
    (lab.root / "second.pt").hardlink_to(lab.write("first.pt", b"x" * 30))
    scan(lab)

    assert own_history(lab.catalog).sizes.tolist() == [30]


def test_an_empty_catalog_says_what_to_do(lab: Lab) -> None:
    with pytest.raises(UsageError, match="frostline scan"):
        own_history(lab.catalog)
    with lab.catalog.read() as tx, pytest.raises(TraceError):
        recorded_trace(tx)
