"""The members of a zip file, by its central directory: where each one's bytes stand, and whether they are stored plain.

Used by dedup.formats for torch files, npz and any other zip. PKWARE APPNOTE 6.3, sections 4.3.7-4.3.16. The central
directory is the truth; of a local header only its own length is believed. Nothing is ever inflated.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dedup.formats.covering import MOST_REGIONS, cover, shifted
from dedup.formats.reading import LONGEST_READ, Doubt, Reader
from dedup.values import Region, Span

MAGIC = b"PK\x03\x04"
# About 300 bytes of memory each: 30 MB.
MOST_MEMBERS = 100_000

_END = struct.Struct("<4s4H2LH")
_END64_PLACE = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_MAX32 = 0xFFFFFFFF
_STORED = 0
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a zip."""

    name: str
    """As in the central directory; undecodable bytes replaced."""
    span: Span
    """Of its bytes as they stand in the file."""
    is_plain: bool
    """Neither compressed nor encrypted."""


Inner = Callable[[Reader, Member], list[Region]]
"""Segments one member's bytes, given as a file of its own; covers it, raises nothing for content."""


def members_of(reader: Reader) -> list[Member]:
    """Return the members in the order of their bytes. Raises Doubt for a directory that is cut off, lies about its
    place or size, or has more than MOST_MEMBERS entries; overlapping members are for the caller to find.
    """
    directory, count, before = _directory(reader)
    entries = sorted(_entries(directory, count), key=lambda entry: entry[1])
    members = []
    for name, local, size, is_plain in entries:
        header = _LOCAL.unpack(reader.near(before + local, _LOCAL.size))
        if header[0] != MAGIC:
            raise Doubt(f"no member at {local}")
        start = before + local + _LOCAL.size + header[9] + header[10]
        if start + size > reader.size:
            raise Doubt(f"a member ends at {start + size} of {reader.size}")
        members.append(Member(name, Span(start, size), is_plain))
    return members


def segment_members(reader: Reader, members: list[Member], inner: Inner) -> list[Region]:
    """Return each member as *inner* segments it, headers and directory as generic. Doubt where members overlap."""
    found: list[Region] = []
    end = 0
    for member in members:
        # Asked first: a bomb of overlapping members would have its bytes looked at again and again.
        if member.span.start < end:
            raise Doubt("members overlap")
        end = member.span.end
        found += shifted(inner(reader.part(member.span), member), member.span.start)
        if len(found) > MOST_REGIONS:
            break
    return cover(found, reader.size)


def _directory(reader: Reader) -> tuple[bytes, int, int]:
    """Return (the central directory, its number of entries, the bytes that were put before the zip)."""
    tail_from = max(0, reader.size - _LONGEST_COMMENT - _END.size)
    short_from = max(tail_from, reader.size - 1024)
    tail = reader.exact(short_from, reader.size - short_from)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0:
        tail = reader.exact(tail_from, reader.size - tail_from)
        short_from, place = tail_from, tail.rfind(b"PK\x05\x06")
    if place < 0:
        raise Doubt("zip has no end record")
    end_at = short_from + place
    _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, place)
    # torch writes both ends whatever the size; the wide one is nearer to the directory.
    found = _end_64(reader, end_at)
    if found is not None:
        end_at, count, size, offset = found
    before = end_at - size - offset
    if before < 0 or count > MOST_MEMBERS or size > LONGEST_READ or count * _CENTRAL.size > size:
        raise Doubt("zip's directory is not where its end says, or too long")
    return reader.exact(before + offset, size), count, before


def _end_64(reader: Reader, end_at: int) -> tuple[int, int, int, int] | None:
    """Return (place, count, size, offset) of the zip64 end record; None where there is none."""
    if end_at < _END64_PLACE.size:
        return None
    magic, _, place, _ = _END64_PLACE.unpack(reader.exact(end_at - _END64_PLACE.size, _END64_PLACE.size))
    if magic != b"PK\x06\x07":
        return None
    record = _END64.unpack(reader.exact(place, _END64.size))
    if record[0] != b"PK\x06\x06":
        raise Doubt("zip64 end record is not where its locator says")
    return place, record[7], record[8], record[9]


def _entries(directory: bytes, count: int) -> Iterator[tuple[str, int, int, bool]]:
    """Yield (name, place of the local header, stored size, is plain)."""
    position = 0
    for _ in range(count):
        if position + _CENTRAL.size > len(directory):
            raise Doubt("zip's directory is cut off")
        fields = _CENTRAL.unpack_from(directory, position)
        if fields[0] != b"PK\x01\x02":
            raise Doubt("zip's directory is malformed")
        flags, method, packed, plain = fields[3], fields[4], fields[8], fields[9]
        names, extras, comments, local = fields[10], fields[11], fields[12], fields[16]
        position += _CENTRAL.size
        name = directory[position : position + names].decode("utf-8", "replace")
        extra = directory[position + names : position + names + extras]
        position += names + extras + comments
        if _MAX32 in {packed, plain, local}:
            packed, local = _wide(extra, plain, packed, local)
        yield name, local, packed, method == _STORED and not flags & _ENCRYPTED


def _wide(extra: bytes, plain: int, packed: int, local: int) -> tuple[int, int]:
    """Return (stored size, place) with what the zip64 extra field says in place of 0xFFFFFFFF."""
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        position += 4
        if kind == 1:
            numbers = [value for (value,) in struct.iter_unpack("<Q", extra[position : position + length // 8 * 8])]
            if plain == _MAX32 and numbers:
                numbers.pop(0)
            if packed == _MAX32 and numbers:
                packed = numbers.pop(0)
            if local == _MAX32 and numbers:
                local = numbers.pop(0)
            break
        position += length
    return packed, local
