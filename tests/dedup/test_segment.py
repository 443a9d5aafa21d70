"""Segments: numbered, chained, and refused when a single bit is not as written."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import DedupError, FormatError
from dedup.segment import decode_segment, encode_segment, segment_hash
from tests.dedup.samples import RECORDS, sample_segment

RECORD = st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=9)), max_size=3)


@given(records=st.lists(RECORD.map(json.dumps), max_size=30), number=st.integers(1, 1 << 60))
def test_records_come_back(records: list[str], number: int) -> None:
    data = encode_segment(number, "", records)

    segment = decode_segment(data)

    assert (segment.number, segment.prev_hash, segment.records) == (number, "", tuple(records))
    assert segment.hash == segment_hash(data)


def test_segments_form_a_chain() -> None:
    first = encode_segment(1, "", RECORDS)
    second = encode_segment(2, segment_hash(first), RECORDS)

    assert decode_segment(second).prev_hash == decode_segment(first).hash


def test_many_records_shrink() -> None:
    records = [json.dumps({"kind": "file", "path": f"some/dir/file-{i}.bin"}) for i in range(2000)]

    assert len(encode_segment(1, "", records)) < sum(map(len, records)) / 4


@settings(max_examples=150)
@given(bit=st.integers(0, 8 * 2000), records=st.sampled_from([RECORDS, RECORDS * 40]))
def test_a_flipped_bit_changes_the_hash_or_is_refused(bit: int, records: tuple[str, ...]) -> None:
    data = bytearray(encode_segment(1, "", records))
    sound = decode_segment(bytes(data))
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    try:
        found = decode_segment(bytes(data))
        assert found.records == sound.records
        assert found.hash != sound.hash
    except DedupError:
        pass


@given(data=st.binary(max_size=300), cut=st.integers(0, 250))
def test_random_and_cut_bytes_raise_dedup_errors_only(data: bytes, cut: int) -> None:
    with pytest.raises(DedupError):
        decode_segment(data)
    whole = sample_segment()
    if cut:
        with pytest.raises(DedupError):
            decode_segment(whole[:-cut])
    with pytest.raises(DedupError):
        decode_segment(whole[: len(whole) // 2] + data)


def test_what_breaks_lines_or_chains_is_refused() -> None:
    with pytest.raises(FormatError):
        encode_segment(1, "", ["two\nlines"])
    for wrong in ("abc", "zz" * 32, "ab" * 31, "00" * 32):
        with pytest.raises(FormatError):
            encode_segment(2, wrong, [])
