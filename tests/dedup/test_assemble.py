"""Assembling: nothing leaves that its digest does not confirm; bases are followed so far and no further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.assemble import (
    StoredChunk,
    chunk_view,
    open_block,
    open_by_digest,
    open_chunk,
    rewrapped,
)
from dedup.errors import CorruptChunk, UnknownName
from dedup.fingerprint import digest
from dedup.values import MAX_BASE_DEPTH, Digest, WrappedPart
from tests.dedup import deltas
from tests.dedup.samples import part


@given(chunks=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5), flip=st.integers(0, 2000))
def test_a_chunk_of_a_block_is_its_digests_or_nothing(chunks: list[bytes], flip: int) -> None:
    raw = bytearray(b"".join(chunks))
    raw[flip // 8 % len(raw)] ^= 1 << flip % 8
    start, wrong = 0, 0
    for chunk in chunks:
        try:
            assert chunk_view(bytes(raw), start, len(chunk), digest(chunk)) == chunk
        except CorruptChunk:
            wrong += 1
        start += len(chunk)
    assert wrong == 1


def test_a_chunk_beyond_its_block_is_refused() -> None:
    with pytest.raises(CorruptChunk):
        chunk_view(b"abc", 1, 3, digest(b"bc"))


def test_a_whole_block_is_opened_or_refused() -> None:
    assert open_chunk("raw", b"abc", 3, digest(b"abc")) == b"abc"
    assert open_block("raw", b"abd", 3) == b"abd"
    with pytest.raises(CorruptChunk):
        open_chunk("raw", b"abd", 3, digest(b"abc"))
    with pytest.raises(UnknownName):
        open_chunk("lz77", b"abd", 3, digest(b"abd"))


@pytest.mark.parametrize("depth", range(MAX_BASE_DEPTH + 1))
def test_bases_are_followed_to_the_end(depth: int) -> None:
    chain = deltas.chain(depth)

    assert open_by_digest(chain.wanted, chain.find) == chain.raw
    assert len(chain.asked) == depth + 1


def test_a_chain_that_is_too_deep_is_refused_before_anything_is_decoded() -> None:
    chain = deltas.chain(MAX_BASE_DEPTH + 1)

    with pytest.raises(CorruptChunk, match=f"more than {MAX_BASE_DEPTH}"):
        open_by_digest(chain.wanted, chain.find)


def test_a_chain_that_closes_on_itself_is_refused() -> None:
    """No writer can make one, since a digest would have to contain itself; a forged catalog can claim one."""
    one, two = digest(b"1"), digest(b"2")

    def find(name: Digest) -> StoredChunk:
        return StoredChunk("raw", b"x", 1, 0, 1, two if name == one else one)

    with pytest.raises(CorruptChunk, match="against itself"):
        open_by_digest(one, find)


def test_a_base_that_is_not_what_its_digest_says_is_refused() -> None:
    chain = deltas.chain(2)
    chain.damage_the_last()

    with pytest.raises(CorruptChunk):
        open_by_digest(chain.wanted, chain.find)


def test_a_base_may_be_one_of_many_chunks_of_its_block() -> None:
    stored = StoredChunk("raw", b"before-base-after", 17, 7, 4, None)

    assert open_by_digest(digest(b"base"), lambda _: stored) == b"base"


def test_a_wrapped_part_of_an_unknown_codec_is_refused() -> None:
    with pytest.raises(UnknownName):
        rewrapped(WrappedPart("lzma:1", 5, (part(b"plain"),)), b"plain")
