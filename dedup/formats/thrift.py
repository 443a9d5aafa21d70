"""Reads structs in Thrift's compact protocol, the parts of them that are asked for, from bytes that are not trusted.

Used by the parquet parser. Every step consumes at least one byte of the buffer, so time is bounded by its length; depth
is bounded; nothing is allocated by a count that the bytes at hand could not hold.
Protocol: apache/thrift, doc/specs/thrift-compact-protocol.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dedup.formats.reading import Doubt

DEEPEST = 16
"""Structs in structs: parquet's own go 6 deep."""

_TRUE, _FALSE, _BYTE, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 6, 7, 8, 9, 10, 11, 12
_LONGEST_VARINT = 10


@dataclass(frozen=True, slots=True)
class Number:
    """Wanted: a boolean (0 or 1) or an integer of any width."""


@dataclass(frozen=True, slots=True)
class Text:
    """Wanted: a binary, as bytes."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Wanted: a list of structs."""

    of: "Wanted"


Wanted = Mapping[int, "Number | Text | Listed | Wanted"]
"""Field ids of a struct and what each is; other fields are skipped, absent ones stay absent."""
Struct = dict[int, Any]
"""Field id to int, bytes, list of Struct, or Struct."""


class Truncated(Doubt):
    """The bytes end within the struct: with more of them it might be well-formed."""


def read_struct(data: bytes, at: int, wanted: Wanted) -> tuple[Struct, int]:
    """Return the *wanted* fields of the struct that begins at *at*, and where it ends.

    Raises Doubt if it is malformed or a wanted field is of another type, Truncated if *data* ends within it.
    """
    reader = _Compact(data, at)
    return reader.struct(wanted, 0), reader.at


class _Compact:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def struct(self, wanted: Wanted, depth: int) -> Struct:
        if depth > DEEPEST:
            raise Doubt("structs nested too deep")
        found: Struct = {}
        field = 0
        while head := self._byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._signed()
            want = wanted.get(field)
            if want is None:
                self._skip(kind, depth)
            else:
                found[field] = self._value(kind, want, depth)
        return found

    def _value(self, kind: int, want: "Number | Text | Listed | Wanted", depth: int) -> Any:
        if isinstance(want, Number):
            return self._number(kind)
        if isinstance(want, Text) and kind == _BINARY:
            length = self._varint()
            start = self.at
            self._pass(length)
            return self.data[start : self.at]
        if isinstance(want, Listed) and kind == _LIST:
            count, element = self._list_head()
            if element != _STRUCT:
                raise Doubt("a list of structs holds something else")
            return [self.struct(want.of, depth + 1) for _ in range(count)]
        if isinstance(want, Mapping) and kind == _STRUCT:
            return self.struct(want, depth + 1)
        raise Doubt(f"a field is of type {kind}")

    def _number(self, kind: int) -> int:
        if kind in (_TRUE, _FALSE):
            return int(kind == _TRUE)
        if kind == _BYTE:
            return self._byte()
        if kind <= _I64:
            return self._signed()
        raise Doubt(f"a number is of type {kind}")

    def _skip(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE):
            return
        if kind in (_LIST, _SET):
            count, element = self._list_head()
            for _ in range(count):
                self._skip_element(element, depth)
        elif kind == _MAP:
            count = self._count(self._varint())
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._skip_element(kinds >> 4, depth)
                self._skip_element(kinds & 15, depth)
        else:
            self._skip_element(kind, depth)

    def _skip_element(self, kind: int, depth: int) -> None:
        """Skip what stands in a list or map, where a boolean takes a byte, or a field that is neither."""
        if kind in (_TRUE, _FALSE, _BYTE):
            self._pass(1)
        elif _BYTE < kind <= _I64:
            self._varint()
        elif kind == _DOUBLE:
            self._pass(8)
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind == _STRUCT:
            self.struct({}, depth + 1)
        elif kind in (_LIST, _SET, _MAP) and depth < DEEPEST:
            self._skip(kind, depth + 1)
        else:
            raise Doubt(f"type {kind} is not known, or nested too deep")

    def _list_head(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4
        return self._count(self._varint() if count == 15 else count), head & 15

    def _count(self, count: int) -> int:
        """Return *count* elements if the bytes left can hold them: each takes at least one."""
        if count > len(self.data) - self.at:
            raise Truncated(f"{count} elements in {len(self.data) - self.at} bytes")
        return count

    def _pass(self, length: int) -> None:
        if length > len(self.data) - self.at:
            raise Truncated(f"{length} bytes of {len(self.data) - self.at}")
        self.at += length

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise Truncated("no byte left")
        self.at += 1
        return self.data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for place in range(_LONGEST_VARINT):
            byte = self._byte()
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise Doubt("a number has no end")

    def _signed(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
