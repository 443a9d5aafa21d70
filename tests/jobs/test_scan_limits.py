"""Files whose numbers do not fit: listed with a sentence, the rest of the scan goes on."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items
from tests.jobs.scanning import balance, rows, scan, states
from tests.jobs.stored import release, store
from tiering.jobs.migrate import migrate
from tiering.jobs.plan import make_plan
from tiering.jobs.scan_limits import MAX_SIZE_BYTES

YEAR_NS = 365 * 86400 * 10**9
FAR = 330 * YEAR_NS  # 2299
LONG_AGO = -320 * YEAR_NS  # 1650
WIDE = Path("/dev/shm")  # tmpfs keeps every time and every size that the system call takes


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An installation on a file system whose times and sizes are as wide as the kernel's."""
    if not os.access(WIDE, os.W_OK):
        pytest.skip(f"needs a writable tmpfs at {WIDE}")
    with tempfile.TemporaryDirectory(dir=WIDE) as base, open_lab(Path(base) / "lab") as opened:
        place = opened.write("probe", b"")
        os.utime(place, ns=(LONG_AGO, FAR))
        is_wide = (place.stat().st_atime_ns, place.stat().st_mtime_ns) == (LONG_AGO, FAR)
        place.unlink()
        if not is_wide:
            pytest.skip(f"{WIDE} clamps times")
        yield opened


@pytest.mark.parametrize(
    ("times_ns", "said"),
    [
        ((0, FAR), "modification time"),
        ((0, LONG_AGO), "modification time"),
        ((FAR, 0), "access time"),
        ((LONG_AGO, 0), "access time"),
        ((0, 2**63), "modification time"),
    ],
)
def test_a_time_that_does_not_fit_is_a_problem_of_that_file_alone(
    lab: Lab, times_ns: tuple[int, int], said: str
) -> None:
    os.utime(lab.write("d/far", b"12345"), ns=times_ns)
    lab.write("d/fine", b"123")
    lab.write("e/fine", b"12")

    report = scan(lab)

    assert (report.state, report.new, report.problem_count, report.exit_code) == ("complete", 2, 1, 3)
    (problem,) = report.problems
    assert problem.path == str(lab.root / "d/far")
    assert said in problem.reason
    assert "2262-04-11" in problem.reason
    assert set(rows(lab)) == {"d/fine", "e/fine"}
    assert balance(lab, "files.logical") == -5


def test_the_last_times_that_fit_are_taken_in_and_stored(lab: Lab) -> None:
    os.utime(lab.write("late", b"12345"), ns=(2**63 - 1, 2**63 - 1))
    os.utime(lab.write("early", b"123"), ns=(-(2**63), -(2**63)))

    assert scan(lab).problem_count == 0
    assert rows(lab)["late"].mtime_ns == 2**63 - 1
    assert rows(lab)["early"].mtime_ns == -(2**63)
    assert make_plan(lab.context).totals.files_seen == 2
    assert migrate(lab.context, items(lab)).files_done == 2


def test_p5_a_known_file_given_such_a_time_is_not_gone_and_not_moved(lab: Lab) -> None:
    place = lab.write("known", b"12345")
    scan(lab)
    store(lab, "known")
    before = rows(lab)
    os.utime(place, ns=(0, FAR))

    assert scan(lab).problem_count == 1
    assert rows(lab) == before

    os.utime(place, ns=(0, 1))
    report = scan(lab)
    assert (report.problem_count, report.changed) == (0, 1)
    assert rows(lab)["known"].mtime_ns == 1


def test_p5_a_placeholder_given_such_a_time_is_not_gone(lab: Lab) -> None:
    lab.write("away", b"12345")
    scan(lab)
    place = release(lab, "away", store(lab, "away"))
    os.utime(place, ns=(0, FAR), follow_symlinks=False)

    report = scan(lab)

    assert (report.problem_count, report.missing) == (1, 0)
    assert states(lab) == {"away": "offline"}


def test_a_sparse_file_too_large_for_the_books_is_a_problem(lab: Lab) -> None:
    os.truncate(lab.write("vast", b""), 2**63 - 4096)
    os.truncate(lab.write("vast too", b""), MAX_SIZE_BYTES + 1)
    os.truncate(lab.write("large", b""), MAX_SIZE_BYTES)
    lab.write("fine", b"123")

    report = scan(lab)

    assert (report.state, report.new, report.problem_count) == ("complete", 2, 2)
    assert all("8 PiB" in problem.reason for problem in report.problems)
    assert balance(lab, "files.logical") == -(MAX_SIZE_BYTES + 3)
