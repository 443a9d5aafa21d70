"""Segments: any bytes are one segment whose records a digest confirms, or a DedupError."""

from dedup.errors import DedupError
from dedup.segment import decode_segment, encode_segment, segment_hash


def fuzz(data: bytes) -> None:
    """Read *data* as a segment."""
    try:
        segment = decode_segment(data)
    except DedupError:
        return
    assert segment.hash == segment_hash(data)
    again = decode_segment(encode_segment(segment.number, segment.prev_hash, segment.records))
    assert (again.number, again.prev_hash, again.records) == (segment.number, segment.prev_hash, segment.records)
