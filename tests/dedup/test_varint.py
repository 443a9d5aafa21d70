"""Variable-length numbers: any 64 bits come back, by both ways of reading; nothing longer is believed."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.errors import FormatError
from dedup.varint import decode_varints, encode_columns, encode_varints, unzigzag, zigzag

NUMBER = st.one_of(st.integers(0, 300), st.integers(0, (1 << 64) - 1))
WIDEST = b"\xff" * 9 + b"\x01"


@given(numbers=st.lists(NUMBER, max_size=80), before=st.binary(max_size=5), after=st.binary(max_size=20))
def test_numbers_come_back(numbers: list[int], before: bytes, after: bytes) -> None:
    encoded = encode_varints(numbers)

    found, end = decode_varints(before + encoded + after, len(before), len(numbers))

    assert (found, end) == (numbers, len(before) + len(encoded))


@given(data=st.binary(max_size=120), count=st.integers(0, 80))
def test_random_bytes_give_numbers_or_format_errors(data: bytes, count: int) -> None:
    try:
        numbers, end = decode_varints(data, 0, count)
        assert (len(numbers), end <= len(data)) == (count, True)
        assert all(0 <= number < 1 << 64 for number in numbers)
    except FormatError:
        pass


@pytest.mark.parametrize("count", [1, 100])
def test_more_than_64_bits_are_refused(count: int) -> None:
    many = b"\x05" * (count - 1)
    assert decode_varints(many + WIDEST, 0, count)[0][-1] == (1 << 64) - 1
    for wide in (b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01", b"\x80" * 10 + b"\x00"):
        with pytest.raises(FormatError):
            decode_varints(many + wide, 0, count)
    for number in (-1, 1 << 64):
        with pytest.raises(FormatError):
            encode_varints([number])


def test_a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(FormatError):
        decode_varints(bytes(100), 0, 1 << 60)


@given(number=st.integers(-(1 << 63), (1 << 63) - 1))
def test_signs_come_back(number: int) -> None:
    assert 0 <= zigzag(number) < 1 << 64
    assert unzigzag(zigzag(number)) == number


@given(groups=st.lists(st.lists(NUMBER, max_size=5), max_size=20))
def test_numbers_of_many_at_once_have_the_bytes_that_each_has_alone(groups: list[list[int]]) -> None:
    numbers = np.array([number for group in groups for number in group], dtype=np.uint64)
    ends = list(accumulate(map(len, groups)))

    assert encode_columns(numbers, ends) == [encode_varints(group) for group in groups]
