"""Runs of pages and their plain forms: the first byte says which; nothing but CorruptChunk comes of a damaged form."""

from dedup.errors import CorruptChunk
from dedup.formats.parquet import WRAP
from dedup.wrappers import rewrap, unwrap


def fuzz(data: bytes) -> None:
    """Take *data* apart as a run of pages, or put it together as a plain form."""
    kind, rest = data[:1], data[1:]
    if kind < b"\x80":
        plain = unwrap(WRAP, rest)
        assert plain is None or rewrap(WRAP, plain, len(rest)) == rest
        return
    length = int.from_bytes(rest[:2], "little")
    try:
        assert len(rewrap(WRAP, rest[2:], length)) == length
    except CorruptChunk:
        pass
