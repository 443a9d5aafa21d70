"""Parquet: column chunks found by the footer, snappy pages in runs that can be stored plain.

Used by dedup.formats. A run is whole pages of one column chunk; dedup.snappy_page stores it as what its pages
decompress to, and makes the very same bytes of that again. Pages of other codecs are left as they are: no encoder of
ours reproduces those.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dedup.formats.covering import MEDIA, cover
from dedup.formats.parquet_pages import Page, read_page
from dedup.formats.reading import MIB, Doubt, Reader
from dedup.formats.thrift import Listed, Number, Struct, Truncated, Wanted, read_struct
from dedup.snappy import MOST_PER_BYTE
from dedup.values import RandomSource, Region, Span

MAGIC = b"PAR1"
PAGE = "page"
WRAP = "snappy-page:1"
# Enough for some 200 chunks, so that where runs begin and end costs little; with what it is taken apart into, 20 MB.
RUN_BYTES = 4 * MIB
# A page is held in memory in both forms; writers make pages of 1 MiB, and dictionaries of 1 MiB.
LONGEST_PAGE = 64 * MIB
# 100 columns in 10,000 row groups. The pages of a chunk are not limited in number: their headers take bytes of it.
MOST_CHUNKS = 1_000_000

_UNCOMPRESSED, _SNAPPY = 0, 1
_TAIL = 8
_HEADER_WINDOWS = (256, 8 << 10, 1 << 20)
_COLUMN: Wanted = {4: Number(), 7: Number(), 9: Number(), 11: Number()}
_FOOTER: Wanted = {4: Listed({1: Listed({3: _COLUMN})})}


@dataclass(frozen=True, slots=True)
class _ColumnChunk:
    span: Span
    codec: int


def segment_parquet(source: RandomSource) -> list[Region] | None:
    """Return the regions of a parquet file; None if it is none, or is encrypted, or its footer cannot be believed.

    Regions of kind "page" with a wrap are runs of snappy pages, those without a wrap uncompressed column chunks.
    Column chunks whose pages cannot be followed are "media" from there on. Raises only what *source* raises.
    """
    reader = Reader(source)
    try:
        chunks = _column_chunks(reader)
        regions = [region for chunk in chunks for region in _regions(reader, chunk)]
        return cover(regions, reader.size)
    except Doubt:
        return None


def _column_chunks(reader: Reader) -> list[_ColumnChunk]:
    """Return the column chunks that lie in the file, ascending; Doubt if any two overlap."""
    if reader.size < 2 * len(MAGIC) + _TAIL or reader.exact(0, len(MAGIC)) != MAGIC:
        raise Doubt("not parquet")
    tail = reader.exact(reader.size - _TAIL, _TAIL)
    length = int.from_bytes(tail[:4], "little")
    end = reader.size - _TAIL - length
    if tail[4:] != MAGIC or end < len(MAGIC):
        raise Doubt("no footer")
    footer, _ = read_struct(reader.exact(end, length), 0, _FOOTER)
    columns = [column.get(3) for group in footer.get(4, []) for column in group.get(1, [])]
    if len(columns) > MOST_CHUNKS:
        raise Doubt(f"{len(columns)} column chunks")
    chunks = sorted((_placed(column) for column in columns if column), key=lambda chunk: chunk.span.start)
    before = len(MAGIC)
    for chunk in chunks:
        if chunk.span.start < before or chunk.span.end > end:
            raise Doubt(f"a column chunk at {chunk.span}, after {before}, before {end}")
        before = chunk.span.end
    return chunks


def _placed(column: Struct) -> _ColumnChunk:
    try:
        start, length, codec = column[9], column[7], column[4]
    except KeyError:
        raise Doubt("a column chunk lacks a field") from None
    dictionary = column.get(11, 0)
    # Some writers set the dictionary's offset to 0 where there is none.
    start = min(start, dictionary) if dictionary > 0 else start
    if start < 0 or length < 0:
        raise Doubt("a column chunk at a negative place")
    return _ColumnChunk(Span(start, length), codec)


def _regions(reader: Reader, chunk: _ColumnChunk) -> Iterator[Region]:
    if chunk.codec == _UNCOMPRESSED:
        yield Region(chunk.span, PAGE)
    elif chunk.codec == _SNAPPY:
        yield from _runs(reader, chunk.span)
    else:
        yield Region(chunk.span, MEDIA)


def _runs(reader: Reader, span: Span) -> Iterator[Region]:
    """Yield the runs of the snappy pages in *span*; what cannot be followed, and pages too long, as media."""
    start = at = span.start
    held = 0
    while at < span.end:
        page = _page(reader, at, span.end)
        if page is None or page.length > LONGEST_PAGE or page.plain_len > LONGEST_PAGE:
            break
        if held and held + page.plain_len > RUN_BYTES:
            yield Region(Span(start, at - start), PAGE, wrap=WRAP)
            start, held = at, 0
        at += page.length
        held += page.length if not page.is_compressed else page.plain_len
    if at > start:
        yield Region(Span(start, at - start), PAGE, wrap=WRAP)
    if at < span.end:
        yield Region(Span(at, span.end - at), MEDIA)


def _page(reader: Reader, at: int, end: int) -> Page | None:
    """Return the page at *at* if it is one and ends by *end*; None otherwise."""
    for window in _HEADER_WINDOWS:
        try:
            page = read_page(reader.near(at, min(window, end - at)), 0)
        except Truncated:
            continue
        except Doubt:
            return None
        believable = page.plain_len <= MOST_PER_BYTE * page.coded_len if page.is_compressed else True
        return page if believable and at + page.length <= end else None
    return None
