"""A stretch of a seekable stream that looks like a file of its own, which is what boto3 wants to send."""

import io
from typing import Any, BinaryIO


class Window(io.RawIOBase):
    """*length* bytes of *body* from *start* (None: from its position).

    Reads and seeks move *body*; closing leaves it open.
    """

    def __init__(self, body: BinaryIO, length: int, *, start: int | None = None) -> None:
        """Place the window; nothing is read."""
        super().__init__()
        self._body = body
        self._start = body.tell() if start is None else start
        self._length = length
        self._position = 0

    def __len__(self) -> int:
        """Return the whole length, whatever the position."""
        return self._length

    def missing_bytes(self) -> int:
        """Return by how much *body* ends before the window does; 0 if it holds all of it."""
        end = self._body.seek(0, io.SEEK_END)
        return max(0, self._start + self._length - end)

    def readable(self) -> bool:
        """See io.IOBase."""
        return True

    def seekable(self) -> bool:
        """See io.IOBase."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.IOBase; positions are relative to the window."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """See io.IOBase."""
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return up to *size* bytes (None or negative: the rest of the window); b"" at its end."""
        left = max(0, self._length - self._position)
        count = left if size is None or size < 0 else min(size, left)
        if count == 0:
            return b""
        self._body.seek(self._start + self._position)
        data = self._body.read(count)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """See io.RawIOBase. botocore signs through awscrt, which reads this way; *buffer* is any writable buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def part(self, start: int, length: int) -> "Window":
        """Return a window of *length* bytes from *start* of this one."""
        return Window(self._body, length, start=self._start + start)
