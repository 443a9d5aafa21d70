"""Text is cut at the ends of records, and a record finds itself again wherever it moves."""

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.chunkers import resolve_chunker
from dedup.errors import UnknownName
from dedup.formats.records import LONGEST, RECORD, RECORDS
from tests.dedup.formats.record_reference import reference_cuts


def chunks(data: bytes) -> list[bytes]:
    """Return the chunks of *data*."""
    ends = RECORDS.cuts(memoryview(data), final=True)
    return [data[start:end] for start, end in pairwise([0, *ends])]


def rows(count: int, seed: int, length: int) -> list[bytes]:
    """Return *count* lines of about *length* bytes."""
    rng = random.Random(seed)
    texts = (rng.randbytes(rng.randrange(length) // 2 + 1).hex() for _ in range(count))
    return [json.dumps({"id": rng.random(), "text": text}).encode() + b"\n" for text in texts]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Lines around the lengths at which the rules change."""
    seed = draw(st.integers(0, 1 << 32))
    near = [1, 40, 63, 64, RECORD - 1, RECORD, RECORD + 1, 9000, LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST + 7]
    lengths = draw(st.lists(st.sampled_from(near), max_size=12)) + draw(st.lists(st.integers(1, 300), max_size=60))
    rng = random.Random(seed)
    rng.shuffle(lengths)
    lines = [rng.randbytes(length - 1).replace(b"\n", b"n") + b"\n" for length in lengths]
    data = b"".join(lines)
    return data[: len(data) - draw(st.integers(0, 100))] if data else data


@settings(max_examples=40, deadline=None)
@given(texts())
def test_the_kernel_does_what_the_description_says(data: bytes) -> None:
    assert RECORDS.cuts(memoryview(data), final=True) == reference_cuts(data)


@settings(max_examples=60, deadline=None)
@given(texts(), st.lists(st.integers(1, 200_000), max_size=5))
def test_buffers_change_no_cut(data: bytes, steps: list[int]) -> None:
    ends: list[int] = []
    done = held = 0
    for step in [*steps, len(data)]:
        held = min(len(data), held + step)
        final = held == len(data)
        ends += [done + end for end in RECORDS.cuts(memoryview(data)[done:held], final=final)]
        done = ends[-1] if ends else 0
        assert final or held - done <= LONGEST

    assert ends == RECORDS.cuts(memoryview(data), final=True)


@settings(max_examples=60, deadline=None)
@given(texts())
def test_chunks_cover_the_text_and_have_a_longest(data: bytes) -> None:
    pieces = chunks(data)

    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= LONGEST for piece in pieces)


def test_a_shuffled_epoch_is_found_again_whole() -> None:
    lines = [line for line in rows(400, 1, 20_000) if len(line) >= RECORD]
    shuffled = list(lines)
    random.Random(2).shuffle(shuffled)

    assert set(chunks(b"".join(shuffled))) == set(chunks(b"".join(lines))) == set(lines)


def test_short_records_between_long_ones_do_not_hide_them() -> None:
    lines = rows(300, 3, 6_000)
    shuffled = list(lines)
    random.Random(4).shuffle(shuffled)
    known = set(chunks(b"".join(lines)))
    found = sum(len(piece) for piece in chunks(b"".join(shuffled)) if piece in known)

    assert found >= sum(len(line) for line in lines if len(line) >= RECORD)


def test_a_row_put_into_a_table_costs_a_few_groups() -> None:
    lines = rows(20_000, 5, 60)
    edited = [*lines[:9_000], b"a new row\n", *lines[9_001:]]
    known = set(chunks(b"".join(lines)))
    new = [piece for piece in chunks(b"".join(edited)) if piece not in known]

    assert 0 < len(new) <= 3


def test_groups_are_about_as_long_as_they_should_be() -> None:
    pieces = chunks(b"".join(rows(40_000, 6, 60)))

    assert 12_000 < sum(map(len, pieces)) / len(pieces) < 24_000


def test_a_text_without_newlines_is_cut_by_its_content() -> None:
    text = random.Random(7).randbytes(600_000).hex().encode()
    known = set(chunks(text))
    moved = chunks(b"x" * 1000 + text)

    assert sum(piece in known for piece in moved) > len(moved) / 2


def test_the_name_resolves_and_no_other_does() -> None:
    assert resolve_chunker(RECORDS.name) is RECORDS
    with pytest.raises(UnknownName):
        resolve_chunker("records-2:1k-2k-3k")
