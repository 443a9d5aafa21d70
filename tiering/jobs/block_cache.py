"""Decoded blocks that are kept for the next read.

Used by random_access; shared by all files that a process has open.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from dedup.values import Digest

CACHE_BYTES = 128 << 20  # of which a tensor's piece takes 4 MiB: thirty places of a file that are read by turns


@dataclass(slots=True)
class OpenBlock:
    """A decoded block."""

    raw: bytes
    confirmed: dict[int, Digest] = field(default_factory=dict)
    """Inner offset -> digest, of the chunks whose bytes were found to be right."""


class BlockCache:
    """Decoded blocks, those used last kept. Thread-safe; may be shared by many files."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        """Keep up to *limit_bytes* of decoded blocks."""
        self._limit = limit_bytes
        self._held: OrderedDict[int, OpenBlock] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, block_no: int) -> OpenBlock | None:
        """Return a decoded block, if it is here."""
        with self._lock:
            block = self._held.get(block_no)
            if block is not None:
                self._held.move_to_end(block_no)
            return block

    def put(self, block_no: int, block: OpenBlock) -> None:
        """Keep a decoded block, and let go of those that were not used for longest."""
        with self._lock:
            if block_no not in self._held:
                self._held[block_no] = block
                self._bytes += len(block.raw)
            while self._bytes > self._limit and self._held:
                _, old = self._held.popitem(last=False)
                self._bytes -= len(old.raw)
