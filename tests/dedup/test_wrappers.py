"""Wrappers: a page is unwrapped only if the frozen encoder gives the very same bytes back."""

import zlib
from dataclasses import dataclass

import pytest

from dedup.errors import CorruptChunk, UnknownName
from dedup.fingerprint import Buffer
from dedup.wrappers import is_known, register_wrapper, rewrap, unwrap


@dataclass(frozen=True)
class Deflate:
    """A stand-in whose encoder is a library's: good enough for a test, never for stored data."""

    def unwrap(self, data: Buffer) -> bytes | None:
        try:
            plain = zlib.decompress(data)
        except zlib.error:
            return None
        return plain if self.rewrap(plain, len(data)) == data else None

    def rewrap(self, plain: Buffer, length: int) -> bytes:
        return zlib.compress(plain, 9)


register_wrapper("test-deflate:1", Deflate())


def test_what_the_encoder_reproduces_is_unwrapped() -> None:
    page = zlib.compress(b"plain " * 50, 9)

    assert unwrap("test-deflate:1", page) == b"plain " * 50
    assert rewrap("test-deflate:1", b"plain " * 50, len(page)) == page


def test_what_it_does_not_reproduce_stays_as_it_is() -> None:
    assert unwrap("test-deflate:1", zlib.compress(b"plain " * 50, 1)) is None
    assert unwrap("test-deflate:1", b"not a page") is None


def test_another_length_is_damage() -> None:
    with pytest.raises(CorruptChunk):
        rewrap("test-deflate:1", b"plain", 3)


def test_names_are_known_and_keep_their_meaning() -> None:
    assert is_known("test-deflate:1")
    assert not is_known("lzma:1")
    with pytest.raises(UnknownName):
        unwrap("lzma:1", b"")
    with pytest.raises(ValueError, match="already"):
        register_wrapper("test-deflate:1", Deflate())
