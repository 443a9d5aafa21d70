"""Threads that read files and code blocks, each doing whatever is due: nothing is handed over while all are busy.

Used by migrate, one Crew per batch. A thread takes groups of files and codes the blocks they fill itself; one that
finds no more files codes the blocks of those that still read, so that one huge file keeps every core busy. Memory is
bounded: at most two blocks a thread wait.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Group = TypeVar("Group")
Block = TypeVar("Block")

WAITING_PER_THREAD = 2


class Crew(Generic[Group, Block]):
    """A few threads over one queue of groups. The first error ends all of them and is raised by run()."""

    def __init__(self, threads: int, groups: Iterable[Group], code: Callable[[Block], None]) -> None:
        """Work on *groups* in order; *code* is called by any thread with what offer() was given."""
        self._threads = threads
        self._groups = deque(groups)
        self._code = code
        self._reading = threads
        self._blocks: deque[Block] = deque()
        self._change = threading.Condition()
        self._failure: BaseException | None = None

    @property
    def has_failed(self) -> bool:
        """Whether an error has been raised somewhere: nothing more should be begun."""
        return self._failure is not None

    def fail(self, error: BaseException) -> None:
        """End all threads with *error*, unless another came first."""
        with self._change:
            self._failure = self._failure or error
            self._change.notify_all()

    def offer(self, block: Block) -> None:
        """Code *block*: here and now while every thread has files to read, else where a thread is free."""
        with self._change:
            free = self._threads - self._reading
            if free and len(self._blocks) < WAITING_PER_THREAD * free:
                self._blocks.append(block)
                self._change.notify()
                return
        self._code(block)

    def run(
        self, read: Callable[[Iterable[Group]], None], *, every_s: float, heartbeat: Callable[[], None]
    ) -> list[Group]:
        """Call *read* once in each thread with an iterator over groups, and return the groups that nobody took.

        *heartbeat* is called every *every_s* seconds meanwhile; what it raises ends the threads too.
        """
        workers = [
            threading.Thread(target=self._work, args=(read,), name=f"frostline-read-{number}")
            for number in range(self._threads)
        ]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(every_s)
                    if worker.is_alive():
                        heartbeat()
        except BaseException as error:
            self.fail(error)
            for worker in workers:
                worker.join()
            raise
        if self._failure is not None:
            raise self._failure
        return list(self._groups)

    def _work(self, read: Callable[[Iterable[Group]], None]) -> None:
        try:
            try:
                read(self._taken())
            finally:
                with self._change:
                    self._reading -= 1
                    self._change.notify_all()
            while (block := self._next_block()) is not None:
                self._code(block)
        except BaseException as error:  # noqa: BLE001  # kept, and raised in the thread that waits
            self.fail(error)

    def _taken(self) -> Iterable[Group]:
        while self._failure is None:
            try:
                group = self._groups.popleft()
            except IndexError:
                return
            yield group

    def _next_block(self) -> Block | None:
        with self._change:
            while self._failure is None:
                if self._blocks:
                    return self._blocks.popleft()
                if self._reading == 0:
                    return None
                self._change.wait()
        return None
