"""HDF5 as h5py, Keras and PyTables write it by default: groups of symbol tables, datasets in one piece.

Used by dedup.formats. HDF5 File Format Specification 3.0: superblock versions 0 and 1, object headers and B-trees of
version 1. Chunked or compressed datasets and the newer groups stay generic. Addresses may lead anywhere: every object
is entered once, and all that is followed is counted.
"""

import struct
from collections.abc import Iterator

from dedup.formats.covering import LONGEST_NAME, SMALL_BYTES, TENSOR, cover
from dedup.formats.elements import fitting
from dedup.formats.reading import Doubt, Reader
from dedup.values import Region, Span

MAGIC = b"\x89HDF\r\n\x1a\n"
# A model has a few thousand datasets, each of some five blocks.
MOST_BLOCKS = 100_000
MOST_OBJECTS = 50_000
MOST_MESSAGES = 4_096

_DATATYPE, _LAYOUT, _CONTINUED, _SYMBOLS = 0x03, 0x08, 0x10, 0x11
_INTEGER, _FLOAT = 0, 1
_SIGNED = 8
_CONTIGUOUS = 1
_NOWHERE = (1 << 64) - 1
_LONGEST_BLOCK = 1 << 20


def segment_hdf5(reader: Reader) -> list[Region]:
    """Return each contiguous dataset of SMALL_BYTES and more as a tensor named by its path, the rest as generic."""
    head = reader.exact(0, 96)
    if head[:8] != MAGIC or head[8] > 1 or head[13:15] != b"\x08\x08":
        raise Doubt("an HDF5 that is not known here")
    # Version 1 has four bytes more before the addresses; the root's entry follows four of those.
    root_at = (24 if head[8] == 0 else 28) + 4 * 8
    if head[root_at - 32 : root_at - 24] != bytes(8):
        raise Doubt("addresses do not count from the start")
    walk = _Walk(reader)
    (root,) = struct.unpack_from("<Q", head, root_at + 8)
    pending, seen = [(root, "")], {root}
    regions: dict[Span, Region] = {}
    while pending:
        place, path = pending.pop()
        for name, child in walk.children(place):
            if child not in seen:
                if len(seen) > MOST_OBJECTS:
                    raise Doubt("too many objects")
                seen.add(child)
                pending.append((child, f"{path}/{name}"[-LONGEST_NAME:] if path else name))
        region = walk.dataset(place, path)
        if region is not None and region.span.length >= SMALL_BYTES:
            # Two names of one dataset are one object; two objects with the same bytes are seen here.
            regions.setdefault(region.span, region)
    return cover(regions.values(), reader.size)


class _Walk:
    """Reads objects, and counts the blocks it reads."""

    __slots__ = ("_blocks", "_headers", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._blocks = 0
        self._headers: tuple[int, dict[int, bytes]] = (-1, {})

    def children(self, place: int) -> Iterator[tuple[str, int]]:
        """Yield (name, place) of what the group at *place* holds; nothing for a dataset."""
        symbols = self._messages(place).get(_SYMBOLS)
        if symbols is None:
            return
        tree, heap = struct.unpack_from("<QQ", symbols)
        signature, size, names = struct.unpack("<4s4xQ8xQ", self._block(heap, 32))
        if signature != b"HEAP" or size > _LONGEST_BLOCK:
            raise Doubt("no heap of names")
        texts = self._block(names, size)
        for leaf in self._leaves(tree):
            count = struct.unpack("<4s2xH", self._block(leaf, 8))[1]
            entries = self._block(leaf + 8, count * 40)
            for at in range(0, len(entries), 40):
                name_at, child = struct.unpack_from("<QQ", entries, at)
                end = texts.find(b"\0", name_at, name_at + LONGEST_NAME)
                yield texts[name_at : max(end, name_at)].decode("utf-8", "replace"), child

    def dataset(self, place: int, name: str) -> Region | None:
        """Return the dataset at *place* if its bytes stand in one piece."""
        messages = self._messages(place)
        layout, datatype = messages.get(_LAYOUT), messages.get(_DATATYPE)
        if layout is None or datatype is None or len(layout) < 18 or len(datatype) < 8:
            return None
        if layout[0] not in {3, 4} or layout[1] != _CONTIGUOUS:
            return None
        start, length = struct.unpack_from("<QQ", layout, 2)
        if start == _NOWHERE:
            return None
        return Region(Span(start, length), TENSOR, fitting(_element(datatype), length), name)

    def _leaves(self, tree: int) -> Iterator[int]:
        """Yield the places of the symbol nodes below the B-tree node *tree*."""
        pending, seen = [tree], {tree}
        while pending:
            place = pending.pop()
            signature, used = struct.unpack("<4s2xH", self._block(place, 8))
            if signature == b"SNOD":
                yield place
                continue
            if signature != b"TREE":
                raise Doubt("no tree of names")
            # Two siblings, then key and child in turn, and a last key.
            body = self._block(place + 24, used * 16)
            fresh = {struct.unpack_from("<Q", body, 16 * index + 8)[0] for index in range(used)} - seen
            seen |= fresh
            pending += sorted(fresh, reverse=True)

    def _messages(self, place: int) -> dict[int, bytes]:
        """Return the header messages of the object at *place* that are looked at here, the first of each type."""
        if self._headers[0] == place:
            return self._headers[1]
        version, count, size = struct.unpack("<BxH4xI4x", self._block(place, 16))
        if version != 1 or count > MOST_MESSAGES:
            raise Doubt("an object header that is not known here")
        found: dict[int, bytes] = {}
        blocks = [(place + 16, size)]
        while blocks:
            block = self._block(*blocks.pop())
            at = 0
            while at + 8 <= len(block) and count > 0:
                kind, length = struct.unpack_from("<HH", block, at)
                data = block[at + 8 : at + 8 + length]
                at, count = at + 8 + length, count - 1
                if kind == _CONTINUED:
                    start, size = struct.unpack_from("<QQ", data)
                    blocks.append((start, size))
                elif kind in {_DATATYPE, _LAYOUT, _SYMBOLS}:
                    found.setdefault(kind, data)
        self._headers = (place, found)
        return found

    def _block(self, place: int, length: int) -> bytes:
        self._blocks += 1
        if self._blocks > MOST_BLOCKS or length > _LONGEST_BLOCK:
            raise Doubt("too many blocks, or too long")
        return self._reader.near(place, length)


def _element(datatype: bytes) -> str:
    """Return the element of a datatype message; "" for big-endian and for all that is no number."""
    kind, bits = datatype[0] & 0x0F, datatype[1]
    (size,) = struct.unpack_from("<I", datatype, 4)
    if kind not in {_INTEGER, _FLOAT} or (bits & 1 and size > 1):
        return ""
    if kind == _FLOAT:
        return {2: "f16", 4: "f32", 8: "f64"}.get(size, "")
    return f"{'i' if bits & _SIGNED else 'u'}{8 * size}" if size in {1, 2, 4, 8} else ""
