"""Writes what the open counter saw into the access history: evidence of reading beside and beyond atime.

Called by the daemon every minute or so while a root says open_counter = true.
"""

from policies.values import AccessQuality
from tiering.catalog import access, files
from tiering.catalog.access import AccessDay
from tiering.catalog.values import FileRow, FileState
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.hot.opens import OpenCounter
from tiering.jobs.context import Context

# A frostline command beside the daemon reads files too: the counter knows the daemon's own process only.
OUR_READ_NS = 60 * NS_PER_S
_OURS = frozenset({FileState.MIGRATING, FileState.RECALLING})


def note_opens(ctx: Context, counter: OpenCounter) -> int:
    """Poll *counter* and note a use of today for every known file that was opened; return how many files.

    After an overflow of the kernel's queue the files that were seen are noted all the same: they were opened.
    Nothing is ever concluded here about files that were not seen.
    """
    seen = counter.poll()
    if not seen.inodes:
        return 0
    opens: dict[int, int] = {}
    with ctx.catalog.read() as tx:
        for (dev, ino), count in seen.inodes.items():
            for row in files.by_inode(tx, dev, ino):
                if not _may_be_ours(row, tx.now_ns):
                    opens[row.file_id] = count
    with ctx.catalog.write() as tx:
        day = tx.now_ns // NS_PER_DAY
        access.add(tx, [AccessDay(file_id, day, "opens", count) for file_id, count in opens.items()])
        files.note_access(tx, dict.fromkeys(opens, tx.now_ns), AccessQuality.OPENS)
    return len(opens)


def _may_be_ours(row: FileRow, now_ns: int) -> bool:
    """Whether a job is at the file, or was a moment ago: then an open of it proves nothing."""
    lately = max(row.stored_ns or 0, row.recalled_ns or 0)
    return row.state in _OURS or now_ns - lately < OUR_READ_NS
