"""Deltas: a tensor told by another one like it, which is subtracted from it, or by which it is sorted.

Used by dedup.codecs.choice. An update of absolute size d is d / ulp(exponent) units, so a stable sort by the exponent
of the base, which the decoder has, leaves runs of like size that the Huffman coder adapts to: 17-35 % smaller than XOR.
"""

from typing import Any

from numpy.typing import NDArray

from dedup.codecs import frames, table, transforms
from dedup.codecs.elements import ELEMENTS, Sorting, context, difference
from dedup.codecs.samples import spread
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer

DELTA, CONTEXT = "delta-1", "context-1"
FORMS = {DELTA: 4, CONTEXT: 5}
_SORTINGS = {DELTA: difference, CONTEXT: context}

_SAMPLE_WORDS = 512


def attempt(data: Buffer, base: Buffer, way: str, *, element: str) -> float:
    """Return coded bytes / raw bytes of a sample of *data* against *base* (as long) in *way*, DELTA or CONTEXT.

    Too high by up to a third for a close base: a sample is too short for the sorted runs to have tables of their own.
    """
    width = ELEMENTS[element].width
    words, like = (spread(_whole(block, width), _SAMPLE_WORDS) for block in (data, base))
    planes = transforms.split(transforms.scatter(words, like, _SORTINGS[way](element)), 0)
    return sum(table.cost(plane) for plane in planes) / max(1, len(words) * width)


def encode(data: Buffer, base: Buffer, way: str, *, element: str, level: int) -> tuple[bytes, str]:
    """Return (payload of *data* against *base*, which is as long; what became of the planes)."""
    width = ELEMENTS[element].width
    words = transforms.scatter(_whole(data, width), _whole(base, width), _SORTINGS[way](element))
    view = memoryview(data).cast("B")
    ends = (view[:0], view[len(words) * width :])
    return table.pack(FORMS[way], transforms.split(words, 0), (level, frames.FINE), ends=ends, raw=data)


def decode(payload: Buffer, raw_len: int, base: Buffer, *, way: str, element: str) -> bytes:
    """Return the *raw_len* bytes of *payload*. Raises CorruptChunk, also where *base* is not of that length."""
    width = ELEMENTS[element].width
    if len(base) != raw_len:
        raise CorruptChunk(f"{way} of {raw_len} bytes against a base of {len(base)}")
    opened = table.unpack(payload, raw_len, shapes={FORMS[way]: (width, width)})
    if len(opened.head):
        raise CorruptChunk(f"{way} has {len(opened.head)} bytes before its first word")
    sorting: Sorting = _SORTINGS[way](element)
    return table.sealed(opened, transforms.gather(transforms.join(opened.planes, 0), _whole(base, width), sorting))


def _whole(block: Buffer, width: int) -> NDArray[Any]:
    view = memoryview(block).cast("B")
    return transforms.words_of(view[: len(view) // width * width], width)
