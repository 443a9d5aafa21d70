"""Which leaders the items of a migrate meant so far, and how often: a bit or two per file, whatever their number.

Used by tiering.jobs.migrate alone, so that an inode with several names, or a file that is asked for twice, is stored
once and counts as often as it was asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PAGE_IDS = 1 << 16
"""Ids of a page of bits, 8 KiB. They are given out one after another: 100 million files take 12.5 MB."""


@dataclass(slots=True)
class IdSet:
    """A set of row numbers, a bit each."""

    _pages: dict[int, bytearray] = field(default_factory=dict)

    def __contains__(self, number: int) -> bool:
        """Whether it was added."""
        page = self._pages.get(number // PAGE_IDS)
        return page is not None and bool(page[number % PAGE_IDS >> 3] >> (number & 7) & 1)

    def add(self, number: int) -> None:
        """Take it in; not negative."""
        page = self._pages.get(number // PAGE_IDS)
        if page is None:
            page = self._pages[number // PAGE_IDS] = bytearray(PAGE_IDS // 8)
        page[number % PAGE_IDS >> 3] |= 1 << (number & 7)


@dataclass(slots=True)
class Mentions:
    """See the module docstring. Used under the caller's lock."""

    _meant: IdSet = field(default_factory=IdSet)
    _stored: IdSet = field(default_factory=IdSet)
    _waiting: dict[int, int] = field(default_factory=dict)
    """Leader's id -> items that mean it: only those that are neither stored nor skipped yet, some batches of them."""

    def __contains__(self, file_id: int) -> bool:
        """Whether an item meant that leader."""
        return file_id in self._meant

    def add(self, file_id: int) -> bool:
        """Note an item that means a leader; return whether it is done: stored meanwhile."""
        if file_id not in self._meant:
            self._meant.add(file_id)
            self._waiting[file_id] = 1
        elif file_id in self._waiting:
            self._waiting[file_id] += 1
        return file_id in self._stored

    def add_new(self, file_ids: Sequence[int]) -> bool:
        """Note items that mean these leaders, if all of them are meant for the first time; else False, and nothing."""
        is_new = len({*file_ids}) == len(file_ids) and not any(map(self._meant.__contains__, file_ids))
        if is_new:
            self._waiting.update(dict.fromkeys(file_ids, 1))
            for file_id in file_ids:
                self._meant.add(file_id)
        return is_new

    def store(self, file_ids: Iterable[int]) -> int:
        """Note leaders that were stored; return how many items are done by it. One nobody meant counts once."""
        done = 0
        for file_id in file_ids:
            done += self._waiting.pop(file_id, int(file_id not in self._stored))
            self._meant.add(file_id)
            self._stored.add(file_id)
        return done

    def skip(self, file_ids: Iterable[int]) -> None:
        """Note leaders that are left alone: further items that mean them change nothing."""
        for file_id in file_ids:
            self._waiting.pop(file_id, None)
