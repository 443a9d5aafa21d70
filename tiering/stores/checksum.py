"""The whole-object checksum that travels with every put: CRC64NVME, as "crc64nvme:<16 hex digits>".

It is the one S3 computes itself for every object, over the whole of it even when it came in parts, so a server can
verify what it received and report what it holds. It guards against damage on the way; who put the bytes there is
proven by digests.

awscrt (AWS's own native library) does 30 GB/s on one core; in Python nothing else keeps up with a disk. It is loaded
with the first checksum: commands that only look at the catalog never pay for it.
"""

import importlib
from collections.abc import Callable
from functools import cache
from typing import Protocol, cast

ALGORITHM = "crc64nvme"
_WIDTH = 8
_BLOCK_BYTES = 1 << 20  # 1 MiB: large enough that the call costs nothing, small enough to stay in a core's cache


class Stream(Protocol):
    """What a checksum is read from."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to *size* bytes; b"" at the end."""

    def seek(self, offset: int, /) -> int:
        """Move to *offset*."""

    def tell(self) -> int:
        """Return the position."""


class Checksum:
    """A checksum that grows with the bytes it is shown."""

    def __init__(self) -> None:
        """Start with no bytes."""
        self._value = 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add *data* (contiguous)."""
        self._value = _crc64nvme()(data, self._value)

    def text(self) -> str:
        """Return "crc64nvme:<hex>" of everything so far; may be called again after more updates."""
        return f"{ALGORITHM}:{self._value:016x}"


def checksum_of(source: bytes | bytearray | memoryview | Stream, size_bytes: int | None = None) -> str:
    """Return the checksum of a buffer, or of *size_bytes* (None: all) of a seekable stream from its position.

    A stream is left at the position it had. One that ends before *size_bytes* gives the checksum of what there was.
    """
    checksum = Checksum()
    if isinstance(source, bytes | bytearray | memoryview):
        checksum.update(source)
        return checksum.text()
    start = source.tell()
    left = size_bytes
    while left is None or left > 0:
        block = source.read(_BLOCK_BYTES if left is None else min(_BLOCK_BYTES, left))
        if not block:
            break
        checksum.update(block)
        if left is not None:
            left -= len(block)
    source.seek(start)
    return checksum.text()


def to_bytes(checksum: str) -> bytes:
    """Return the 8 bytes (big-endian) of a "crc64nvme:<hex>" text. Raises ValueError for anything else."""
    algorithm, _, value = checksum.partition(":")
    if algorithm != ALGORITHM or len(value) != 2 * _WIDTH:
        raise ValueError(f"{checksum!r} is not a {ALGORITHM} checksum")
    return bytes.fromhex(value)


def from_bytes(value: bytes) -> str:
    """Return the text of 8 bytes, big-endian."""
    return f"{ALGORITHM}:{value.hex()}"


@cache
def _crc64nvme() -> Callable[[bytes | bytearray | memoryview, int], int]:
    routine = importlib.import_module("awscrt.checksums").crc64nvme
    return cast("Callable[[bytes | bytearray | memoryview, int], int]", routine)
