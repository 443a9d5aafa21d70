"""Files as Python knows them, over stored bytes: tiering.open()."""

import io
import os
from collections.abc import Callable
from typing import BinaryIO, cast

from tiering.errors import UsageError
from tiering.jobs.stored_bytes import StoredBytes
from tiering.reading.installation import Installation, installation, is_placeholder

BUFFER_BYTES = 128 << 10  # a small read copies so much; what is decoded is kept by the installation
AHEAD_BYTES = 16 << 20  # fetched with a block that is missing, once a file is read in order


class StoredFile(io.RawIOBase):
    """A stored version as a raw, seekable, read-only file."""

    def __init__(self, stored: StoredBytes, name: str, closed: Callable[[], None]) -> None:
        """Begin at offset 0; *closed* is called once, when it is closed."""
        super().__init__()
        self.name = name
        self.mode = "rb"
        self._stored = stored
        self._at = 0
        self._end = -1
        """Where the last read ended."""
        self._closed = closed

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill *buffer* from where the file stands; return how many bytes came, 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any writable buffer
        # The buffer asks for more than the program does: what cannot be read yet counts when it is the next byte.
        length = self._stored.readable_length(self._at, len(view)) or len(view)
        data = self._stored.read_at(self._at, length, ahead=AHEAD_BYTES if self._at == self._end else 0)
        view[: len(data)] = data
        self._at += len(data)
        self._end = self._at
        return len(data)

    def pread(self, start: int, end: int) -> bytes:
        """Return the bytes from *start* up to *end*, wherever the file stands; nothing beyond them is needed."""
        return self._stored.read_at(start, end - start)

    def readall(self) -> bytes:
        """Return what is left of the file."""
        data = self._stored.read_at(self._at, self._stored.size - self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Stand at another offset; return it. Raises ValueError for one before the file."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._stored.size}[whence]
        if origin + offset < 0:
            raise ValueError(f"negative seek position {origin + offset}")
        self._at = origin + offset
        return self._at

    def tell(self) -> int:
        """Return where the file stands."""
        return self._at

    def close(self) -> None:
        """Let go."""
        if not self.closed:
            super().close()
            self._closed()


def open_file(
    path: str | os.PathLike[str], mode: str = "rb", *, config: str | None = None, ask: bool = False
) -> BinaryIO:
    """Open a file under care for reading, wherever its bytes are; nothing is recalled.

    A file that stands on the disk is opened there. One that is offline is read from its store in ranges, each chunk
    verified. *config* is as for every command. Raises ValueError for any mode but "rb"; FileNotFoundError for a path
    at which nothing stands and nothing is stored.

    Reading what must be restored from an archive first raises ObjectArchived, with the quote and what to run. With
    *ask* it is asked for instead, on a ticket within the budget, and WaitingOnRestore names it: of a range only the
    packs that it needs.
    """
    if mode != "rb":
        raise ValueError(f'tiering.open reads only: mode must be "rb", not {mode!r}')
    shown = os.fspath(path)
    if not is_placeholder(shown):
        try:
            return open(shown, "rb")
        except FileNotFoundError:
            pass  # with placeholder = "none" nothing stands there
    return open_offline(installation(config), shown, ask=ask)


def open_offline(where: Installation, path: str, *, ask: bool = False) -> BinaryIO:
    """Open the stored version of *path*. Raises as open_file()."""
    try:
        stored = where.stored(path, asks=ask)
    except UsageError as error:
        raise FileNotFoundError(f"{path}: {error.what}") from error
    raw = StoredFile(stored, path, where.closed_one)
    return cast(BinaryIO, io.BufferedReader(raw, BUFFER_BYTES))
