"""What a scan learns about reading: which access times moved, and whether people or a sweep moved them.

Times are set aside until the whole root was seen, for only all of them together tell a sweep (a backup, an antivirus)
from readers. A sweep is recorded and not counted; when sweeps come every day or two, they hide every reader, and the
root's evidence is worth nothing until they stop. frostline's own reads leave no trace where O_NOATIME is granted, and
are left out where it is not.
"""

import os
from collections.abc import Iterable, Sequence

from policies.sweep import SWEEPS_BLIND_NS, SweepDetector, SweepWindow
from policies.values import NS_PER_DAY, NS_PER_HOUR, NS_PER_S, AccessQuality
from tiering.catalog import access, files, sweeps
from tiering.catalog.transaction import batches
from tiering.catalog.values import FileRow
from tiering.hot.looks import NOTHING, Looks
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.scan_spool import AccessSpool

ROWS = 5000  # per transaction
EVIDENCE_WINDOW_NS = 3 * NS_PER_DAY  # atimes this long before the last scan were judged by it, or by the one before
OWN_READ_NS = NS_PER_DAY  # a migration reads a file at most this long before it commits
APART_NS = 12 * NS_PER_HOUR  # sweeps seen this far apart are two


class AccessEvidence:
    """Collects access times during one scan of one root, and writes those that count at its end. Close it."""

    def __init__(self, ctx: Context, root: OpenRoot, *, mount: AccessQuality, last_complete_ns: int) -> None:
        """Judge by the *mount*'s quality; *last_complete_ns* is when the last complete scan began, 0 if none did."""
        self._ctx = ctx
        self._root = root
        self._mount = mount
        self._last_complete_ns = last_complete_ns
        self._started_ns = ctx.clock.now_ns()
        self._sweep = SweepDetector(self._started_ns)
        self._spool = AccessSpool(ctx.config.spool_dir)
        self._moved: dict[int, int] = {}
        """File id -> atime that moved since the catalog last heard; whose doing it was is asked for many at once."""
        self.window: SweepWindow | None = None
        """The sweep that conclude() found."""

    def feed(self, files: Sequence[tuple[bytes, os.stat_result]], looks: Looks = NOTHING) -> None:
        """Take every file of the walk, in order, looked at alone or together."""
        self._sweep.feed_many([(status.st_atime_ns, status.st_mtime_ns) for _, status in files])
        self._sweep.feed_many(zip(looks.atime_ns, looks.mtime_ns, strict=True))

    def note(self, reads: Iterable[tuple[int, int | None, int]]) -> None:
        """Set aside the times of known files that were read: (file id, last access known, atime)."""
        judged_ns = self._last_complete_ns - EVIDENCE_WINDOW_NS
        for file_id, last_ns, atime_ns in reads:
            if last_ns is None:
                self._spool.add(file_id, atime_ns)
            elif atime_ns >= judged_ns:
                self._moved[file_id] = atime_ns
        if len(self._moved) >= ROWS:
            self._set_aside()

    def conclude(self) -> tuple[bool, AccessQuality]:
        """Write the access times that are readers'; return (a sweep moved some since the last scan, what the root's
        evidence is worth now).
        """
        self._set_aside()
        self.window = self._sweep.verdict() if self._mount.is_evidence else None
        is_fresh = False
        for batch in batches(self._spool.read(), ROWS):
            counted: dict[int, int] = {}
            for file_id, atime_ns in batch:
                if self.window is not None and self.window.covers(atime_ns):
                    is_fresh = is_fresh or atime_ns >= self._last_complete_ns
                else:
                    counted[file_id] = atime_ns
            self._write(counted)
        return is_fresh, self._worth(is_sweep=is_fresh)

    def close(self) -> None:
        """Free the room on disk."""
        self._spool.close()

    def _set_aside(self) -> None:
        own: set[int] = set()
        if self._moved and os.geteuid() != 0:
            with self._ctx.catalog.read() as tx:
                rows = files.by_ids(tx, self._moved).values()
            own = {row.file_id for row in rows if _is_own_read(row, self._moved[row.file_id])}
        for file_id, atime_ns in self._moved.items():
            if file_id not in own:
                self._spool.add(file_id, atime_ns)
        self._moved = {}

    def _write(self, counted: dict[int, int]) -> None:
        if not counted:
            return
        with self._ctx.catalog.write() as tx:
            present = files.by_ids(tx, counted)
            known = {file_id: atime_ns for file_id, atime_ns in counted.items() if file_id in present}
            files.note_access(tx, known, quality=str(self._mount))
            access.add(
                tx, [access.AccessDay(file_id, at_ns // NS_PER_DAY, "atime") for file_id, at_ns in known.items()]
            )

    def _worth(self, *, is_sweep: bool) -> AccessQuality:
        if not self._mount.is_evidence:
            return self._mount
        with self._ctx.catalog.read() as tx:
            seen = sweeps.seen_since(tx, self._root.root_id, self._started_ns - SWEEPS_BLIND_NS)
        times = [*seen, *([self._started_ns] if is_sweep else [])]
        apart_ns = max(times, default=0) - min(times, default=0)
        return AccessQuality.SWEPT if apart_ns > APART_NS else self._mount


def _is_own_read(row: FileRow, atime_ns: int) -> bool:
    """Return whether migrating it may have moved the atime: O_NOATIME is granted to the owner and to root only."""
    if row.stored_ns is None or os.geteuid() in {0, row.uid}:
        return False
    return -OWN_READ_NS <= atime_ns - row.stored_ns <= 60 * NS_PER_S
