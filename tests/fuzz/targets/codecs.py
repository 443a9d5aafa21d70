"""Payloads of every codec, against every sort of base: they decode to the length they must have, or are corrupt.

The first byte chooses the codec, the second the sizes of raw bytes and base; the rest is the payload.
"""

from dedup.codecs import decode, needs_base
from dedup.codecs.elements import SORTED
from dedup.errors import CorruptChunk

CODECS = (
    *("raw", "zstd:3", "planes-1", "planes-1:bf16", "sections-1", "cast-1:bf16", "cast-1:f16"),
    *(f"{way}:{element}" for way in ("delta-1", "context-1") for element in SORTED),
)
SIZES = (0, 1, 16, 40, 57, 4096, 9600, 1 << 20)
BASE = bytes(range(256)) * 8192


def fuzz(data: bytes) -> None:
    """Read *data* as a payload."""
    if len(data) < 2:
        return
    codec = CODECS[data[0] % len(CODECS)]
    raw_len = SIZES[data[1] % len(SIZES)] + (data[1] >> 5)
    base = None
    if needs_base(codec) and data[1] & 8:
        base = BASE[: raw_len * 2 if codec.startswith("cast") else raw_len]
    try:
        assert len(decode(codec, data[2:], raw_len, base)) == raw_len
    except CorruptChunk:
        pass
