"""Packs: many chunks (or recipes) in one immutable object that describes itself.

Used by migrate (writing), rebuild, scrub, gc and audit (reading). Layout (docs/formats.md has the bytes):

    header | chunk header, payload | chunk header, payload | ... | trailer | footer

A reader who has the object's size needs two ranged reads for the index. A pack whose end is damaged is scanned by its
chunk headers. Nothing here opens a file: writers get a stream, readers a function that returns a byte range.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from blake3 import blake3

from dedup.errors import FormatError
from dedup.fingerprint import Buffer
from dedup.layout import (
    CHUNK_MAGIC,
    FOOTER_LEN,
    HEADER_LEN,
    LONGEST_CHUNK_HEADER,
    MAX_PACK_BYTES,
    PackKind,
    checked_entry,
    chunk_header,
    footer,
    pack_header,
    parse_chunk_header,
    parse_footer,
    parse_pack_header,
    parse_trailer,
    trailer,
)
from dedup.values import Digest, Fingerprint, PackEntry, Span

ReadSpan = Callable[[Span], bytes]
"""Returns exactly the bytes of a span of the pack."""

# One read this long holds the whole index of a pack of 64 MiB in chunks of 64 KiB (66 bytes each), so that most packs
# cost one request.
FIRST_READ = 128 << 10
SCAN_WINDOW = 4 << 20


@dataclass(frozen=True, slots=True)
class PackSummary:
    """A finished pack."""

    entries: tuple[PackEntry, ...]
    """In pack order."""
    size_bytes: int
    """Of the whole object."""
    framing_bytes: int
    """size_bytes less the stored bytes of the entries: headers, trailer, footer."""
    content_hash: str
    """BLAKE3 of the whole object, 64 hex digits."""


class PackWriter:
    """Writes one pack to a stream that it neither seeks nor closes. One thread at a time.

    Deterministic: the same adds give the same bytes. After an error of the stream the pack is worthless: drop it.
    """

    def __init__(self, out: BinaryIO, *, kind: PackKind) -> None:
        """Prepare a pack of *kind* on *out*; the header is written with the first chunk, or by finish()."""
        self._out = out
        self._kind: PackKind = kind
        self._entries: list[PackEntry] = []
        self._hasher = blake3()
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Bytes written so far, trailer and footer not included."""
        return self._size_bytes

    @property
    def entry_count(self) -> int:
        """Chunks added so far."""
        return len(self._entries)

    def add(self, fingerprint: Fingerprint, digest: Digest, raw_len: int, codec: str, payload: Buffer) -> PackEntry:
        """Append one chunk and return where it stands; *raw_len* and *digest* are of the decoded bytes.

        Raises FormatError, having written nothing, if a length or the codec's name is beyond the format's limits.
        """
        self._begin()
        entry = checked_entry(PackEntry(fingerprint, digest, raw_len, len(payload), 0, codec))
        header = chunk_header(entry, self._size_bytes)
        entry = PackEntry(fingerprint, digest, raw_len, len(payload), self._size_bytes + len(header), codec)
        self._write(header)
        self._write(payload)
        self._entries.append(entry)
        return entry

    def finish(self) -> PackSummary:
        """Write trailer and footer and say what was written. The stream is not flushed; call once."""
        self._begin()
        offset = self._size_bytes
        index = trailer(self._entries)
        self._write(index)
        self._write(footer(self._kind, len(self._entries), offset, index))
        stored = sum(entry.stored_len for entry in self._entries)
        return PackSummary(
            entries=tuple(self._entries),
            size_bytes=self._size_bytes,
            framing_bytes=self._size_bytes - stored,
            content_hash=self._hasher.hexdigest(),
        )

    def _begin(self) -> None:
        if self._size_bytes == 0:
            self._write(pack_header(self._kind))

    def _write(self, data: Buffer) -> None:
        self._out.write(data)
        self._hasher.update(data)
        self._size_bytes += len(data)


def read_trailer(read: ReadSpan, size_bytes: int) -> list[PackEntry]:
    """Return the entries of a pack of *size_bytes*, in pack order, with at most two calls of *read*.

    Raises FormatError if footer or trailer are damaged (scan_pack() may still help) or this is not a pack.
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
    return parse_trailer(index, entry_count=end.entry_count, payload_end=end.trailer_offset)


def read_kind(read: ReadSpan) -> PackKind:
    """Return the kind of a pack from its header. Raises FormatError if it is not one."""
    return parse_pack_header(_exactly(read, Span(0, HEADER_LEN)))


def scan_pack(read: ReadSpan, size_bytes: int) -> Iterator[PackEntry]:
    """Yield the chunks that can be recognised in a pack whose trailer is damaged, in order, reading it all.

    A damaged chunk header costs its own chunk only. Payloads are not looked at: open_chunk() decides whether one is
    sound. Memory is bounded by SCAN_WINDOW. Never raises for damage; *read* may raise what it likes.
    """
    position = 0
    while position < size_bytes:
        base, cursor = position, 0
        window = read(Span(base, min(SCAN_WINDOW, size_bytes - base)))
        while (entry := _next_header(window, base, cursor, size_bytes)) is not None:
            yield entry
            cursor = entry.offset + entry.stored_len - base
        if cursor < len(window):
            if base + len(window) >= size_bytes:
                return
            # A header may straddle the end of the window: the next one begins early enough to hold it whole.
            cursor = max(cursor, len(window) - LONGEST_CHUNK_HEADER, 1)
        position = base + max(cursor, 1)


def _next_header(window: bytes, base: int, start: int, size_bytes: int) -> PackEntry | None:
    """Return the first sound chunk header of *window* from *start* on; *base* is the window's place in the pack."""
    at = window.find(CHUNK_MAGIC, start)
    while at >= 0:
        try:
            entry = parse_chunk_header(window[at : at + LONGEST_CHUNK_HEADER], base + at)
            if entry.offset + entry.stored_len <= size_bytes:
                return entry
        except FormatError:
            pass  # the four letters stand in a payload or a damaged header: look on
        at = window.find(CHUNK_MAGIC, at + 1)
    return None


def _exactly(read: ReadSpan, span: Span) -> bytes:
    data = read(span)
    if len(data) != span.length:
        raise FormatError(f"pack ends {span.length - len(data)} bytes early")
    return data
