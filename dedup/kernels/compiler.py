"""Compiles loops with numba to object code that needs nothing of numba to run.

Loaded by dedup.kernels.machine when something has to be compiled. The function that comes out follows the C calling
convention: an array is its address and its length. What the object refers to must be in the C library: checked here,
because whoever links an object with an unknown name ends the process. numba's own names for what no loop here does
(raising, counting references to memory of its own) become machine.NEVER.
"""

import ctypes
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import numba
import numpy as np

from dedup.kernels.kept import Object
from dedup.kernels.machine import NEVER, Array, External, Kind, Scalar, viewed

_ELF64 = b"\x7fELF\x02\x01"
_SYMBOLS = 2  # SHT_SYMTAB


def compiled(
    loop: Callable[..., Any], result: Scalar, arguments: tuple[Kind, ...], inner: Mapping[Callable[..., Any], bool]
) -> Object:
    """Return *loop* for one signature; it may call the functions *inner* (True: as a part of it).

    Raises ImportError where that cannot be.
    """
    types: list[Any] = []
    names = count()
    taken = ", ".join(_taken(kind, types, names) for kind in arguments)
    parameters = ", ".join(f"a{number}" for number in range(len(types)))
    namespace: dict[str, Any] = {"carray": numba.carray, "np": np}  # type: ignore[attr-defined]
    exec(f"def entry({parameters}):\n    return loop({taken})\n", namespace)  # noqa: S102  # our own words only
    try:
        with _replaced(loop, inner) as replacement:
            namespace["loop"] = replacement(loop)
            decorator: Any = numba.cfunc
            entry = decorator(_numba(result)(*types), nopython=True, error_model="numpy")(namespace["entry"])
    except numba.core.errors.NumbaError as error:
        raise ImportError(f"{loop.__name__} cannot be compiled here: {error}") from error
    library = entry._library  # noqa: SLF001  # numba has no public way to the object code
    module = library._final_module  # noqa: SLF001
    for function in module.functions:
        if function.is_declaration and function.name in NEVER:
            function.name = NEVER[function.name]
    code = library._codegen._tm.emit_object(module)  # noqa: SLF001
    libc = ctypes.CDLL(None)
    unknown = [name for name in _undefined(code) if name not in NEVER.values() and not hasattr(libc, name)]
    if unknown:
        raise ImportError(f"{loop.__name__} needs {', '.join(unknown)}: it allocates, or touches an object")
    return Object(entry.native_name, code)


def _taken(kind: Kind, types: list[Any], names: Iterator[int]) -> str:
    """Return the expression that makes an argument of *kind* from parameters, whose types are added to *types*."""
    if isinstance(kind, Scalar):
        types.append(_numba(kind))
        return f"a{next(names)}"
    if isinstance(kind, Array):
        pointer: Any = numba.types.CPointer
        types.extend((pointer(_numba(Scalar(kind.item))), numba.types.int64))
        return f"carray(a{next(names)}, (a{next(names)},))"
    return "".join(["(", *(f"{_taken(one, types, names)}, " for one in kind), ")"])


def _numba(scalar: Scalar) -> Any:
    return getattr(numba.types, scalar.name)


@contextmanager
def _replaced(
    loop: Callable[..., Any], inner: Mapping[Callable[..., Any], bool]
) -> Iterator[Callable[[Callable[..., Any]], Any]]:
    """For a while let the modules of all loops hold what numba understands in place of what stands for it."""
    made: dict[Callable[..., Any], Any] = {}

    def replacement(value: Any) -> Any:
        if isinstance(value, External):
            return numba.types.ExternalFunction(value.name, _numba(value.result)(*map(_numba, value.arguments)))
        if value is viewed:
            return numba.carray  # type: ignore[attr-defined]
        if value not in made:
            jit: Any = numba.njit
            made[value] = jit(nogil=True, error_model="numpy", forceinline=inner.get(value, False))(value)
        return made[value]

    before: list[tuple[dict[str, Any], str, Any]] = []
    for names in {id(one.__globals__): one.__globals__ for one in (loop, *inner)}.values():
        for name, value in tuple(names.items()):
            if isinstance(value, External) or value is viewed or (_is_function(value) and value in inner):
                before.append((names, name, value))
                names[name] = replacement(value)
    try:
        yield replacement
    finally:
        for names, name, value in before:
            names[name] = value


def _is_function(value: object) -> bool:
    return hasattr(value, "__code__")


def _undefined(code: bytes) -> Iterator[str]:
    """Yield the names that an ELF object needs of others. Raises ImportError for what is no such object."""
    if not code.startswith(_ELF64):
        raise ImportError("object code of this system is not understood")
    (at,) = struct.unpack_from("<Q", code, 0x28)
    size, number = struct.unpack_from("<HH", code, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, at + size * each) for each in range(number)]
    for _, kind, _, _, start, length, link, _, _, entry in sections:
        if kind != _SYMBOLS:
            continue
        texts = sections[link][4]
        for place in range(start, start + length, entry):
            name, _, _, section = struct.unpack_from("<IBBH", code, place)
            if section == 0 and name:
                begin = texts + name
                yield code[begin : code.index(b"\0", begin)].decode()
