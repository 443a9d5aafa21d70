"""Which chunks the files of a commit need, file by file, as columns. Used by tiering.catalog.commit alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Self

from dedup.values import Digest, Fingerprint, Recipe, chunks_of


@dataclass(frozen=True, slots=True)
class Needs:
    """Chunks in the order of the files, as often as they occur."""

    fingerprints: Sequence[Fingerprint]
    digests: Sequence[Digest]
    ends: list[int]
    """Per file: the chunks of it and of those before."""

    @classmethod
    def of(cls, found: Sequence[Recipe]) -> Self:
        """Return what *found* list."""
        lists = [chunks_of(recipe.parts) for recipe in found]
        chunks = list(chain.from_iterable(lists))
        fingerprints, digests, _ = zip(*chunks, strict=True) if chunks else ((), (), ())
        return cls(fingerprints, digests, list(accumulate(map(len, lists))))

    def beside(self, known: Collection[Digest]) -> set[Fingerprint]:
        """Return the fingerprints of those that are not *known*."""
        named = zip(self.fingerprints, self.digests, strict=True)
        return {fingerprint for fingerprint, digest in named if digest not in known}

    def missing(self, known: Collection[Digest]) -> list[int]:
        """Return per file how many of its chunks are not *known*."""
        if not any(digest not in known for digest in self.digests):
            return [0] * len(self.ends)
        lists = [self.digests[start:end] for start, end in pairwise([0, *self.ends])]
        return [sum(digest not in known for digest in digests) for digests in lists]
