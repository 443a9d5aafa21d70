"""What was opened is evidence of the day, for the files the catalog knows."""

import os

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn, rows
from tiering.catalog import access
from tiering.clock import NS_PER_DAY
from tiering.hot.opens import OpenCounter, OpensSeen
from tiering.jobs.migrate import migrate
from tiering.jobs.open_counts import note_opens


class Seen(OpenCounter):
    """A counter that has seen what it is told."""

    def __init__(self, *paths: os.PathLike[str]) -> None:
        super().__init__(-1, {})
        self._stats = [os.stat(path) for path in paths]

    def poll(self) -> OpensSeen:
        return OpensSeen({(status.st_dev, status.st_ino): 2 for status in self._stats}, overflowed=False)


def test_known_files_get_a_day_of_use(lab: Lab) -> None:
    used, _ = lab.write("used", b"x"), lab.write("idle", b"x")
    learn(lab)
    unknown = lab.write("unknown", b"x")
    assert note_opens(lab.context, Seen(used, unknown)) == 1
    assert note_opens(lab.context, Seen()) == 0
    known = rows(lab)
    assert known[b"used"].last_access_ns == lab.clock.now_ns()
    assert known[b"used"].access_quality == "opens"
    assert known[b"idle"].last_access_ns is None
    with lab.catalog.read() as tx:
        (day,) = access.days_of(tx, [known[b"used"].file_id], since_day=0)[known[b"used"].file_id]
    assert (day.day, day.source, day.opens) == (lab.clock.now_ns() // NS_PER_DAY, "opens", 2)


def test_files_that_a_job_is_at_are_not_noted(lab: Lab) -> None:
    read = lab.write("read", b"x" * 5000)
    learn(lab)
    migrate(lab.context, items(lab))
    assert note_opens(lab.context, Seen(read)) == 0
    lab.clock.advance(61)
    assert note_opens(lab.context, Seen(read)) == 1
