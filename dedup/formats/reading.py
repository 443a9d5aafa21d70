"""How parsers read a file they do not trust: exact, bounded, in windows; and the one way to say that they doubt it.

Used by every parser of dedup.formats. Nothing here interprets bytes.
"""

from dedup.values import RandomSource, Span

MIB = 1 << 20

# The most one read may return: no header of a format we know is longer (safetensors with 100,000 tensors: 13 MB).
LONGEST_READ = 16 * MIB
# One window serves many small reads: 64 KiB holds the headers of a few dozen small members, and costs 10 us to read.
WINDOW_BYTES = 64 << 10
# Members longer than a window are skipped over: then a header alone is read, one page of the disk.
LONE_BYTES = 4 << 10


class Doubt(Exception):
    """The bytes are not, or not quite, what the parser takes them for: it withdraws and the file stays generic."""


class Reader:
    """Reads a stretch of a source, as if it were a file of its own. Not thread-safe.

    Offsets count from the stretch's start. Whatever lies outside, and whatever is too long, is a Doubt; what the
    source itself raises passes through.
    """

    __slots__ = ("_held", "_held_from", "_source", "_start", "size")

    def __init__(self, source: RandomSource, span: Span | None = None) -> None:
        self._source = source
        self._start = span.start if span is not None else 0
        self.size = span.length if span is not None else source.size
        self._held = b""
        self._held_from = 0

    def exact(self, offset: int, length: int) -> bytes:
        """Return *length* bytes from *offset* on; Doubt if they are not all there or more than LONGEST_READ."""
        if not 0 <= length <= LONGEST_READ or offset < 0 or offset + length > self.size:
            raise Doubt(f"{length} bytes at {offset} of {self.size}")
        data = self._source.read_at(self._start + offset, length)
        if len(data) != length:
            raise Doubt(f"{len(data)} of {length} bytes at {offset}")
        return data

    def near(self, offset: int, length: int) -> bytes:
        """Return what exact() would; cheap for many short reads that ascend."""
        begin = offset - self._held_from
        if begin >= 0 and begin + length <= len(self._held) and 0 <= offset <= self.size - length:
            return self._held[begin : begin + length]
        follows = self._held_from <= offset <= self._held_from + len(self._held) + WINDOW_BYTES
        window = max(length, WINDOW_BYTES if follows else LONE_BYTES)
        held = self.exact(offset, max(length, min(window, self.size - offset)))
        self._held, self._held_from = held, offset
        return held[:length]

    def part(self, span: Span) -> "Reader":
        """Return a reader of *span* of this stretch; Doubt if it reaches beyond."""
        if span.start < 0 or span.length < 0 or span.end > self.size:
            raise Doubt(f"{span} of {self.size}")
        reader = Reader(self._source, Span(self._start + span.start, span.length))
        # What is held of this stretch may hold the other's head: a small member is read once.
        reader._held, reader._held_from = self._held, self._held_from - span.start
        return reader

    def read_at(self, offset: int, length: int) -> bytes:
        """Return *length* bytes, fewer at the stretch's end: a reader is a RandomSource too."""
        wanted = max(0, min(length, self.size - offset))
        return self._source.read_at(self._start + offset, wanted) if wanted else b""
