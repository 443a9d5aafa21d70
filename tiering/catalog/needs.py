"""Which chunks the files of a commit need, file by file, as columns. Used by tiering.catalog.commit and its callers."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Self, cast

from dedup.values import ChunkPart, Digest, Fingerprint, Part, chunks_of


def chunk_lists(parts_of: Sequence[tuple[Part, ...]]) -> Sequence[Sequence[ChunkPart]]:
    """Return chunks_of() each; nothing is interpreted per file where all parts are chunks, as in most batches."""
    if {*map(type, chain.from_iterable(parts_of))} <= {ChunkPart}:
        return cast("Sequence[tuple[ChunkPart, ...]]", parts_of)
    return list(map(chunks_of, parts_of))


def sums_of(numbers: Iterable[int], ends: Iterable[int]) -> list[int]:
    """Return the sum of each stretch of *numbers*, which ends before one of *ends*."""
    upto = list(accumulate(numbers, initial=0))
    return [after - before for before, after in pairwise([0, *map(upto.__getitem__, ends)])]


@dataclass(frozen=True, slots=True)
class Needs:
    """Chunks in the order of the files, as often as they occur."""

    fingerprints: Sequence[Fingerprint]
    digests: Sequence[Digest]
    lengths: Sequence[int]
    ends: list[int]
    """Per file: the chunks of it and of those before."""

    @classmethod
    def of(cls, parts_of: Sequence[tuple[Part, ...]]) -> Self:
        """Return what the parts of each file list."""
        lists = chunk_lists(parts_of)
        chunks = list(chain.from_iterable(lists))
        fingerprints, digests, lengths = zip(*chunks, strict=True) if chunks else ((), (), ())
        return cls(fingerprints, digests, lengths, list(accumulate(map(len, lists))))

    def beside(self, known: Collection[Digest]) -> dict[Digest, Fingerprint]:
        """Return those that are not *known*, each once."""
        found = dict(zip(self.digests, self.fingerprints, strict=True))
        return {digest: found[digest] for digest in found.keys() - known}

    def missing(self, needed: Sequence[int | None]) -> list[int]:
        """Return per file how many of its chunks are None in *needed*, which has what is known of each."""
        if None not in needed:
            return [0] * len(self.ends)
        return sums_of([number is None for number in needed], self.ends)

    def plain_bytes(self) -> list[int]:
        """Return per file the raw bytes of its chunks, as often as they occur."""
        return sums_of(self.lengths, self.ends)
