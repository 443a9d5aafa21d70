"""Wrappers by stored name: page compressions that can be undone and redone bit for bit.

Used by ingest (unwrap) and by whatever assembles files (rewrap). A wrapper's encoder lives in this repository, frozen
and versioned: restoring may never depend on what a library's next release happens to write. A wrapper is loaded when it
is first asked for.
"""

import importlib
from typing import Protocol, cast

from dedup.errors import CorruptChunk, UnknownName
from dedup.fingerprint import Buffer


class Wrapper(Protocol):
    """One page compression. Thread-safe."""

    def unwrap(self, data: Buffer) -> bytes | None:
        """Return the plain form of *data*, or None where it has none. Bounded time and memory; never raises for
        content.

        Whoever implements this proves that rewrap() makes exactly *data* of it, all of it, before returning it.
        """

    def rewrap(self, plain: Buffer, length: int) -> bytes:
        """Return what the encoder makes of *plain*; *length* is what is expected, and bounds what is allocated."""


_MODULES = {"snappy-page:1": "dedup.snappy_page"}
"""Stored name -> module that has the two functions of Wrapper."""
_loaded: dict[str, Wrapper] = {}


def unwrap(name: str, data: Buffer) -> bytes | None:
    """Return the plain form of *data*, only if rewrap() makes exactly *data* of it; else None. Raises UnknownName.

    The wrapper proves that as it goes (P1): to encode everything a second time would take a third of the time of
    storing it.
    """
    return _resolve(name).unwrap(data)


def rewrap(name: str, plain: Buffer, length: int) -> bytes:
    """Return the *length* bytes that the wrapper makes of *plain*. Raises UnknownName; CorruptChunk if it makes another
    number of bytes of it.
    """
    data = _resolve(name).rewrap(plain, length)
    if len(data) != length:
        raise CorruptChunk(f"{name} makes {len(data)} bytes of {len(plain)}, expected {length}")
    return data


def is_known(name: str) -> bool:
    """Return whether rewrap() knows *name*."""
    return name in _loaded or name in _MODULES


def register_wrapper(name: str, wrapper: Wrapper) -> None:
    """Add a wrapper; a name keeps its first meaning (ValueError otherwise)."""
    if name in _MODULES or _loaded.setdefault(name, wrapper) is not wrapper:
        raise ValueError(f"wrapper {name!r} is already registered")


def _resolve(name: str) -> Wrapper:
    if name not in _loaded:
        if name not in _MODULES:
            raise UnknownName(f"wrapper {name!r} is not known")
        _loaded[name] = cast(Wrapper, importlib.import_module(_MODULES[name]))
    return _loaded[name]
