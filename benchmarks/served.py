"""What a PostgreSQL server on this machine spends on a catalog: CPU and memory of all its processes.

Imported by index.py. The client's own accounting knows nothing of it.
"""

import os
import threading
from pathlib import Path

from sqlalchemy import create_engine

_EVERY_S = 5.0
_TICK = os.sysconf("SC_CLK_TCK")


class Served:
    """The server behind a database URL, looked at while a phase runs. Use as a context manager."""

    def __init__(self, url: str) -> None:
        """Find the server of *url*; one elsewhere, or SQLite, counts as nothing."""
        self.cpu_s = 0.0
        self.peak_mb = 0.0
        self._url = url.replace("postgresql://", "postgresql+psycopg://")
        self._pid = self._postmaster() if url.startswith("postgresql") else 0
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._before_s = self._spent_s()

    def __enter__(self) -> "Served":
        """Begin to look."""
        if self._pid:
            self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the sums."""
        self._is_over.set()
        if self._pid:
            self._watch.join()
        self.cpu_s = self._spent_s() - self._before_s

    def disk_mb(self) -> float:
        """Return what the database takes on disk, its log aside."""
        engine = create_engine(self._url)
        with engine.connect() as conn:
            size = conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        engine.dispose()
        return float(size) / 1e6

    def _postmaster(self) -> int:
        engine = create_engine(self._url)
        with engine.connect() as conn:
            backend = int(conn.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
            try:
                return _parent(backend)
            except OSError:
                return 0
            finally:
                conn.close()
                engine.dispose()

    def _processes(self) -> list[int]:
        found = [self._pid]
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and _parent(int(entry.name)) == self._pid:
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def _spent_s(self) -> float:
        """Return the CPU of the server and of all that it ever started, those still running too."""
        if not self._pid:
            return 0.0
        spent = sum(_fields(self._pid)[11:15])
        for pid in self._processes()[1:]:
            try:
                spent += sum(_fields(pid)[11:13])
            except OSError:
                continue
        return spent / _TICK

    def _look(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            total = 0.0
            for pid in self._processes():
                try:
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                except OSError:
                    continue
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
            self.peak_mb = max(self.peak_mb, total)


def _fields(pid: int) -> list[int]:
    """Return what follows the name in /proc/PID/stat as numbers: 1 is the parent, 11-14 are the ticks spent."""
    text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [0, *map(int, text[1:])]


def _parent(pid: int) -> int:
    return _fields(pid)[1]
