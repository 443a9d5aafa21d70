"""Migrate, batch after batch: one is read while the one before is being committed, neither in the other's way."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, items, learn, states
from tiering.catalog import journal
from tiering.catalog.values import FileState
from tiering.errors import FrostlineError
from tiering.jobs.context import NoProgress
from tiering.jobs.migrate import GROUP_ITEMS, migrate
from tiering.jobs.wanted_queue import BATCH_FILES


class TakesMinutes(NoProgress):
    """Lets the time of a batch run out with every file."""

    def __init__(self, lab: Lab) -> None:
        self._clock = lab.clock

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        if files:
            self._clock.advance(61)


@dataclass(slots=True)
class OnceSecondIsClaimed:
    """Holds the first batch back at a step until the second has claimed its files, and does something then."""

    held_at: str
    act: Callable[[], None] = lambda: None
    claims: int = 0
    has_second: threading.Event = field(default_factory=threading.Event)

    def step(self, name: str) -> None:
        if name == "migrate.claimed":
            self.claims += 1
            if self.claims == 2:
                self.act()
                self.has_second.set()
        if name == self.held_at:
            assert self.has_second.wait(60)


WHILE_IT_IS_READ, WHILE_IT_IS_COMMITTED = "migrate.packed", "migrate.recipes_uploaded"


def many(lab: Lab) -> None:
    """Write one file more than a batch has."""
    for number in range(BATCH_FILES + 1):
        lab.write(f"{number:04d}", b"%d" % number)
    learn(lab)


def nothing_is_claimed(lab: Lab) -> bool:
    with lab.catalog.read() as tx:
        return journal.every(tx) == [] and FileState.MIGRATING not in states(lab).values()


def test_a_batch_that_was_claimed_ahead_is_given_back_when_the_job_is_to_stop(lab: Lab) -> None:
    many(lab)
    context = lab.with_steps(OnceSecondIsClaimed(WHILE_IT_IS_READ, lab.context.stop.set).step)

    report = migrate(context, items(lab))

    assert report.files_done <= BATCH_FILES
    assert nothing_is_claimed(lab)
    books_balance(lab)


@pytest.mark.parametrize("point", ["migrate.claimed", "migrate.packed"])
def test_a_batch_that_was_claimed_ahead_is_given_back_when_the_one_before_fails(lab: Lab, point: str) -> None:
    many(lab)
    slow = OnceSecondIsClaimed(WHILE_IT_IS_READ)

    def step(name: str) -> None:
        slow.step(name)
        if name == point and slow.has_second.is_set():
            raise FrostlineError("something failed")

    with pytest.raises(FrostlineError, match="something failed"):
        migrate(lab.with_steps(step), items(lab))

    assert nothing_is_claimed(lab)
    books_balance(lab)


def test_what_a_batch_had_no_time_for_is_the_next_ones_at_once(lab: Lab) -> None:
    for number in range(3):  # models: one thread reads them in turn
        lab.write(f"{number}.bin", random.Random(number).randbytes(1_200_000))
    learn(lab)
    context = replace(lab.context, progress=TakesMinutes(lab), step=OnceSecondIsClaimed(WHILE_IT_IS_COMMITTED).step)

    report = migrate(context, items(lab))

    assert (report.files_done, report.files_skipped) == (3, ())
    assert set(states(lab).values()) == {FileState.DUAL}
    books_balance(lab)


def test_a_file_that_is_asked_for_again_while_it_is_read_is_stored_once_and_counts_as_often(lab: Lab) -> None:
    lab.write("a", b"once")
    learn(lab)

    report = migrate(lab.context, items(lab) * (GROUP_ITEMS + 1))

    assert (report.files_done, report.files_skipped, report.bytes_read) == (GROUP_ITEMS + 1, (), 4)
    books_balance(lab)
