"""The filter never loses a key, and its machine code computes what its plain functions say."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from dedup.errors import DedupError
from dedup.membership import (
    LARGEST_BLOCKS,
    SMALLEST_BLOCKS,
    WORDS,
    KeyFilter,
    Keys,
    add_plainly,
    filter_for,
    keys_of,
    may_hold_plainly,
)

KEYS = st_numpy.arrays(np.uint64, st.integers(0, 200))


def drawn(seed: int, count: int) -> Keys:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first call compiles
@given(added=KEYS, asked=KEYS)
def test_the_kernel_computes_what_the_plain_functions_say(added: Keys, asked: Keys) -> None:
    quick, plain = filter_for(0), filter_for(0)
    quick.add(added)
    add_plainly(plain.table, added)

    assert np.array_equal(quick.table, plain.table)
    assert quick.may_hold(added).all()
    assert np.array_equal(quick.may_hold(asked), may_hold_plainly(plain.table, asked))


def test_no_key_is_lost_and_few_absent_ones_pass() -> None:
    full = filter_for(700_000)
    keys = drawn(1, full.capacity)
    full.add(keys)

    assert full.may_hold(keys).all()
    assert full.may_hold(drawn(2, 200_000)).mean() < 0.006  # 0.0037 at 13 bits a key


def test_a_filter_taken_up_again_is_the_same() -> None:
    first = filter_for(0)
    first.add(drawn(3, 1000))
    again = KeyFilter(np.frombuffer(first.table.tobytes(), dtype=np.uint32).copy())

    assert again.may_hold(drawn(3, 1000)).all()
    assert again.may_hold(drawn(4, 1000)).sum() == first.may_hold(drawn(4, 1000)).sum()


def test_its_size_is_bounded_both_ways() -> None:
    assert len(filter_for(0).table) == SMALLEST_BLOCKS * WORDS
    assert len(filter_for(10**12).table) == LARGEST_BLOCKS * WORDS
    assert filter_for(20_000_000).capacity >= 20_000_000
    for words in (0, 7, SMALLEST_BLOCKS * WORDS - WORDS, SMALLEST_BLOCKS * WORDS + 1):
        with pytest.raises(ValueError, match="are no filter"):
            KeyFilter(np.zeros(words, dtype=np.uint32))


def test_keys_are_fingerprints_read_big_endian() -> None:
    assert keys_of(bytes(7) + b"\x01" + b"\xff" * 8).tolist() == [1, 2**64 - 1]
    with pytest.raises(DedupError, match="not fingerprints"):
        keys_of(bytes(12))
