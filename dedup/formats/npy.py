"""npy: a magic, a Python literal that says the type and shape, then the array.

Used by dedup.formats for .npy files and for the stored members of .npz. https://numpy.org/doc/stable/reference/
generated/numpy.lib.format.html. The literal is searched for its type string, never evaluated.
"""

import re

from dedup.formats.covering import GENERIC, TENSOR, TEXT, cover
from dedup.formats.elements import NUMPY, fitting
from dedup.formats.reading import Doubt, Reader
from dedup.values import Region, Span

MAGIC = b"\x93NUMPY"
# numpy itself writes less than 64 KiB unless the type is a structure of thousands of fields.
LONGEST_HEADER = 1 << 20

_TYPE = re.compile(rb"['\"]descr['\"]\s*:\s*['\"]([<>|=]?[A-Za-z][0-9]{0,4})(?:\[[0-9A-Za-z]{1,8}\])?['\"]")
_STRUCTURE = re.compile(rb"['\"]descr['\"]\s*:\s*\[")


def segment_npy(reader: Reader) -> list[Region]:
    """Return the header as text and the array as one tensor without a name, for it is data more often than weights; an
    array of objects is a pickle: generic.
    """
    prefix = reader.exact(0, 10)
    if prefix[:6] != MAGIC or prefix[6] not in {1, 2, 3}:
        raise Doubt("not npy")
    wide = prefix[6] > 1
    start = 12 if wide else 10
    length = int.from_bytes(reader.exact(8, 4 if wide else 2), "little")
    if length > LONGEST_HEADER:
        raise Doubt("header too long")
    header = reader.exact(start, length)
    start += length
    body = Span(start, reader.size - start)
    return cover([Region(Span(0, start), TEXT), _array(header, body)], reader.size)


def _array(header: bytes, body: Span) -> Region:
    match = _TYPE.search(header)
    if match is None:
        if _STRUCTURE.search(header) is None:
            raise Doubt("no type in the header")
        return Region(body, TENSOR)
    described = match[1].decode("ascii")
    if described.endswith(("O", "S", "U")) or described[1:2] in {"O", "S", "U", "V"}:
        return Region(body, GENERIC)
    return Region(body, TENSOR, fitting(NUMPY.get(described, ""), body.length))
