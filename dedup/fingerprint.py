"""Fingerprints find candidates, digests confirm them.

Used by dedup.ingest, dedup.assemble and the jobs that verify. XXH3 is fast and forgeable; BLAKE3 decides (P2). Eight
bytes of it are enough to find by (docs/adr/0005).
"""

import struct
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import xxhash
from blake3 import blake3

from dedup.errors import UnknownName
from dedup.values import Digest, Fingerprint

Buffer = bytes | bytearray | memoryview
FingerprintFunction = Callable[[Buffer], Fingerprint]

DEFAULT_FINGERPRINT = "xxh3-128:8"
FINGERPRINT_LEN = 8
DIGEST_LEN = 32
_ZEROS = bytes(1 << 20)


class Hasher(Protocol):
    """What FileDigest needs of an incremental hash."""

    def update(self, data: Buffer, /) -> object:
        """Add *data*."""

    def digest(self) -> bytes:
        """Return the digest so far."""


def fingerprint(data: Buffer) -> Fingerprint:
    """Return the leading 8 bytes of XXH3-128 of *data*, seed 0, in the canonical (big-endian) form."""
    return Fingerprint(xxhash.xxh3_128_digest(data)[:FINGERPRINT_LEN])


def fingerprints(pieces: Sequence[Buffer], function: FingerprintFunction) -> list[Fingerprint]:
    """Return function(piece) of each of *pieces*."""
    if function is not fingerprint:
        return list(map(function, pieces))
    # The same without a Python call for each: they are made by the ten thousand.
    return cast(list[Fingerprint], [name[:FINGERPRINT_LEN] for name in map(xxhash.xxh3_128_digest, pieces)])


def fingerprint_number(name: Fingerprint) -> int:
    """Return a fingerprint as the signed 64-bit number that SQL columns hold."""
    return int.from_bytes(name, "big", signed=True)


def fingerprint_numbers(names: Sequence[Fingerprint]) -> tuple[int, ...]:
    """Return fingerprint_number() of each."""
    return struct.unpack(f">{len(names)}q", b"".join(names))


def fingerprint_from_number(number: int) -> Fingerprint:
    """Return the fingerprint that fingerprint_number() made *number* of."""
    return Fingerprint(number.to_bytes(FINGERPRINT_LEN, "big", signed=True))


def fingerprints_from_numbers(numbers: Sequence[int]) -> list[Fingerprint]:
    """Return fingerprint_from_number() of each: the inverse of fingerprint_numbers()."""
    names = struct.pack(f">{len(numbers)}q", *numbers)
    return cast(list[Fingerprint], [names[at : at + FINGERPRINT_LEN] for at in range(0, len(names), FINGERPRINT_LEN)])


def digest(data: Buffer) -> Digest:
    """Return BLAKE3-256 of *data*."""
    return Digest(blake3(data).digest())


def digests(pieces: Sequence[Buffer]) -> list[Digest]:
    """Return digest(piece) of each of *pieces*."""
    return cast(list[Digest], [hasher.digest() for hasher in map(blake3, pieces)])


class FileDigest:
    """BLAKE3 of a file that arrives in pieces. One thread at a time."""

    __slots__ = ("_hasher",)

    def __init__(self) -> None:
        """Start with nothing."""
        self._hasher: Hasher = blake3()

    def update(self, data: Buffer) -> None:
        """Add *data*; releases the GIL."""
        self._hasher.update(data)

    def update_zeros(self, length: int) -> None:
        """Add *length* zero bytes, from one shared buffer of 1 MiB."""
        for _ in range(length // len(_ZEROS)):
            self._hasher.update(_ZEROS)
        self._hasher.update(memoryview(_ZEROS)[: length % len(_ZEROS)])

    def digest(self) -> Digest:
        """Return the digest of what was added so far."""
        return Digest(self._hasher.digest())


_functions: dict[str, FingerprintFunction] = {DEFAULT_FINGERPRINT: fingerprint}


def resolve_fingerprint(name: str) -> FingerprintFunction:
    """Return the function of that *name*. Raises UnknownName."""
    try:
        return _functions[name]
    except KeyError:
        raise UnknownName(f"fingerprint {name!r} is not known") from None


def register_fingerprint(name: str, function: FingerprintFunction) -> None:
    """Add a function with results of FINGERPRINT_LEN bytes; a name keeps its first meaning (ValueError otherwise)."""
    if _functions.setdefault(name, function) is not function:
        raise ValueError(f"fingerprint {name!r} is already registered")
