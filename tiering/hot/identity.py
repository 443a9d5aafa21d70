"""Which file, and which state of it: the five numbers that change when a file or its metadata does.

Sound between leases (kernels since 6.13 never give two states the same stamps); while someone may hold a writable
mapping only a lease proves that bytes did not change, see tiering.hot.lease.
"""

import os
from typing import NamedTuple, Self

_SIGN = 1 << 63


class Identity(NamedTuple):
    """One state of one inode."""

    dev: int
    ino: int
    """As the kernel says it: unsigned 64 bit."""
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_sql(cls, dev: int, ino: int, size: int, mtime_ns: int, ctime_ns: int) -> Self:
        """Return the identity that SQL keeps as these signed numbers."""
        if dev < 0 or ino < 0:
            return cls(from_sql_int(dev), from_sql_int(ino), size, mtime_ns, ctime_ns)
        return cls(dev, ino, size, mtime_ns, ctime_ns)

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Return the identity in a stat result."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @property
    def inode(self) -> tuple[int, int]:
        """(dev, ino): the same file, whatever its state."""
        return self.dev, self.ino

    def same_content_stamps(self, other: "Identity") -> bool:
        """Return whether all but ctime agree: what a rename or chmod leaves unchanged."""
        return self.inode == other.inode and self.size == other.size and self.mtime_ns == other.mtime_ns


def of(status: os.stat_result) -> Identity:
    """Return the identity in a stat result."""
    return Identity.of(status)


def to_sql_int(unsigned: int) -> int:
    """Return an unsigned 64-bit number as the signed one that SQL keeps."""
    return unsigned - 2 * _SIGN if unsigned >= _SIGN else unsigned


def from_sql_int(signed: int) -> int:
    """Undo to_sql_int."""
    return signed + 2 * _SIGN if signed < 0 else signed
