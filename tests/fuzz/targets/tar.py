"""Tar files: headers whose checksum is made to fit, since a fuzzer would hardly ever hit one."""

from dedup.formats.reading import Reader
from dedup.formats.tar import BLOCK, segment_tar
from dedup.values import Region, Span
from tests.fuzz.parsing import holds


def fuzz(data: bytes) -> None:
    """Read *data* as a tar."""
    fitting = bytearray(data)
    for start in range(0, len(data) - BLOCK + 1, BLOCK):
        if any(fitting[start : start + BLOCK]):
            fitting[start + 148 : start + 156] = b" " * 8
            fitting[start + 148 : start + 156] = b"%06o\0 " % sum(fitting[start : start + BLOCK])
    holds(_segmented, bytes(fitting))


def _segmented(reader: Reader) -> list[Region]:
    return segment_tar(reader, lambda body: [Region(Span(0, body.size), "media")])
