"""Fingerprints and file digests: canonical, eight bytes, and named for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.errors import UnknownName
from dedup.fingerprint import (
    DEFAULT_FINGERPRINT,
    FileDigest,
    digest,
    digests,
    fingerprint,
    fingerprint_from_number,
    fingerprint_number,
    fingerprint_numbers,
    fingerprints,
    fingerprints_from_numbers,
    register_fingerprint,
    resolve_fingerprint,
)
from dedup.values import Fingerprint


def test_fingerprints_are_the_leading_half_of_canonical_xxh3_128() -> None:
    assert fingerprint(b"").hex() == "99aa06d3014798d8"
    assert resolve_fingerprint(DEFAULT_FINGERPRINT)(b"") == fingerprint(b"")


@given(name=st.binary(min_size=8, max_size=8).map(Fingerprint))
def test_a_fingerprint_is_a_signed_number_to_sql(name: Fingerprint) -> None:
    number = fingerprint_number(name)

    assert -(1 << 63) <= number < 1 << 63
    assert fingerprint_from_number(number) == name


@given(names=st.lists(st.binary(min_size=8, max_size=8).map(Fingerprint)))
def test_many_fingerprints_are_the_numbers_of_each_and_come_back(names: list[Fingerprint]) -> None:
    numbers = fingerprint_numbers(names)

    assert list(numbers) == [fingerprint_number(name) for name in names]
    assert fingerprints_from_numbers(numbers) == names


def weak(data: bytes | bytearray | memoryview) -> Fingerprint:
    return Fingerprint(bytes(7) + fingerprint(data)[-1:])


@given(pieces=st.lists(st.binary(max_size=3000)))
def test_many_are_named_as_each_is(pieces: list[bytes]) -> None:
    views = [memoryview(piece) for piece in pieces]

    assert digests(views) == [digest(piece) for piece in pieces]
    for function in (fingerprint, weak):
        assert fingerprints(views, function) == [function(piece) for piece in pieces]


def test_a_fingerprint_name_keeps_its_meaning() -> None:
    register_fingerprint("test-keeps", weak)
    register_fingerprint("test-keeps", weak)

    assert resolve_fingerprint("test-keeps") is weak
    with pytest.raises(ValueError, match="already"):
        register_fingerprint("test-keeps", fingerprint)
    with pytest.raises(UnknownName):
        resolve_fingerprint("crc32")


@given(lengths=st.lists(st.integers(0, 3 << 20), max_size=3), data=st.binary(max_size=50))
def test_zeros_are_digested_as_zeros(lengths: list[int], data: bytes) -> None:
    whole, plain = FileDigest(), bytearray()
    for length in lengths:
        whole.update(data)
        whole.update_zeros(length)
        plain += data + bytes(length)

    assert whole.digest() == digest(plain)
