"""Packs: many chunks (or recipes) in one immutable object that describes itself.

Used by migrate (writing), rebuild, scrub, gc and audit (reading). Layout (docs/formats.md has the bytes):

    header | block header, payload | block header, payload | ... | trailer | footer

A block is the unit of compression and of a ranged read: one large chunk, or many small ones. A reader who has the
object's size needs two ranged reads for the index. A pack whose end is damaged is scanned by its block headers
(dedup.recovery). Nothing here opens a file: writers get a stream, readers a function that returns a byte range.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from blake3 import blake3

from dedup.errors import FormatError
from dedup.fingerprint import Buffer
from dedup.layout import (
    BLOCK_FIXED_LEN,
    BLOCK_MAGIC,
    FOOTER_LEN,
    HEADER_LEN,
    MAX_PACK_BYTES,
    PackKind,
    block_header,
    block_header_len,
    checked_block,
    footer,
    pack_header,
    parse_block_header,
    parse_footer,
    parse_pack_header,
)
from dedup.pack_index import parse_trailer, trailer
from dedup.values import Block, ChunkPart, Digest, ScannedBlock, Span

ReadSpan = Callable[[Span], bytes]
"""Returns exactly the bytes of a span of the pack."""

# One read this long holds the whole index of a pack of 64 MiB in chunks of 32 KiB (43 bytes each), so that most packs
# cost one request.
FIRST_READ = 128 << 10
SCAN_WINDOW = 4 << 20


@dataclass(frozen=True, slots=True)
class PackSummary:
    """A finished pack."""

    blocks: tuple[Block, ...]
    """In pack order."""
    size_bytes: int
    """Of the whole object."""
    framing_bytes: int
    """size_bytes less the stored bytes of the blocks: headers, trailer, footer."""
    content_hash: str
    """BLAKE3 of trailer and footer, which name every chunk by its digest and place: 64 hex digits. Not of the payloads:
    a store proves those by its checksum, and a reader by the chunks' digests."""


class PackWriter:
    """Writes one pack to a stream that it neither seeks nor closes. One thread at a time.

    Deterministic: the same blocks give the same bytes. After an error of the stream the pack is worthless: drop it.
    """

    def __init__(self, out: BinaryIO, *, kind: PackKind) -> None:
        """Prepare a pack of *kind* on *out*; the header is written with the first block, or by finish()."""
        self._out = out
        self._kind: PackKind = kind
        self._blocks: list[Block] = []
        self._chunk_count = 0
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes written so far, trailer and footer not included."""
        return self._size_bytes

    @property
    def chunk_count(self) -> int:
        """Chunks or recipes added so far."""
        return self._chunk_count

    def add_block(
        self, codec: str, payload: Buffer, raw_len: int, chunks: Sequence[ChunkPart], base: Digest | None = None
    ) -> Block:
        """Append one block and return where it stands; *raw_len* and *chunks* are of the decoded bytes.

        Raises FormatError, having written nothing, if the chunks do not add up to *raw_len*, more than one comes with
        a base, or a length or name is beyond the format's limits.
        """
        self._begin()
        block = checked_block(
            Block(0, len(payload), raw_len, codec, tuple(chunks), base, self._chunk_count), self._kind
        )
        header = block_header(block, self._size_bytes)
        block = Block(self._size_bytes + len(header), len(payload), raw_len, codec, block.chunks, base, block.first)
        self._write(header)
        self._write(payload)
        self._blocks.append(block)
        self._chunk_count += len(block.chunks)
        return block

    def finish(self) -> PackSummary:
        """Write trailer and footer and say what was written. The stream is not flushed; call once."""
        self._begin()
        offset = self._size_bytes
        index = trailer(self._kind, self._blocks)
        end = index + footer(self._kind, self._chunk_count, offset, index)
        self._write(end)
        stored = sum(block.stored_len for block in self._blocks)
        return PackSummary(
            blocks=tuple(self._blocks),
            size_bytes=self._size_bytes,
            framing_bytes=self._size_bytes - stored,
            content_hash=blake3(end).hexdigest(),
        )

    def _begin(self) -> None:
        if self._size_bytes == 0:
            self._write(pack_header(self._kind))

    def _write(self, data: Buffer) -> None:
        self._out.write(data)
        self._size_bytes += len(data)


def read_trailer(read: ReadSpan, size_bytes: int) -> list[Block]:
    """Return the blocks of a pack of *size_bytes*, in pack order, with at most two calls of *read*.

    Raises FormatError if footer or trailer are damaged (dedup.recovery may still help) or this is not a pack.
    """
    if not HEADER_LEN + FOOTER_LEN <= size_bytes <= MAX_PACK_BYTES:
        raise FormatError(f"{size_bytes} bytes cannot be a pack")
    tail_len = min(size_bytes, FIRST_READ)
    tail = _exactly(read, Span(size_bytes - tail_len, tail_len))
    end = parse_footer(tail[-FOOTER_LEN:], size_bytes)
    missing = end.trailer_len + FOOTER_LEN - tail_len
    if missing > 0:
        tail = _exactly(read, Span(end.trailer_offset, missing)) + tail
    index = tail[len(tail) - FOOTER_LEN - end.trailer_len : len(tail) - FOOTER_LEN]
    if blake3(index).digest() != end.trailer_digest:
        raise FormatError("pack trailer fails its digest")
    return parse_trailer(index, end)


def content_hash(read: ReadSpan, size_bytes: int) -> str:
    """Return what PackSummary.content_hash said of a pack when it was written, by its last bytes.

    Raises FormatError if its footer is damaged, or this is not a pack.
    """
    if not HEADER_LEN + FOOTER_LEN <= size_bytes <= MAX_PACK_BYTES:
        raise FormatError(f"{size_bytes} bytes cannot be a pack")
    end = parse_footer(_exactly(read, Span(size_bytes - FOOTER_LEN, FOOTER_LEN)), size_bytes)
    return blake3(_exactly(read, Span(end.trailer_offset, size_bytes - end.trailer_offset))).hexdigest()


def read_kind(read: ReadSpan) -> PackKind:
    """Return the kind of a pack from its header. Raises FormatError if it is not one."""
    return parse_pack_header(_exactly(read, Span(0, HEADER_LEN)))


def scan_pack(read: ReadSpan, size_bytes: int) -> Iterator[ScannedBlock]:
    """Yield the blocks that can be recognised in a pack whose trailer is damaged, in order.

    A damaged block header costs its own block only. Payloads are not looked at: dedup.recovery decodes them. Memory is
    bounded by SCAN_WINDOW. Never raises for damage; *read* may raise what it likes.
    """
    window = _Window(read, size_bytes)
    position = window.find(BLOCK_MAGIC, 0)
    while position >= 0:
        try:
            header_len = block_header_len(window.take(position, BLOCK_FIXED_LEN))
            block = parse_block_header(window.take(position, header_len), position)
            if block.offset + block.stored_len > size_bytes:
                raise FormatError("block is cut short")
            yield block
            following = block.offset + block.stored_len
        except FormatError:
            following = position + 1  # the four letters stand in a payload or a damaged header: look on
        position = window.find(BLOCK_MAGIC, following)


class _Window:
    """A pack seen through a window of SCAN_WINDOW bytes that only moves forward."""

    def __init__(self, read: ReadSpan, size_bytes: int) -> None:
        self._read = read
        self._size_bytes = size_bytes
        self._start = 0
        self._data = b""

    def find(self, needle: bytes, start: int) -> int:
        """Return the first place of *needle* from *start* on, or -1."""
        while start < self._size_bytes:
            self.take(start, len(needle))
            at = self._data.find(needle, start - self._start)
            if at >= 0:
                return self._start + at
            start = self._start + len(self._data)
            if start >= self._size_bytes:
                return -1
            start -= len(needle) - 1
        return -1

    def take(self, start: int, length: int) -> bytes:
        """Return *length* bytes from *start* on, fewer only at the end of the pack."""
        end = min(start + length, self._size_bytes)
        if start < self._start or end > self._start + len(self._data):
            longest = min(max(SCAN_WINDOW, length), self._size_bytes - start)
            self._start, self._data = start, _exactly(self._read, Span(start, longest))
        return self._data[start - self._start : end - self._start]


def _exactly(read: ReadSpan, span: Span) -> bytes:
    data = read(span)
    if len(data) != span.length:
        raise FormatError(f"pack ends {span.length - len(data)} bytes early")
    return data
