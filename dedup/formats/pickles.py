"""A pickle read without building anything: which storages it names, of what type, and where they hang.

Used by dedup.formats.torch_zip and torch_legacy. The machine knows the opcodes of protocols 0-5, keeps names of globals
as names, calls nothing, imports nothing, and never sees a class: a REDUCE records that one thing was to be called with
another. Bounded by MOST_STEPS and by the pickle's own length; the memory taken is under 64 MiB.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dedup.formats.reading import Doubt

# A tensor takes about 40 steps: 15,000 tensors. Each step makes at most one object of about 100 bytes.
MOST_STEPS = 600_000
# A model of our days names 30.
MOST_GLOBALS = 10_000


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function; what it is stays unknown."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Persistent:
    """A reference to something outside the pickle, such as a storage."""

    pid: object


class Made:
    """What would have been built: a call recorded, with the state and items it was then given."""

    __slots__ = ("called", "items", "parts")

    def __init__(self, called: object, *parts: object) -> None:
        self.called = called
        """The function or class, as a Global if it was named."""
        self.parts: list[object] = list(parts)
        """Arguments, then states."""
        self.items: list[object] | None = None
        """Keys and values in turn; None for none."""


class Mapping:
    """A dictionary: keys and values in turn, as they came; nothing is hashed."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[object] = []


class _Mark:
    """The marker of the stack."""


_MARK = _Mark()
_Step = Callable[["Machine"], None]


class Machine:
    """Runs one pickle."""

    __slots__ = ("data", "globals", "memo", "position", "stack")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position
        """Of the next byte; after run(), of the first byte behind the pickle."""
        self.stack: list[Any] = []
        self.memo: dict[int, object] = {}
        self.globals: dict[tuple[str, str], Global] = {}

    def run(self) -> object:
        """Return the recorded value; Doubt if the pickle is malformed or takes more than MOST_STEPS."""
        data, steps = self.data, _STEPS
        for _ in range(MOST_STEPS):
            if self.position >= len(data):
                raise Doubt("pickle ends early")
            code = data[self.position]
            self.position += 1
            if code == _STOP:
                return self.pop()
            step = steps[code]
            if step is None:
                raise Doubt(f"opcode {code} is not known")
            step(self)
        raise Doubt("pickle takes too many steps")

    def pop(self) -> Any:
        """Take the top of the stack; Doubt if there is none or it is a mark."""
        if not self.stack or self.stack[-1] is _MARK:
            raise Doubt("pickle takes from an empty stack")
        return self.stack.pop()

    def marked(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        stack = self.stack
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is _MARK:
                items = stack[index + 1 :]
                del stack[index:]
                return items
        raise Doubt("pickle has no mark")

    def take(self, length: int) -> bytes:
        """Return the next *length* bytes."""
        end = self.position + length
        if length < 0 or end > len(self.data):
            raise Doubt("pickle's argument is cut off")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, form: struct.Struct) -> int:
        """Return the next number of *form*."""
        value: int = form.unpack(self.take(form.size))[0]
        return value

    def named(self, module: str, name: str) -> Global:
        """Return the one Global of that name."""
        if len(self.globals) >= MOST_GLOBALS:
            raise Doubt("pickle names too many globals")
        return self.globals.setdefault((module, name), Global(module, name))

    def line(self) -> bytes:
        """Return what stands before the next newline, and pass it."""
        end = self.data.find(b"\n", self.position, self.position + 4096)
        if end < 0:
            raise Doubt("pickle's line does not end")
        piece = self.data[self.position : end]
        self.position = end + 1
        return piece


_U1, _U2, _I4, _U4, _U8 = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q"))


def _push(value: object) -> _Step:
    return lambda machine: machine.stack.append(value)


def _number(form: struct.Struct) -> _Step:
    return lambda machine: machine.stack.append(machine.number(form))


def _text(form: struct.Struct) -> _Step:
    return lambda machine: machine.stack.append(machine.take(machine.number(form)).decode("utf-8", "replace"))


def _skipped(form: struct.Struct) -> _Step:
    """Bytes, floats and long integers: none of them names a storage."""

    def step(machine: Machine) -> None:
        machine.take(machine.number(form))
        machine.stack.append(None)

    return step


def _long(form: struct.Struct) -> _Step:
    def step(machine: Machine) -> None:
        raw = machine.take(machine.number(form))
        machine.stack.append(int.from_bytes(raw, "little", signed=True) if len(raw) <= 9 else None)

    return step


def _line_number(machine: Machine) -> None:
    raw = machine.line().rstrip(b"L")
    machine.stack.append({b"00": False, b"01": True}.get(raw, int(raw) if len(raw) < 20 else None))


def _line_skipped(machine: Machine) -> None:
    machine.line()
    machine.stack.append(None)


def _line_text(machine: Machine) -> None:
    machine.stack.append(machine.line().decode("utf-8", "replace").strip("'\""))


def _fixed_tuple(count: int) -> _Step:
    def step(machine: Machine) -> None:
        items = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _tuple(machine: Machine) -> None:
    items = tuple(machine.marked())
    machine.stack.append(items)


def _list(machine: Machine) -> None:
    items = machine.marked()
    machine.stack.append(items)


def _dict(machine: Machine) -> None:
    made = Mapping()
    made.items = machine.marked()
    machine.stack.append(made)


def _under(machine: Machine) -> Any:
    """Return the top of the stack, which stays there."""
    value = machine.pop()
    machine.stack.append(value)
    return value


def _add_pairs(target: object, pairs: list[Any]) -> None:
    if isinstance(target, Made):
        if target.items is None:
            target.items = []
        target.items += pairs
    elif isinstance(target, Mapping):
        target.items += pairs
    else:
        raise Doubt("items for what is no dictionary")


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    _add_pairs(_under(machine), [key, value])


def _set_items(machine: Machine) -> None:
    pairs = machine.marked()
    _add_pairs(_under(machine), pairs)


def _add_values(target: object, values: list[Any]) -> None:
    if isinstance(target, list):
        target += values
    elif isinstance(target, Made):
        target.parts += values
    else:
        raise Doubt("values for what is no list")


def _append(machine: Machine) -> None:
    value = machine.pop()
    _add_values(_under(machine), [value])


def _append_all(machine: Machine) -> None:
    values = machine.marked()
    _add_values(_under(machine), values)


def _global(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.stack.append(machine.named(module.decode("utf-8", "replace"), name.decode("utf-8", "replace")))


def _stack_global(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Doubt("a global without a name")
    machine.stack.append(machine.named(module, name))


def _reduce(machine: Machine) -> None:
    arguments, called = machine.pop(), machine.pop()
    machine.stack.append(Made(called, arguments))


def _new_with_keywords(machine: Machine) -> None:
    keywords, arguments, called = machine.pop(), machine.pop(), machine.pop()
    machine.stack.append(Made(called, arguments, keywords))


def _build(machine: Machine) -> None:
    state = machine.pop()
    target = _under(machine)
    if isinstance(target, Made):
        target.parts.append(state)


def _object(machine: Machine) -> None:
    called, *arguments = machine.marked() or [None]
    machine.stack.append(Made(called, arguments))


def _instance(machine: Machine) -> None:
    _global(machine)
    called = machine.pop()
    machine.stack.append(Made(called, machine.marked()))


def _persistent(machine: Machine) -> None:
    machine.stack.append(Persistent(machine.pop()))


def _persistent_line(machine: Machine) -> None:
    machine.stack.append(Persistent(machine.line().decode("utf-8", "replace")))


def _put(index: Callable[[Machine], int]) -> _Step:
    def step(machine: Machine) -> None:
        machine.memo[index(machine)] = _under(machine)

    return step


def _get(index: Callable[[Machine], int]) -> _Step:
    def step(machine: Machine) -> None:
        number = index(machine)
        if number not in machine.memo:
            raise Doubt("pickle gets what it never put")
        machine.stack.append(machine.memo[number])

    return step


def _by(form: struct.Struct) -> Callable[[Machine], int]:
    return lambda machine: machine.number(form)


def _by_line(machine: Machine) -> int:
    return int(machine.line())


def _pop(machine: Machine) -> None:
    if not machine.stack:
        raise Doubt("pickle takes from an empty stack")
    machine.stack.pop()


def _pop_mark(machine: Machine) -> None:
    machine.marked()


def _twice(machine: Machine) -> None:
    machine.stack.append(_under(machine))


def _skip_frame(machine: Machine) -> None:
    machine.take(8)


def _skip(length: int) -> _Step:
    def step(machine: Machine) -> None:
        machine.take(length)
        machine.stack.append(None)

    return step


def _protocol(machine: Machine) -> None:
    machine.take(1)


def _nothing(_machine: Machine) -> None:
    """READONLY_BUFFER changes nothing that is looked at here."""


_STOP = ord(".")
_OPCODES: dict[bytes, _Step] = {
    b"\x80": _protocol, b"\x95": _skip_frame, b"(": _push(_MARK), b"0": _pop, b"1": _pop_mark, b"2": _twice,
    b"N": _push(None), b"\x88": _push(True), b"\x89": _push(False),
    b"J": _number(_I4), b"K": _number(_U1), b"M": _number(_U2), b"\x8a": _long(_U1), b"\x8b": _long(_I4),
    b"I": _line_number, b"L": _line_number, b"F": _line_skipped, b"G": _skip(8),
    b"X": _text(_U4), b"\x8c": _text(_U1), b"\x8d": _text(_U8), b"V": _line_text, b"S": _line_text,
    b"T": _text(_I4), b"U": _text(_U1), b"B": _skipped(_U4), b"C": _skipped(_U1), b"\x8e": _skipped(_U8),
    b"\x96": _skipped(_U8), b"\x97": _push(None), b"\x98": _nothing,
    b")": _push(()), b"t": _tuple, b"\x85": _fixed_tuple(1), b"\x86": _fixed_tuple(2), b"\x87": _fixed_tuple(3),
    b"]": lambda machine: machine.stack.append([]), b"l": _list, b"a": _append, b"e": _append_all,
    b"}": lambda machine: machine.stack.append(Mapping()), b"d": _dict, b"s": _set_item, b"u": _set_items,
    b"\x8f": lambda machine: machine.stack.append([]), b"\x90": _append_all, b"\x91": _list,
    b"c": _global, b"\x93": _stack_global, b"R": _reduce, b"\x81": _reduce, b"\x92": _new_with_keywords,
    b"b": _build, b"o": _object, b"i": _instance, b"Q": _persistent, b"P": _persistent_line,
    b"q": _put(_by(_U1)), b"r": _put(_by(_U4)), b"p": _put(_by_line),
    b"\x94": _put(lambda machine: len(machine.memo)),
    b"h": _get(_by(_U1)), b"j": _get(_by(_U4)), b"g": _get(_by_line),
}  # fmt: skip
# EXT1, EXT2 and EXT4 (a registry of this process's) are left out on purpose.
_STEPS: list[_Step | None] = [_OPCODES.get(bytes([code])) for code in range(256)]
