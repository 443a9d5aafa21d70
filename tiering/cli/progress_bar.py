"""The live bar on a terminal. Loaded by tiering.cli.progress when a job starts."""

from threading import Lock

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class BarProgress:
    """A live bar. See tiering.jobs.context.Progress."""

    def __init__(self) -> None:
        """Draw nothing before start()."""
        self._lock = Lock()
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def start(self, what: str, *, total_bytes: int | None = None, total_files: int | None = None) -> None:
        """See Progress."""
        with self._lock:
            # A job that does not know its total goes on with the one its command announced.
            if self._bar is not None and self._bar.tasks[0].description == what and total_bytes is None:
                return
            self._close()
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[files]} files"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(what, total=total_bytes, files=0)

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        """See Progress."""
        with self._lock:
            if self._bar is not None:
                done = self._bar.tasks[0].fields["files"] + files
                self._bar.update(self._task, advance=byte_count, files=done)

    def finish(self) -> None:
        """See Progress."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
