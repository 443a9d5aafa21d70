"""Which chunks are new: asked once for all the chunks of a stretch, answered yes once for each of them.

Used by migrate, one Newcomers per batch. Known is what stands in live packs of the tiers that may be reused, what this
batch is storing, what the batch before stores whose commit is under way, and what earlier batches of the run committed.
"""

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dedup.values import ChunkPart, Digest, Fingerprint
from tiering.catalog import packs
from tiering.catalog.open import Catalog

RECENT_CHUNKS = 100_000  # a generation: 10 MB, 6 GiB of chunks of 64 KiB


class Filter(Protocol):
    """Says quickly of most chunks that they are not stored; errs only by asking once too often."""

    def may_hold(self, fingerprints: Sequence[Fingerprint]) -> Sequence[Fingerprint]:
        """Return those worth looking up."""

    def add(self, fingerprints: Sequence[Fingerprint]) -> None:
        """Note chunks that were committed."""


@dataclass(slots=True)
class Recent:
    """Digests of chunks that this run committed, or found in the catalog: known without another look-up.

    Believed only until a commit finds one of them gone (it looks all of them up): forget() then, and read anew. Bounded
    by two generations of RECENT_CHUNKS. Thread-safe.
    """

    _young: set[Digest] = field(default_factory=set)
    _old: set[Digest] = field(default_factory=set)

    def __contains__(self, digest: Digest) -> bool:
        """Whether it is known."""
        return digest in self._young or digest in self._old

    def others(self, digests: set[Digest]) -> set[Digest]:
        """Return those of *digests* that are not known."""
        return digests - self._young - self._old

    def add(self, digests: Iterable[Digest]) -> None:
        """Note *digests*."""
        if len(self._young) >= RECENT_CHUNKS:
            self._young, self._old = set(), self._young
        self._young.update(digests)

    def forget(self) -> None:
        """Know nothing any more."""
        self._young, self._old = set(), set()


@dataclass(slots=True)
class Newcomers:
    """A dedup.blocks.Newcomers over the catalog. Thread-safe."""

    catalog: Catalog
    tiers: tuple[str, ...]
    """None colder than the batch's own."""
    filter: Filter
    before: "Newcomers | None" = None
    """Of the batch that is being committed. Not asked once it is: the catalog knows its chunks then, and those that it
    did not keep are new again."""
    recent: Recent = field(default_factory=Recent)
    """Shared by the batches of a run."""
    is_settled: bool = False
    taken: set[Digest] = field(default_factory=set)
    """What this batch stores."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def claim(self, chunks: Sequence[ChunkPart]) -> list[int]:
        """See dedup.blocks.Newcomers."""
        before = self.before if self.before is not None and not self.before.is_settled else None
        asked = [chunk[1] for chunk in chunks]  # by position: a tenth of the time that its name takes
        with self._lock:
            mine = self.recent.others(set(asked) - self.taken)
            if before is not None:
                mine -= before.taken
            self.taken |= mine
        if not mine:
            return []
        numbers = [number for number, digest in enumerate(asked) if digest in mine]
        if len(numbers) > len(mine):  # some stand there more than once
            numbers = sorted({asked[number]: number for number in reversed(numbers)}.values())
        stored = self._stored([chunks[number] for number in numbers], mine)
        if not stored:
            return numbers
        self.recent.add(stored)
        with self._lock:
            # Not ours after all. Should gc take them before the commit, a second reading must find them missing.
            self.taken -= stored
        return [number for number in numbers if asked[number] not in stored]

    def claim_again(self, chunk: ChunkPart) -> bool:
        """See dedup.blocks.Newcomers."""
        with self._lock:
            if chunk.digest in self.taken:
                return False
            self.taken.add(chunk.digest)
            return True

    def settle(self) -> None:
        """Note that the batch is committed."""
        self.is_settled = True
        self.before = None

    def _stored(self, chunks: Sequence[ChunkPart], digests: Collection[Digest]) -> set[Digest]:
        """Return the digests of those that are live: same fingerprint, same digest. *digests* are theirs."""
        asked = self.filter.may_hold([chunk[0] for chunk in chunks])
        if not asked:
            return set()
        with self.catalog.read() as tx:
            found = packs.lookup(tx, asked, self.tiers)
        return {digest for hits in found.values() for digest, _ in hits if digest in digests}
