"""Where the pages of a parquet column chunk begin and end, and which of their bytes are compressed.

Used by the parquet parser, which follows the pages through the file, and by dedup.snappy_page, which takes them apart.
Format: apache/parquet-format, parquet.thrift.
"""

from dataclasses import dataclass

from dedup.formats.reading import Doubt
from dedup.formats.thrift import Number, Wanted, read_struct

_DATA_V2 = 3
_PAGE: Wanted = {1: Number(), 2: Number(), 3: Number(), 8: {5: Number(), 6: Number(), 7: Number()}}


@dataclass(frozen=True, slots=True)
class Page:
    """One page: header, bytes that are never compressed (the levels of a v2 page), bytes that the codec wrote."""

    head_len: int
    """Header and levels."""
    coded_len: int
    """What the codec wrote, or plain bytes if the page says that it is not compressed; may be 0."""
    plain_len: int
    """What the coded bytes stand for, if the header tells the truth."""
    is_compressed: bool

    @property
    def length(self) -> int:
        """All its bytes in the file."""
        return self.head_len + self.coded_len


def read_page(data: bytes, at: int) -> Page:
    """Return the page whose header begins at *at* of *data*; its body need not be in *data*.

    Raises Doubt if that is no page header, Truncated if *data* ends within it. Lengths are never negative; that the
    page fits where it stands is for the caller to see.
    """
    header, end = read_struct(data, at, _PAGE)
    try:
        kind, plain_len, coded_len = header[1], header[2], header[3]
    except KeyError:
        raise Doubt("a page header lacks a field") from None
    levels, is_compressed = 0, True
    if kind == _DATA_V2:
        second = header.get(8, {})
        repetition, definition = second.get(6, 0), second.get(5, 0)
        if repetition < 0 or definition < 0:
            raise Doubt("levels of negative length")
        levels, is_compressed = repetition + definition, bool(second.get(7, 1))
    if not (levels <= plain_len < 1 << 31 and levels <= coded_len < 1 << 31):
        raise Doubt(f"a page of {plain_len} bytes in {coded_len}, levels {levels}")
    return Page(end - at + levels, coded_len - levels, plain_len - levels, is_compressed)
