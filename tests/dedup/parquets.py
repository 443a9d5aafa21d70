"""Parquet files made by hand, for tests: every length and field can be a lie. Thrift's compact protocol, written."""

from dataclasses import dataclass, field

import numpy as np

from dedup.snappy import Writers
from dedup.varint import encode_varints, zigzag

Fields = list[tuple[int, "int | bytes | bool | Fields | list[Fields]"]]
UNCOMPRESSED, SNAPPY, GZIP = 0, 1, 2


def struct(fields: Fields) -> bytes:
    """Return *fields*, ascending, as a struct: ints become i64, lists of lists become lists of structs."""
    out, before = bytearray(), 0
    for number, value in fields:
        kind = _kind(value)
        gap = number - before
        out += bytes([gap << 4 | kind]) if 0 < gap < 16 else bytes([kind]) + encode_varints([zigzag(number)])
        out += _value(value, kind)
        before = number
    return bytes(out) + b"\0"


def _kind(value: object) -> int:
    if isinstance(value, bool):
        return 1 if value else 2
    if isinstance(value, int):
        return 6
    if isinstance(value, bytes):
        return 8
    assert isinstance(value, list)
    return 9 if not value or isinstance(value[0], list) else 12


def _value(value: object, kind: int) -> bytes:
    if isinstance(value, bool):
        return b""
    if isinstance(value, int):
        return encode_varints([zigzag(value)])
    if isinstance(value, bytes):
        return encode_varints([len(value)]) + value
    assert isinstance(value, list)
    if kind == 12:
        return struct(value)
    head = bytes([len(value) << 4 | 12]) if len(value) < 15 else bytes([0xFC]) + encode_varints([len(value)])
    return head + b"".join(struct(item) for item in value)


def snappy(plain: bytes, letter: str = "a") -> bytes:
    """Return *plain* as the variant of that letter encodes it."""
    out = np.empty(64 + len(plain) + len(plain) // 6, dtype=np.uint8)
    return out[: Writers().encode(letter, np.frombuffer(plain, dtype=np.uint8), out)].tobytes()


def page(plain_len: int, coded: bytes, *, kind: int = 0, statistics: bytes = b"") -> bytes:
    """Return a v1 data page (0) or a dictionary page (2): header and body."""
    own: Fields = [(1, 100), (2, 0), (3, 3), (4, 3)]
    if statistics:
        own.append((5, [(1, statistics), (2, statistics)]))
    return struct([(1, kind), (2, plain_len), (3, len(coded)), (5 if kind == 0 else 7, own)]) + coded


def page_v2(plain: bytes, levels: bytes = b"\x02\x01", *, letter: str = "a") -> bytes:
    """Return a v2 data page; without a letter it says that it is not compressed."""
    coded = snappy(plain, letter) if letter else plain
    own: Fields = [(1, 9), (2, 0), (3, 9), (4, 0), (5, len(levels)), (6, 0), (7, bool(letter))]
    sizes: Fields = [(1, 3), (2, len(levels) + len(plain)), (3, len(levels) + len(coded)), (8, own)]
    return struct(sizes) + levels + coded


@dataclass
class Column:
    """One column chunk; the overrides are what the footer says instead of the truth."""

    pages: bytes
    codec: int = SNAPPY
    start: int | None = None
    length: int | None = None
    extra: Fields = field(default_factory=list)


def parquet(columns: list[Column], *, between: bytes = b"", per_group: int = 2) -> bytes:
    """Return a file of *columns*, in row groups of *per_group*, with *between* after each column chunk."""
    out = bytearray(b"PAR1")
    written: list[Fields] = []
    for column in columns:
        start = len(out) if column.start is None else column.start
        length = len(column.pages) if column.length is None else column.length
        described: Fields = [(1, 1), (4, column.codec), (5, 100), (6, 1), (7, length), (9, start), *column.extra]
        written.append([(2, 0), (3, described)])
        out += column.pages + between
    groups: list[Fields] = [[(1, written[i : i + per_group]), (2, 1)] for i in range(0, len(written), per_group)]
    footer = struct([(1, 2), (2, [[(4, b"schema")]]), (3, 100), (4, groups), (6, b"tests")])
    return bytes(out) + footer + len(footer).to_bytes(4, "little") + b"PAR1"
