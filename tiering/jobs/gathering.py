"""Look-ups and additions of the chunks of small files, gathered: one query for hundreds instead of one each.

Used by tiering.jobs.outgoing. A recipe names chunks, not places, so a small file is done before it is known whether its
chunk was stored already: the coded chunk waits here. Coding a duplicate in vain costs less than asking for it alone.
"""

import threading
from collections.abc import Mapping, Sequence

from dedup.codecs import Coded
from dedup.ingest import ChunkIndex, ChunkSink
from dedup.values import Digest, Fingerprint

GATHERED_CHUNKS = 500  # one IN list of the catalog
GATHERED_BYTES = 8 << 20


class Gathering:
    """A ChunkIndex that knows nothing before and a ChunkSink that asks later. Thread-safe. End with flush()."""

    def __init__(self, index: ChunkIndex, sink: ChunkSink) -> None:
        """Gather before *sink*, leaving out what *index* knows when it is asked."""
        self._index = index
        self._sink = sink
        self._lock = threading.Lock()
        self._waiting: dict[tuple[Fingerprint, Digest], tuple[int, Coded]] = {}
        self._bytes = 0

    def lookup(self, fingerprints: Sequence[Fingerprint]) -> Mapping[Fingerprint, Sequence[Digest]]:
        """Return nothing: every chunk is to be added."""
        return {}

    def add(self, fingerprint: Fingerprint, digest: Digest, raw_len: int, coded: Coded) -> None:
        """Keep one chunk; when enough have come together, pass on those that are new."""
        with self._lock:
            if (fingerprint, digest) not in self._waiting:
                self._waiting[fingerprint, digest] = (raw_len, coded)
                self._bytes += len(coded.payload)
            if len(self._waiting) < GATHERED_CHUNKS and self._bytes < GATHERED_BYTES:
                return
            taken, self._waiting, self._bytes = self._waiting, {}, 0
        self._pass_on(taken)

    def flush(self) -> None:
        """Pass on what waits."""
        with self._lock:
            taken, self._waiting, self._bytes = self._waiting, {}, 0
        self._pass_on(taken)

    def _pass_on(self, chunks: Mapping[tuple[Fingerprint, Digest], tuple[int, Coded]]) -> None:
        known = self._index.lookup([fingerprint for fingerprint, _ in chunks]) if chunks else {}
        for (fingerprint, digest), (raw_len, coded) in chunks.items():
            if digest not in known.get(fingerprint, ()):
                self._sink.add(fingerprint, digest, raw_len, coded)
