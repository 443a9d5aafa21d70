"""Trailers of packs, as someone writes them who also writes the digest in the footer anew.

The first byte chooses the kind; the others are the trailer. The footer is made to agree with it.
"""

from dedup.errors import FormatError
from dedup.layout import HEADER_LEN, Footer, PackKind
from dedup.pack_index import parse_trailer, trailer
from dedup.values import Digest

PAYLOAD_END = 1 << 20
COUNT_AT = 8  # the number of chunks in a trailer


def fuzz(data: bytes) -> None:
    """Read *data* as a kind and a trailer."""
    kind: PackKind = "data" if data[:1] == b"\1" else "recipes"
    index = data[1:]
    count = int.from_bytes(index[COUNT_AT : COUNT_AT + 4], "little")
    try:
        blocks = parse_trailer(index, _footer(kind, count, index))
    except FormatError:
        return
    at = HEADER_LEN
    for block in blocks:
        assert at <= block.offset
        at = block.offset + block.stored_len
        assert at <= PAYLOAD_END
        assert sum(chunk.length for chunk in block.chunks) == block.raw_len
    assert sum(len(block.chunks) for block in blocks) == count
    again = trailer(kind, blocks)
    assert parse_trailer(again, _footer(kind, count, again)) == blocks


def _footer(kind: PackKind, count: int, index: bytes) -> Footer:
    return Footer(kind, count, PAYLOAD_END, len(index), Digest(bytes(32)))
