"""Under which name a restore has put each hard-linked file first, so that its other names can be linked to that one.

Used by tiering.jobs.restore_run. A tree may be all hard links, millions of them, with the other names at its far end:
what is more than a few is set aside in an unnamed temporary file.
"""

import sqlite3

HELD = 20_000  # in memory: some 5 MB


class FirstNames:
    """Leader's file id -> (folder, name) in the target. close() it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._held: dict[int, tuple[bytes, bytes]] = {}
        self._aside: sqlite3.Connection | None = None

    def put(self, leader: int, folder: bytes, name: bytes) -> None:
        """Note the first name."""
        if len(self._held) >= HELD:
            self._set_aside()
        self._held[leader] = (folder, name)

    def get(self, leader: int) -> tuple[bytes, bytes] | None:
        """Return the first name; None where there is none."""
        found = self._held.get(leader)
        if found is None and self._aside is not None:
            found = self._aside.execute("SELECT folder, name FROM first WHERE leader = ?", (leader,)).fetchone()
        return found

    def forget(self, leader: int) -> None:
        """Note that the file has not got that name after all."""
        self._held.pop(leader, None)
        if self._aside is not None:
            self._aside.execute("DELETE FROM first WHERE leader = ?", (leader,))

    def close(self) -> None:
        """Free the room."""
        self._held.clear()
        if self._aside is not None:
            self._aside.close()
            self._aside = None

    def _set_aside(self) -> None:
        if self._aside is None:
            # "": a database of its own that nobody else sees; SQLite keeps 2 MB of it in memory and removes the file.
            self._aside = sqlite3.connect("", isolation_level=None)
            self._aside.execute("PRAGMA journal_mode = OFF")
            self._aside.execute("CREATE TABLE first (leader INTEGER PRIMARY KEY, folder BLOB, name BLOB)")
        self._aside.execute("BEGIN")
        rows = ((leader, *place) for leader, place in sorted(self._held.items()))
        self._aside.executemany("INSERT OR REPLACE INTO first VALUES (?, ?, ?)", rows)
        self._aside.execute("COMMIT")
        self._held.clear()
