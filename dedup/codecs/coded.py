"""What a codec makes of a block, and the settings that every codec knows.

Used by every module of this package and, through dedup.codecs, by whoever stores blocks.
"""

from dataclasses import dataclass

RAW = "raw"
WHOLE = ("text", "page")
"""Kinds whose blocks are one frame each."""
EFFORTS = {"fast": 1, "balanced": 3, "small": 9}
"""Effort setting -> zstd level where matches are looked for. 1: 437 MB/s on text, ratio 4.04; 3: 332 MB/s, 4.26; 9:
about 60 MB/s, 4.8."""
_TEXT_LEVELS = {3: 6, 9: 15}
"""Text and pages gain much by a little more: at 3, small json misses the .27 it is to reach; 6 comes within 4 % of 9 at
120-220 MB/s instead of 70-130. 15 is for those to whom bytes are all: some 5 MB/s."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A block as it is stored."""

    codec: str
    """Stored name: printable ASCII, at most 64 characters."""
    payload: bytes
    reason: str = ""
    """A few words for `explain`: why this codec, what became of each plane. Not stored."""


def level_of(effort: str, kind: str = "generic") -> int:
    """Return the zstd level of *effort* for *kind*. Raises ValueError for a word that is not a key of EFFORTS."""
    if effort not in EFFORTS:
        raise ValueError(f"effort must be one of {', '.join(EFFORTS)}, got {effort!r}")
    level = EFFORTS[effort]
    return _TEXT_LEVELS.get(level, level) if kind in WHOLE else level
