"""safetensors: a little-endian length, a JSON header of that length, then the tensors.

Used by dedup.formats. https://github.com/huggingface/safetensors#format. The header of a fine-tune has another length
than its base's: tensors are found at other offsets, with the same bytes.
"""

import json
import struct

from dedup.formats.covering import LONGEST_NAME, TENSOR, TEXT, cover
from dedup.formats.elements import SAFETENSORS, fitting
from dedup.formats.reading import LONGEST_READ, Doubt, Reader
from dedup.values import Region, Span

# A tensor takes one brace and two brackets, about ten commas. JSON values take up to 72 bytes of memory each: these
# limits hold a hostile header of 16 MiB to about 50 MB, and an honest one of 60,000 tensors to as much.
MOST_BRACKETS = 190_000
MOST_COMMAS = 1_000_000


def looks_like(head: bytes, size: int) -> bool:
    """Tell whether a file of *size* bytes that begins with *head* may be safetensors."""
    if len(head) < 10 or head[8:9] != b"{":
        return False
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= min(size - 8, LONGEST_READ)


def segment_safetensors(reader: Reader) -> list[Region]:
    """Return the header as text, each tensor as a region of its name; Doubt when anything does not add up."""
    (length,) = struct.unpack("<Q", reader.exact(0, 8))
    raw = reader.exact(8, length)
    if raw.count(b"{") + raw.count(b"[") > MOST_BRACKETS or raw.count(b",") > MOST_COMMAS:
        raise Doubt("header of too many values")
    header = json.loads(raw)
    if not isinstance(header, dict):
        raise Doubt("header is no object")
    start = 8 + length
    tensors = [_tensor(name, entry, start) for name, entry in header.items() if name != "__metadata__"]
    return cover([Region(Span(0, start), TEXT), *tensors], reader.size)


def _tensor(name: str, entry: object, start: int) -> Region:
    if not isinstance(entry, dict):
        raise Doubt("entry is no object")
    dtype, offsets = entry.get("dtype"), entry.get("data_offsets")
    if not isinstance(dtype, str) or not isinstance(offsets, list) or len(offsets) != 2:
        raise Doubt("entry without type or offsets")
    first, last = offsets
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise Doubt("offsets are no range")
    element = fitting(SAFETENSORS.get(dtype, ""), last - first)
    return Region(Span(start + first, last - first), TENSOR, element, name[:LONGEST_NAME])
