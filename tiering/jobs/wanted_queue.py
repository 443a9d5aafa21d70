"""What migrate is to read, cut into batches. Used by migrate alone."""

from collections import deque
from collections.abc import Iterable, Sequence

from tiering.jobs.outgoing import Wanted

# A batch is one commit and one segment: 4 GiB are about 70,000 chunk rows (a third of a second in SQLite) and some ten
# seconds of reading, which is what a crash can cost.
BATCH_BYTES = 4 << 30
# Of small ones: a third of a second of rows. As many as are looked up together: the larger files of those stand first,
# and readers would wait for the commit of a batch of those alone. With 4000 an ingest took 2-5 % more CPU and 25 MB
# less, with 12,000 more of both; a million files of 100 bytes take 326 MB.
BATCH_FILES = 8000


class WantedQueue:
    """What is to be read, group after group. Used by one thread at a time."""

    def __init__(self, groups: Iterable[list[Wanted]]) -> None:
        """Take from *groups*, each asked for when the one before is used up."""
        self._groups = iter(groups)
        self._waiting: deque[Wanted] = deque()

    def take(self) -> list[Wanted]:
        """Return the next batch, of one group; [] at the end."""
        while not self._waiting:
            group = next(self._groups, None)
            if group is None:
                return []
            self._waiting.extend(group)
        taken: list[Wanted] = []
        size_bytes = 0
        while self._waiting and len(taken) < BATCH_FILES:
            size_bytes += self._waiting[0].row.size
            if taken and size_bytes > BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    def put_back(self, left: Sequence[Wanted]) -> None:
        """Let *left* be the next ones."""
        self._waiting.extendleft(reversed(left))
