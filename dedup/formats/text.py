"""Whether bytes are text: jsonl, csv, source code, logs.

Used by dedup.formats and for the members of archives. By content alone: UTF-8 without control characters. Text in
other encodings stays generic.
"""

from dedup.formats.reading import Reader

# 4 KiB takes 3 us to look at.
SAMPLE_BYTES = 4 << 10
# A table with a picture in its middle is rare; eight places catch it if it is large. A file shorter than that is looked
# at once more, at its end.
SAMPLES = 8

ALLOWED = bytes({9, 10, 12, 13, 27, *range(32, 127), *range(128, 256)})


def is_text(head: bytes) -> bool:
    """Tell whether *head* is text; its last character may be cut off. Nothing is no text."""
    head = head[:SAMPLE_BYTES]
    if not head or head.translate(None, ALLOWED):
        return False
    return _is_utf8(head)


def is_text_throughout(reader: Reader) -> bool:
    """Tell whether SAMPLES spread stretches of a file are all text."""
    if reader.size <= SAMPLE_BYTES:
        return is_text(reader.near(0, reader.size))
    last = reader.size - SAMPLE_BYTES
    steps = 1 if reader.size <= SAMPLES * SAMPLE_BYTES else SAMPLES - 1
    places = [last * step // steps for step in range(steps + 1)]
    return all(is_text(_from_a_character(reader.near(place, SAMPLE_BYTES))) for place in places)


def _is_utf8(sample: bytes) -> bool:
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        # A character of up to four bytes that the sample's end cuts in two.
        return error.reason == "unexpected end of data" and error.start >= len(sample) - 3
    return True


def _from_a_character(sample: bytes) -> bytes:
    """Return *sample* from its first whole character on."""
    start = 0
    while start < 3 and start < len(sample) and sample[start] & 0xC0 == 0x80:
        start += 1
    return sample[start:]
