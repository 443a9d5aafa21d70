"""The files of a recall whose packs are archived: a few bytes are kept of each, and they are put on tickets at the end.

Used by tiering.jobs.recall alone.
"""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from tiering.jobs import tickets
from tiering.jobs.context import Context
from tiering.jobs.incoming import Incoming
from tiering.jobs.reports import SKIPS_LISTED, Skip
from tiering.jobs.tally import Tally

# On one ticket, whose record names them all: 5 MB of it, and 50 MB of rows for whoever follows it.
TICKET_FILES = 50_000


class Wanted(NamedTuple):
    """What a ticket has to know of a file."""

    file_id: int
    recipe_no: int | None


class Waiting:
    """Collects them, and asks for their packs."""

    def __init__(self, ctx: Context, tally: Tally) -> None:
        """Begin with none."""
        self._ctx = ctx
        self._tally = tally
        self._file_ids, self._recipe_nos = array("q"), array("q")
        self._shown: list[str] = []
        self._count = 0
        """Inodes: of each all its names wait."""

    def add(self, cold: Sequence[Incoming]) -> None:
        """Note files that have to wait."""
        for item in cold:
            self._count += 1
            if len(self._shown) < SKIPS_LISTED:
                self._shown.append(item.shown)
            for row in item.rows:
                self._file_ids.append(row.file_id)
                self._recipe_nos.append(item.recipe.recipe_no)

    def ask(self, reason: str, *, speed: str, deadline_ns: int | None) -> None:
        """Open tickets for everything that was noted, one unless it is very much; nothing is asked for where all of it
        together exceeds a budget. Raises as tickets.request().
        """
        if not self._count:
            return
        if len(self._file_ids) > TICKET_FILES:
            tickets.check_affordable(self._ctx, self._recipe_nos, speed=speed, deadline_ns=deadline_ns)
        numbers: list[int] = []
        for start in range(0, len(self._file_ids), TICKET_FILES):
            part = slice(start, start + TICKET_FILES)
            wanted = [*map(Wanted, self._file_ids[part], self._recipe_nos[part])]
            ticket = tickets.request(
                self._ctx, wanted, speed=speed, deadline_ns=deadline_ns, by=self._ctx.owner, reason=reason
            )
            numbers.append(ticket.number)
            told = tickets.waiting(ticket)
            for note in (told.what, told.now, *ticket.remarks):
                self._tally.notes.add(note)
        self._tally.tickets += dict.fromkeys(numbers)
        named = f"ticket {numbers[0]}" if len(numbers) == 1 else f"tickets {numbers[0]} to {numbers[-1]}"
        for shown in self._shown:
            self._tally.skip(shown, f"waits for archived packs, {named}", Skip.WAITING)
        self._tally.skipped.count_more(Skip.WAITING, self._count - len(self._shown))
