"""Snappy's raw format: decode it, and encode it exactly as a named library would have.

Used by dedup.snappy_page. Nothing here trusts its input. No library's encoder is called, now or at any restore: the
encoders are frozen in this repository (dedup.snappy_variants), or an upgrade would make stored data unreadable.
"""

import importlib
from functools import cache
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dedup.errors import FormatError, UnknownName
from dedup.snappy_variants import BY_LETTER, VARIANTS
from dedup.varint import decode_varints, encode_varints

# Three bytes can stand for 64, none for more: what claims to be longer is a lie, told before anything is allocated.
MOST_PER_BYTE = 22

Bytes = NDArray[np.uint8]


class _Encoder(Protocol):
    def encode(self, source: Bytes, out: Bytes) -> int: ...

    def reproduces(self, source: Bytes, coded: Bytes) -> bool: ...


class _Kernel(Protocol):
    def Encoder(self, rules: tuple[int, int, int]) -> _Encoder: ...  # noqa: N802  a class, seen as its constructor

    def decode(self, coded: Bytes, out: Bytes) -> bool: ...


def decode(coded: Bytes) -> Bytes | None:
    """Return what *coded* (a length and elements) stands for; None if it is not well-formed. Allocates that length,
    after a look whether it can be true.
    """
    parts = _split(coded)
    if parts is None:
        return None
    plain = np.empty(parts[0], dtype=np.uint8)
    return plain if _kernel().decode(parts[1], plain) else None


class Writers:
    """The frozen encoders, each made when first needed (140 KiB). Not thread-safe: one for each run of pages."""

    def __init__(self) -> None:
        self._encoders: dict[str, _Encoder] = {}
        self._letters = [variant.letter for variant in VARIANTS]

    def writer_of(self, coded: Bytes, plain: Bytes) -> str | None:
        """Return the letter of a variant that encodes *plain* to exactly *coded*, which decodes to it; None if none
        does. What was right last time is tried first.
        """
        elements = coded[len(encode_varints([len(plain)])) :]
        for letter in self._letters:
            if self._encoder(letter).reproduces(plain, elements):
                self._letters.remove(letter)
                self._letters.insert(0, letter)
                return letter
        return None

    def encode(self, letter: str, plain: Bytes, out: Bytes) -> int:
        """Write the length and elements for *plain* to *out*; return how many bytes they are, -1 if they do not fit.

        Raises UnknownName for a letter that is not known here.
        """
        head = np.frombuffer(encode_varints([len(plain)]), dtype=np.uint8)
        if len(head) > len(out):
            return -1
        out[: len(head)] = head
        written = self._encoder(letter).encode(plain, out[len(head) :])
        return -1 if written < 0 else written + len(head)

    def _encoder(self, letter: str) -> _Encoder:
        if letter not in BY_LETTER:
            raise UnknownName(f"snappy encoder {letter!r} is not known")
        if letter not in self._encoders:
            self._encoders[letter] = _kernel().Encoder(BY_LETTER[letter].rules)
        return self._encoders[letter]


def _split(coded: Bytes) -> tuple[int, Bytes] | None:
    """Return the length that *coded* announces, and its elements; None if the length cannot be true, or is written in
    more bytes than it needs, which no variant does.
    """
    head = coded[:5].tobytes()
    try:
        (length,), end = decode_varints(head, 0, 1)
    except FormatError:
        return None
    if length > MOST_PER_BYTE * len(coded) or encode_varints([length]) != head[:end]:
        return None
    return length, coded[end:]


@cache
def _kernel() -> _Kernel:
    return cast(_Kernel, importlib.import_module("dedup.kernels.snappy"))
