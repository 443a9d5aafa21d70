"""Codecs: what goes in comes out, and nothing else is believed."""

import os

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dedup.assemble import open_chunk
from dedup.codecs import EFFORTS, decode, encode, is_known
from dedup.errors import CorruptChunk, DedupError, UnknownName
from dedup.fingerprint import digest


@given(data=st.binary(max_size=4000), effort=st.sampled_from(sorted(EFFORTS)))
def test_what_is_encoded_decodes(data: bytes, effort: str) -> None:
    coded = encode(memoryview(data), effort=effort)

    assert len(coded.payload) <= len(data)
    assert decode(coded.codec, coded.payload, len(data)) == data
    assert open_chunk(coded.codec, coded.payload, len(data), digest(data)) == data


def test_what_does_not_shrink_is_kept_raw() -> None:
    noise = os.urandom(5000)

    assert encode(noise, effort="small").codec == "raw"
    assert encode(bytes(5000), effort="small").codec == "zstd:9"
    assert encode(b"", effort="fast").codec == "raw"


@given(payload=st.binary(max_size=300), raw_len=st.integers(0, 1 << 40), codec=st.sampled_from(["raw", "zstd:3"]))
def test_random_payloads_raise_corrupt_chunk_only(payload: bytes, raw_len: int, codec: str) -> None:
    try:
        assert len(decode(codec, payload, raw_len)) == raw_len
    except CorruptChunk:
        pass


@given(data=st.binary(min_size=50, max_size=500), flips=st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_a_flipped_bit_never_yields_other_bytes(data: bytes, flips: list[int]) -> None:
    coded = encode(data * 8, effort="balanced")
    damaged = bytearray(coded.payload)
    for flip in flips:
        damaged[flip // 8 % len(damaged)] ^= 1 << flip % 8
    try:
        assert open_chunk(coded.codec, bytes(damaged), len(data) * 8, digest(data * 8)) == data * 8
    except DedupError:
        pass


def test_a_frame_that_claims_terabytes_is_refused_before_it_is_allocated() -> None:
    # Hand-made frame header: magic, descriptor 0xe0 (single segment, 8-byte content size), the size, one empty block.
    claim = 1 << 42
    frame = b"\x28\xb5\x2f\xfd\xe0" + claim.to_bytes(8, "little") + b"\x01\x00\x00"
    assert zstandard.frame_content_size(frame) == claim

    with pytest.raises(CorruptChunk):
        decode("zstd:3", frame, claim)
    with pytest.raises(CorruptChunk):
        decode("zstd:3", frame, 100)


def test_a_frame_without_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 100)

    with pytest.raises(CorruptChunk):
        decode("zstd:3", frame, 100)


def test_bytes_after_the_frame_are_refused() -> None:
    frame = zstandard.ZstdCompressor().compress(b"x" * 100)

    with pytest.raises(CorruptChunk):
        decode("zstd:3", frame + b"!", 100)


def test_unknown_names_are_refused() -> None:
    assert is_known("zstd:22")
    assert not is_known("zstd:23")
    with pytest.raises(UnknownName):
        decode("lz77", b"", 0)
    with pytest.raises(ValueError, match="effort"):
        encode(b"", effort="heroic")
