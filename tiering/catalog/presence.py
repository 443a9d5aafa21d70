"""Which fingerprints the catalog may know: a filter in memory that spares most queries for chunks that are new.

Used by migrations in front of packs.lookup(). It only saves look-ups: one that is said to be there costs a query, one
that is wrongly said to be absent (a chunk of another process, committed since the last refresh()) is stored once more.
Between runs it lies in the state folder, so that a catalog of 100 million chunks is not read again every time:

    offset  size  field
    0       8     magic "FLSEEN01"
    8       32    catalog id, ASCII
    40      8     number of the last chunk that is in it, little-endian
    48      8     fingerprint of that chunk, as it stands in its column
    56      8     XXH3-64 of the words
    64            words of 32 bits, little-endian: dedup.membership

Whatever does not fit the catalog (another id, a copy that was put back, damage) is made anew from the chunks' rows.
"""

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
import xxhash

from dedup.membership import BLOCK_BYTES, LARGEST_BLOCKS, KeyFilter, Keys, filter_for, keys_of
from dedup.values import Fingerprint
from tiering.catalog.open import Catalog
from tiering.catalog.transaction import fetch_raw

FILE = "chunks.filter"
PAGE_ROWS = 50_000  # per transaction: about 20 ms and 5 MB
SPARE = 500_000  # chunks, 32 GB at 64 KiB: what may be added to an empty catalog until the filter is made anew
_HEADER = struct.Struct("<8s32sqqQ")
_MAGIC = b"FLSEEN01"

_BY_NUMBER = "SELECT chunk_no, fingerprint FROM chunks WHERE chunk_no > ? ORDER BY chunk_no LIMIT ?"
# From the index alone; the same fingerprint twice changes nothing, so pages may be cut anywhere.
_BY_FINGERPRINT = "SELECT fingerprint FROM chunks WHERE fingerprint > ? ORDER BY fingerprint LIMIT ?"
_LOWEST = -(1 << 63)


class ChunkFilter:
    """The filter of one catalog. Thread-safe. Made by open_filter()."""

    def __init__(self, catalog: Catalog, path: str, *, page_rows: int) -> None:
        """Hold nothing yet; *path* is where the filter lies between runs."""
        self._catalog = catalog
        self._path = path
        self._page_rows = page_rows
        self._lock = threading.Lock()
        self._keys = filter_for(SPARE)
        self._through_no = 0
        self._saved_no = 0

    def may_hold(self, fingerprints: Sequence[Fingerprint]) -> list[Fingerprint]:
        """Return those of *fingerprints* for which the catalog is worth asking, in order."""
        there = self._keys.may_hold(keys_of(b"".join(fingerprints))).tolist()
        return [fingerprint for fingerprint, is_there in zip(fingerprints, there, strict=True) if is_there]

    def add(self, fingerprints: Sequence[Fingerprint]) -> None:
        """Take in chunks that were committed, so that later files find them."""
        with self._lock:
            self._keys.add(keys_of(b"".join(fingerprints)))

    def refresh(self) -> None:
        """Take in all chunks committed since, by whichever process."""
        while rows := self._page(_BY_NUMBER, self._through_no):
            with self._lock:
                self._keys.add(_as_keys([row[1] for row in rows]))
                self._through_no = rows[-1][0]

    def load(self) -> None:
        """Take up the filter of the last run and what was committed since; make it anew where it does not fit."""
        if not self._read():
            self._build()
        self.refresh()

    def save(self) -> None:
        """Leave the filter for the next run. Not durable, and no error: it can be made again."""
        self.refresh()
        if self._through_no == self._saved_no:
            return
        last = self._fingerprint_of(self._through_no)
        if last is None:
            return
        words = self._keys.table.data.cast("B")
        catalog_id = self._catalog.catalog_id.encode("ascii")
        header = _HEADER.pack(_MAGIC, catalog_id, self._through_no, last, xxhash.xxh3_64_intdigest(words))
        # One name for all: what a killed process left is written over. Where two write at once, the checksum shows it.
        new = f"{self._path}.new"
        try:
            with open(new, "wb") as file:
                file.write(header)
                file.write(words)
            os.replace(new, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(new)

    def _read(self) -> bool:
        try:
            with open(self._path, "rb") as file:
                header = file.read(_HEADER.size)
                words = np.fromfile(file, dtype=np.uint32, count=BLOCK_BYTES * LARGEST_BLOCKS // 4)
            magic, catalog_id, through_no, last, checksum = _HEADER.unpack(header)
            keys = KeyFilter(words)
        except (OSError, ValueError, struct.error):
            return False
        if (magic, catalog_id) != (_MAGIC, self._catalog.catalog_id.encode("ascii")):
            return False
        # A copy of the catalog that was put back gives out its numbers again: then another chunk has the last one.
        if checksum != xxhash.xxh3_64_intdigest(words.data) or self._fingerprint_of(through_no) != last:
            return False
        if through_no > keys.capacity and keys.capacity < filter_for(2 * through_no).capacity:
            return False
        self._keys, self._through_no, self._saved_no = keys, through_no, through_no
        return True

    def _build(self) -> None:
        with self._catalog.read() as tx:
            through_no = int(fetch_raw(tx, "SELECT coalesce(max(chunk_no), 0) FROM chunks", ())[0][0])
        self._keys = filter_for(2 * through_no + SPARE)
        self._through_no, self._saved_no = through_no, 0
        after = _LOWEST
        while rows := self._page(_BY_FINGERPRINT, after):
            self._keys.add(_as_keys([row[0] for row in rows]))
            after = rows[-1][0]
        self._keys.add(_as_keys([_LOWEST]))  # the one number that no page is behind

    def _page(self, text: str, after: int) -> list[tuple[int, ...]]:
        with self._catalog.read() as tx:
            return fetch_raw(tx, text, (after, self._page_rows))

    def _fingerprint_of(self, chunk_no: int) -> int | None:
        with self._catalog.read() as tx:
            rows = fetch_raw(tx, "SELECT fingerprint FROM chunks WHERE chunk_no = ?", (chunk_no,))
        return int(rows[0][0]) if rows else None


@contextmanager
def open_filter(catalog: Catalog, folder: str, *, page_rows: int = PAGE_ROWS) -> Iterator[ChunkFilter]:
    """Give the filter of *catalog*, kept in *folder* between runs; memory is fixed now: 3.3 MB per million chunks."""
    opened = ChunkFilter(catalog, os.path.join(folder, FILE), page_rows=page_rows)
    opened.load()
    try:
        yield opened
    finally:
        opened.save()


def _as_keys(column: list[int]) -> Keys:
    return np.array(column, dtype=np.int64).view(np.uint64)
