"""How loops become machine code here: at first use, for one signature, kept on disk as the object code of this machine.

Used by the kernels beside it and by machine code of tiering.hot. Knows nothing of what they compute. What is kept is
loaded by llvmlite alone, in a few milliseconds; only where something has to be compiled is numba imported
(dedup.kernels.compiler), by a process of its own (dedup.kernels.apart), since it takes half a second and 140 MB. Where
nothing can be kept each process compiles for itself.

Loops take and return plain numbers, and arrays over memory that the caller owns: they allocate nothing, raise nothing
and touch no Python object. They run without the GIL. A division by zero gives what numpy gives.
"""

import ctypes
import importlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import llvmlite
import llvmlite.binding as llvm
import numpy as np
from blake3 import blake3

from dedup.kernels import kept

Function = TypeVar("Function", bound=Callable[..., Any])

U64 = np.uint64
# What object files depend on beside the loop itself; raised when compiler.py changes what it makes of one.
_FORMAT = 1


class Scalar(NamedTuple):
    """A number, named as in numba."""

    name: str


class Array(NamedTuple):
    """A contiguous array of one dimension."""

    item: str
    """As numba and numpy name it."""
    is_written: bool


Kind = Scalar | Array | tuple[Any, ...]
"""Of an argument; a tuple of kinds is one of tuples."""


class External(NamedTuple):
    """A function of the C library."""

    name: str
    result: Scalar
    arguments: tuple[Scalar, ...]


class _Viewed(NamedTuple):
    """Stands for numba.carray until a loop is compiled."""

    name: str = "carray"

    def __call__(self, address: Any, length: Any, dtype: Any) -> Any:
        raise TypeError("only loops look at memory by its address")


VOID, ADDRESS = Scalar("void"), Scalar("voidptr")
I32, I64, F64, SCALAR = Scalar("int32"), Scalar("int64"), Scalar("float64"), Scalar("uint64")
viewed = _Viewed()
"""viewed(address, length, dtype), inside of a loop: an array over memory that is not ours."""

_NUMBA_HAS = ("gil_ensure", "gil_release", "do_raise", "unpickle", "runtime_build_excinfo_struct")
_RUNTIME_HAS = ("Free", "MemInfo_call_dtor")
NEVER = {
    name: f"frostline_never_{name}"
    for name in (*(f"numba_{name}" for name in _NUMBA_HAS), *(f"NRT_{name}" for name in _RUNTIME_HAS))
}
"""What numba's object code names beside the C library, and what that becomes: no loop calls it; abort(), if one did."""

_CTYPES: dict[str, Any] = {
    "void": None,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    "uint64": ctypes.c_uint64,
    "float64": ctypes.c_double,
}
_at_start, _addressof = (ctypes.c_char * 0).from_buffer, ctypes.addressof
_inner: dict[Callable[..., Any], bool] = {}
_lock = threading.RLock()
_asks_apart = True


def array_in(width: int) -> Array:
    """Return the kind of an array of *width*-byte unsigned words that is only read."""
    return Array(f"uint{8 * width}", is_written=False)


def array_out(width: int) -> Array:
    """Return the kind of an array of *width*-byte unsigned words that is written."""
    return Array(f"uint{8 * width}", is_written=True)


def numbers_in(item: str = "int64") -> Array:
    """Return the kind of an array of signed or floating numbers that is only read."""
    return Array(item, is_written=False)


def numbers_out(item: str = "int64") -> Array:
    """Return the kind of an array of signed or floating numbers that is written."""
    return Array(item, is_written=True)


def planes_of(kind: Kind, width: int) -> Kind:
    """Return the kind of a tuple of *width* of the same."""
    return (kind,) * width


def inner(function: Function) -> Function:
    """Let *function* be called from loops."""
    _inner[function] = False
    return function


def inlined(function: Function) -> Function:
    """Let *function* be a part of the loops that call it: where one is as long as a loop of its own, a sixth faster."""
    _inner[function] = True
    return function


def external(name: str, result: Scalar, *arguments: Scalar) -> Any:
    """Return a function of the C library, which the caller has seen to be there, for loops to call."""
    return External(name, result, arguments)


def compiled(loop: Callable[..., Any], result: Scalar, *arguments: Kind) -> Callable[..., Any]:
    """Return *loop* as machine code for one signature. Raises ImportError where that cannot be had.

    The function checks that arrays are of the kinds given (TypeError), never how long they are.
    """
    with _lock:
        name = _name(loop, result, arguments)
        found = kept.load(name)
        if found is None and _asks_apart:
            apart = importlib.import_module("dedup.kernels.apart")
            if apart.compile_apart(loop, result, arguments):
                found = kept.load(name)
            if found is None:
                compile_here()  # where nothing can be kept, or no process started, asking again is for nothing
        if found is None:
            try:
                compiler = importlib.import_module("dedup.kernels.compiler")
                found = compiler.compiled(loop, result, arguments, _inner)
            except (RuntimeError, OSError, ValueError, AttributeError, KeyError) as error:
                raise ImportError(f"{name} cannot be compiled here: {error}") from error
            kept.store(name, found)
        return _Native(loop.__name__, _linked(found), result, arguments)


def compile_here() -> None:
    """Compile in this process from now on."""
    global _asks_apart  # noqa: PLW0603  # of the process
    _asks_apart = False


def keep(loop: Callable[..., Any], result: Scalar, arguments: tuple[Kind, ...]) -> bool:
    """Compile *loop* unless it is kept already; return whether it is kept now."""
    compiled(loop, result, *arguments)
    return kept.load(_name(loop, result, arguments)) is not None


def _name(loop: Callable[..., Any], result: Scalar, arguments: tuple[Kind, ...]) -> str:
    return f"{loop.__module__.rpartition('.')[2]}.{loop.__name__.strip('_')}-{_key(loop, result, arguments)}"


class _Native:
    """Machine code as a function of numbers and numpy arrays."""

    __slots__ = ("_call", "_kinds", "_name")

    def __init__(self, name: str, address: int, result: Scalar, kinds: tuple[Kind, ...]) -> None:
        self._name = name
        self._kinds = kinds
        flat = [one for kind in kinds for one in _flat(kind)]
        self._call = ctypes.CFUNCTYPE(_CTYPES[result.name], *flat)(address)

    def __call__(self, *arguments: Any) -> Any:
        plain: list[Any] = []
        for kind, value in zip(self._kinds, arguments, strict=True):
            self._add(plain, kind, value)
        return self._call(*plain)

    def _add(self, plain: list[Any], kind: Kind, value: Any) -> None:
        if isinstance(kind, Array):
            flags = value.flags
            if value.dtype != _dtype(kind.item) or value.ndim != 1 or not flags.c_contiguous or not flags.aligned:
                raise TypeError(f"{self._name} takes a contiguous array of {kind.item}")
            if flags.writeable:
                plain += (_addressof(_at_start(value)), len(value))  # a fifth of the time the other takes
            elif kind.is_written:
                raise TypeError(f"{self._name} writes to this array, which may only be read")
            else:
                plain += (value.__array_interface__["data"][0], len(value))
        elif isinstance(kind, Scalar):
            plain.append(int(value) if isinstance(value, np.integer) else value)
        else:
            for one, part in zip(kind, value, strict=True):
                self._add(plain, one, part)


@cache
def _dtype(item: str) -> np.dtype[Any]:
    return np.dtype(item)


def _flat(kind: Kind) -> Sequence[Any]:
    if isinstance(kind, Scalar):
        return [_CTYPES[kind.name]]
    if isinstance(kind, Array):
        return [ctypes.c_void_p, ctypes.c_int64]
    return [each for one in kind for each in _flat(one)]


def _key(loop: Callable[..., Any], result: Scalar, arguments: tuple[Kind, ...]) -> str:
    """Return a name for all that the object code depends on: what is computed, by whom it is compiled, for what."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    said = [
        _FORMAT, sys.implementation.cache_tag, llvmlite.__version__, kept.compiler_version(),
        llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), result, arguments,
    ]  # fmt: skip
    said += _spelled(loop, set())
    return blake3(repr(said).encode()).hexdigest()[:24]


def _spelled(function: Any, seen: set[Any]) -> Iterator[Any]:
    """Yield what *function* and all the functions that it calls compute, down to the values of constants."""
    if function in seen:
        return
    seen.add(function)
    code = function.__code__
    yield from (
        _inner.get(function),
        code.co_code.hex(),
        [repr(each) for each in code.co_consts],
        code.co_names,
        code.co_varnames,
    )
    for name in code.co_names:
        value = function.__globals__.get(name)
        if callable(value) and value in _inner:
            yield from _spelled(value, seen)
        elif isinstance(value, (int, float, np.generic, External, type)):
            yield name, repr(value)


class _Linker:
    """The engine that holds what was loaded; it lives as long as the process."""

    def __init__(self) -> None:
        abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
        for name in NEVER.values():
            llvm.add_symbol(name, abort)
        target = llvm.Target.from_default_triple().create_target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
        self._objects: list[Any] = []

    def add(self, found: kept.Object) -> int:
        """Return the address of the function in *found*."""
        held = llvm.object_file.ObjectFileRef.from_data(found.code)
        self._objects.append(held)
        self._engine.add_object_file(held)
        self._engine.finalize_object()
        return int(self._engine.get_function_address(found.symbol))


_linkers: list[_Linker] = []


def _linked(found: kept.Object) -> int:
    if not _linkers:
        _linkers.append(_Linker())
    address = _linkers[0].add(found)
    if not address:
        raise ImportError(f"{found.symbol} is not in its own object code")
    return address
