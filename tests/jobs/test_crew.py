"""A crew of threads: everything is read once, every block is coded once, the first error ends it."""

import threading
from collections.abc import Iterable

import pytest

from tiering.jobs.crew import WAITING_PER_THREAD, Crew

WAIT_S = 20


def nothing() -> None:
    """Stand for a heartbeat."""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_group_is_read_and_every_block_coded(threads: int) -> None:
    read: list[int] = []
    coded: list[int] = []
    crew: Crew[int, int] = Crew(threads, range(100), coded.append)

    def work(groups: Iterable[int]) -> None:
        for group in groups:
            read.append(group)
            crew.offer(group * 2)

    assert crew.run(work, every_s=WAIT_S, heartbeat=nothing) == []
    assert sorted(read) == list(range(100))
    assert sorted(coded) == [group * 2 for group in range(100)]


class Helped:
    """Codes blocks; those coded by another thread than the reader's wait until they may go on."""

    def __init__(self) -> None:
        self.reader = threading.current_thread()
        self.helping, self.go = threading.Event(), threading.Event()
        self.here: list[int] = []
        self.elsewhere: list[int] = []

    def code(self, block: int) -> None:
        if threading.current_thread() is self.reader:
            self.here.append(block)
            return
        self.elsewhere.append(block)
        self.helping.set()
        assert self.go.wait(WAIT_S)

    def read(self, crew: Crew[int, int]) -> None:
        """Offer blocks until a free thread has taken one, which it holds; then nine more."""
        self.reader = threading.current_thread()
        while not self.helping.is_set():
            crew.offer(-1)
        self.here.clear()
        for block in range(1, 10):
            crew.offer(block)
        self.go.set()


def test_one_huge_file_is_coded_by_all_threads_and_what_waits_is_bounded() -> None:
    helped = Helped()
    crew: Crew[int, int] = Crew(2, [0], helped.code)

    def work(groups: Iterable[int]) -> None:
        for _ in groups:
            helped.read(crew)

    crew.run(work, every_s=WAIT_S, heartbeat=nothing)

    assert len(helped.here) >= 9 - WAITING_PER_THREAD  # the reader does not wait for the other
    assert sorted(block for block in (*helped.here, *helped.elsewhere) if block > 0) == list(range(1, 10))


def failing() -> None:
    raise ValueError("here")


@pytest.mark.parametrize("where", ["reading", "coding", "outside"])
def test_the_first_error_ends_all(where: str) -> None:
    def code(block: int) -> None:
        if where == "coding" and block == 3:
            failing()

    crew: Crew[int, int] = Crew(2, range(1000), code)

    def work(groups: Iterable[int]) -> None:
        for group in groups:
            if where == "reading" and group == 3:
                failing()
            if where == "outside" and group == 3:
                crew.fail(ValueError("here"))
            crew.offer(group)

    with pytest.raises(ValueError, match="here"):
        crew.run(work, every_s=WAIT_S, heartbeat=nothing)
    assert crew.has_failed


def test_an_error_of_the_heartbeat_ends_all() -> None:
    crew: Crew[int, int] = Crew(2, range(1000), lambda block: None)
    failed = threading.Event()

    def work(groups: Iterable[int]) -> None:
        for _ in groups:
            while not crew.has_failed:
                failed.wait(0.001)

    with pytest.raises(ValueError, match="here"):
        crew.run(work, every_s=0.01, heartbeat=failing)


def test_groups_that_nobody_takes_are_given_back_in_order() -> None:
    crew: Crew[int, int] = Crew(2, range(10), lambda block: None)
    lock = threading.Lock()
    taken: list[int] = []

    def work(groups: Iterable[int]) -> None:
        for group in groups:
            with lock:
                taken.append(group)
                if len(taken) >= 3:
                    return

    left = crew.run(work, every_s=WAIT_S, heartbeat=nothing)
    assert sorted([*taken, *left]) == list(range(10))
    assert left == sorted(left)
