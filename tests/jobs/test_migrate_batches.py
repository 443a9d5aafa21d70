"""Migrate, batch after batch: one is read while the one before is being committed, neither in the other's way."""

import random
import threading
from dataclasses import dataclass, field, replace

from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, items, learn, states
from tiering.catalog.values import FileState
from tiering.jobs.context import NoProgress
from tiering.jobs.migrate import migrate


class TakesMinutes(NoProgress):
    """Lets the time of a batch run out with every file."""

    def __init__(self, lab: Lab) -> None:
        self._clock = lab.clock

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        if files:
            self._clock.advance(61)


@dataclass(slots=True)
class SlowFirstCommit:
    """Holds the commit of the first batch back until the second has claimed its files."""

    claims: int = 0
    has_second: threading.Event = field(default_factory=threading.Event)

    def step(self, name: str) -> None:
        if name == "migrate.claimed":
            self.claims += 1
            if self.claims == 2:
                self.has_second.set()
        if name == "migrate.recipes_uploaded":
            assert self.has_second.wait(60)


def test_what_a_batch_had_no_time_for_is_the_next_ones_at_once(lab: Lab) -> None:
    for number in range(3):  # models: one thread reads them in turn
        lab.write(f"{number}.bin", random.Random(number).randbytes(1_200_000))
    learn(lab)
    context = replace(lab.context, progress=TakesMinutes(lab), step=SlowFirstCommit().step)

    report = migrate(context, items(lab))

    assert (report.files_done, report.files_skipped) == (3, ())
    assert set(states(lab).values()) == {FileState.DUAL}
    books_balance(lab)
