"""What a scan sets aside until its end: rows that seem gone, and access times. On disk, because there may be many.

Neither may be acted on before the whole root was seen: too many gone is a reason to stop (P5), and only all access
times together tell a sweep from readers.
"""

import struct
import tempfile
from collections.abc import Iterator
from typing import IO

_GONE = struct.Struct("<q?HI")  # file id, replaced, length of the name, length of the folder
_ACCESS = struct.Struct("<qq")  # file id, atime in ns


GoneItem = tuple[int, bytes, bytes, bool]
"""(file id, dir, name, replaced)."""


class GoneSpool:
    """(file id, dir, name, replaced) of rows that seem gone, in walk order."""

    def __init__(self, folder: str) -> None:
        """Use an unnamed temporary file in *folder*, which must exist. Close it."""
        self._file = _temporary(folder)
        self.count = 0

    def add(self, file_id: int, dir: bytes, name: bytes, *, replaced: bool) -> None:
        """Append one."""
        self._file.write(_GONE.pack(file_id, replaced, len(name), len(dir)) + name + dir)
        self.count += 1

    def read(self) -> Iterator[GoneItem]:
        """Yield all, from the first."""
        self._file.seek(0)
        while head := self._file.read(_GONE.size):
            file_id, replaced, name_length, dir_length = _GONE.unpack(head)
            name = self._file.read(name_length)
            yield file_id, self._file.read(dir_length), name, replaced

    def close(self) -> None:
        """Free the room."""
        _close(self._file)


class AccessSpool:
    """(file id, atime in ns) of files that were read since the catalog last heard, in walk order."""

    def __init__(self, folder: str) -> None:
        """Use an unnamed temporary file in *folder*, which must exist. Close it."""
        self._file = _temporary(folder)
        self.count = 0

    def add(self, file_id: int, atime_ns: int) -> None:
        """Append one."""
        self._file.write(_ACCESS.pack(file_id, atime_ns))
        self.count += 1

    def read(self) -> Iterator[tuple[int, int]]:
        """Yield all, from the first."""
        self._file.seek(0)
        while record := self._file.read(_ACCESS.size):
            yield _ACCESS.unpack(record)

    def close(self) -> None:
        """Free the room."""
        _close(self._file)


def _temporary(folder: str) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=folder)


def _close(file: IO[bytes]) -> None:
    try:
        file.close()
    except OSError:
        pass  # the disk is full, and nobody will read what could not be written
