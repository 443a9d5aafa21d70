"""Names of many pieces of one buffer at once: fingerprints that find, digests that confirm.

Used by dedup.ingest and dedup.many. Short pieces are digested together, in one call without the GIL, long ones each by
the BLAKE3 library; what the digests are does not depend on it.
"""

import importlib
from collections.abc import Iterable, Sequence
from functools import cache, partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dedup.fingerprint import DIGEST_LEN, Buffer, FingerprintFunction, digest, digests, fingerprints
from dedup.values import ChunkPart, Digest

# 64 KiB: from here on the library fills all lanes of the machine with one piece, and hashes up to twice as fast.
LONG_BYTES = 64 << 10
MANY = 24
"""Pieces worth being digested together: of a window of 1 MiB that has fewer, most bytes are in long ones."""

# ChunkPart(*columns), without a Python call for each.
_as_chunk: partial[ChunkPart] = partial(tuple.__new__, ChunkPart)


class Among(NamedTuple):
    """Where pieces stand in a buffer."""

    whole: memoryview
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def some(self, which: Any) -> "Among":
        """Return those of *which*, numbers or a flag for each."""
        return Among(self.whole, self.starts[which], self.lengths[which])

    def pieces(self) -> list[Buffer]:
        """Return the bytes of each."""
        ends = (self.starts + self.lengths).tolist()
        return [self.whole[start:end] for start, end in zip(self.starts.tolist(), ends, strict=True)]


def named(
    pieces: Sequence[Buffer], fingerprint: FingerprintFunction, *, among: Among | None = None, proves: bool = True
) -> list[ChunkPart]:
    """Return *pieces* as chunks; without digests where nothing is to be proven. *among*, where there are many short
    ones, says where they stand.
    """
    confirmed: Iterable[Digest] = repeat(Digest(b""))
    if proves:
        confirmed = digests(pieces) if among is None else digests_in(pieces, among)
    columns = zip(fingerprints(pieces, fingerprint), confirmed, map(len, pieces), strict=False)
    return list(map(_as_chunk, columns))


def digests_in(pieces: Sequence[Buffer], among: Among) -> list[Digest]:
    """Return the digest of each of *pieces*, which stand *among* others."""
    whole, starts, lengths = among
    is_short = lengths < LONG_BYTES
    kernel = _kernel() if np.count_nonzero(is_short) >= MANY else None
    if kernel is None:
        return digests(pieces)
    joined: bytes = kernel.find_digests(np.frombuffer(whole, dtype=np.uint8), starts[is_short], lengths[is_short])
    found = [Digest(joined[at : at + DIGEST_LEN]) for at in range(0, len(joined), DIGEST_LEN)]
    if len(found) == len(pieces):
        return found
    short = iter(found)
    return [next(short) if one else digest(piece) for one, piece in zip(is_short.tolist(), pieces, strict=True)]


@cache
def _kernel() -> Any:
    try:
        return importlib.import_module("dedup.kernels.digests")
    except ImportError:
        return None
