"""Whole packs: read by their end, and recovered without it; nothing reaches beyond the bytes or raises but DedupError.

The digest in the footer keeps most forgeries out of the trailer's parser; the target "trailer" gets past it.
"""

from dedup.errors import DedupError
from dedup.fingerprint import digest
from dedup.layout import HEADER_LEN, PackKind
from dedup.pack import read_kind, read_trailer
from dedup.recovery import recover
from dedup.values import Digest, Span

BASE = b"a base that every digest names"
KINDS: tuple[PackKind, ...] = ("data", "recipes")


def fuzz(data: bytes) -> None:
    """Read *data* as a pack."""

    def read(span: Span) -> bytes:
        assert 0 <= span.start <= span.end <= len(data)
        return data[span.start : span.end]

    for kind in KINDS:
        found = recover(read, len(data), kind=kind, base_of=_base_of)
        for block in found.blocks:
            assert block.offset + block.stored_len <= len(data)
            assert sum(chunk.length for chunk in block.chunks) == block.raw_len
    try:
        if len(data) >= HEADER_LEN:
            read_kind(read)
        for block in read_trailer(read, len(data)):
            assert block.offset + block.stored_len <= len(data)
    except DedupError:
        pass


def _base_of(name: Digest) -> bytes | None:
    return BASE if name != digest(b"") else None
