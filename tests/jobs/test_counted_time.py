"""P5: a clock that leaps ends no retention at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.debris import keys
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, learn
from tests.jobs.scanning import scan, states
from tiering.clock import NS_PER_DAY, FakeClock
from tiering.jobs.accrue import accrue
from tiering.jobs.counted_time import counted_ns
from tiering.jobs.gc import collect, preview
from tiering.jobs.migrate import migrate
from tiering.jobs.segments import flush

DAY_S = 86_400


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Lab]:
    """A lab with a grace of three days, a replaced version and a missing file that was stored."""
    with open_lab(tmp_path / "lab", gc={"grace": "3d"}) as lab:
        for name in ("a", "b"):
            lab.write(name, name.encode() * 50_000)
        learn(lab)
        migrate(lab.context, items(lab))
        (lab.root / "a").write_bytes(b"another")
        (lab.root / "b").unlink()
        scan(lab)
        assert states(lab) == {"a": "regular", "b": "missing"}
        yield lab


def days(lab: Lab, count: int) -> None:
    """Let the daemon live for some days: it records what storage costs."""
    for _ in range(count):
        lab.clock.advance(DAY_S)
        accrue(lab.context)
        flush(lab.context)


def ends(lab: Lab) -> tuple[int, int]:
    """Collect; return how many versions were ended and how many missing files forgotten."""
    report = collect(lab.context)
    return report.versions_ended, report.files_forgotten


def test_time_that_was_lived_through_counts(kept: Lab) -> None:
    days(kept, 29)
    assert counted_ns(kept.context) == kept.clock.now_ns()
    assert ends(kept) == (0, 0)
    days(kept, 2)
    assert ends(kept) == (1, 1)


def test_p5_a_leap_of_the_clock_ends_nothing_before_the_grace_is_over(kept: Lab) -> None:
    days(kept, 5)
    kept.clock.advance(1000 * DAY_S)
    accrue(kept.context)
    flush(kept.context)
    seen = preview(kept.context)
    assert (seen.versions_ended, seen.files_forgotten) == (0, 0)
    report = collect(kept.context)
    assert (report.versions_ended, report.files_forgotten, report.packs_doomed, report.exit_code) == (0, 0, 0, 3)
    assert "nothing was recorded for 1000.0 d" in report.notes[0]
    days(kept, 2)
    assert ends(kept) == (0, 0)
    days(kept, 2)  # nobody set it right: the machine had been off
    assert ends(kept) == (1, 1)


def test_p5_a_leap_does_not_make_up_for_the_grace_of_what_is_doomed(kept: Lab) -> None:
    days(kept, 31)
    assert ends(kept) == (1, 1)
    stands = keys(kept, "packs/")
    kept.clock.advance(400 * DAY_S)
    assert collect(kept.context).packs_deleted == 0
    assert keys(kept, "packs/") == stands
    days(kept, 4)
    assert collect(kept.context).packs_deleted > 0


def test_a_clock_that_was_ahead_and_is_right_again_counts(kept: Lab) -> None:
    days(kept, 5)
    right = FakeClock(kept.clock.now_ns())
    kept.clock.advance(1000 * DAY_S)
    accrue(kept.context)
    flush(kept.context)
    kept.clock._now_ns = right.now_ns() + NS_PER_DAY  # set back by hand: a fake clock only goes on
    assert counted_ns(kept.context) == kept.clock.now_ns()


def test_where_nothing_else_is_recorded_gc_says_that_it_was_there(kept: Lab) -> None:
    flush(kept.context)
    ended = []
    for _ in range(16):
        kept.clock.advance(7 * DAY_S)
        ended.append(collect(kept.context).versions_ended)
    assert ended == [0, 0, 0, 0, 1] + [0] * 11


def test_a_gc_after_months_ends_what_is_due_when_it_is_run_again(kept: Lab) -> None:
    flush(kept.context)
    kept.clock.advance(100 * DAY_S)
    assert ends(kept) == (0, 0)
    kept.clock.advance(4 * DAY_S)
    assert ends(kept) == (1, 1)
