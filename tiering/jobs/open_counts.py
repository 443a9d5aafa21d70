"""Writes what the open counter saw into the access history: evidence of reading beside and beyond atime.

Called by the daemon every minute or so while a root says open_counter = true.
"""

from policies.values import AccessQuality
from tiering.catalog import access, files
from tiering.catalog.access import AccessDay
from tiering.clock import NS_PER_DAY
from tiering.hot.opens import OpenCounter
from tiering.jobs.context import Context


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
                opens[row.file_id] = count
    with ctx.catalog.write() as tx:
        day = tx.now_ns // NS_PER_DAY
        access.add(tx, [AccessDay(file_id, day, "opens", count) for file_id, count in opens.items()])
        files.note_access(tx, dict.fromkeys(opens, tx.now_ns), AccessQuality.OPENS)
    return len(opens)
