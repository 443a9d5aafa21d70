"""Chunkers: cuts depend on the content alone, whatever buffers it arrives in."""

import os
import random
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.chunkers import GIB, HUGE, LARGE, LONGEST_CHUNK, SMALL, GearChunker, chunker_for, resolve_chunker
from dedup.errors import UnknownName
from dedup.gear_reference import reference_cuts

TINY = "gear-1:64-256-1k"
WIDE = "gear-1:100-700-4k"


def gear(name: str) -> GearChunker:
    chunker = resolve_chunker(name)
    assert isinstance(chunker, GearChunker)
    return chunker


def streamed(chunker: GearChunker, data: bytes, buffer_len: int) -> list[int]:
    """Return the cuts of *data* offered in buffers of *buffer_len*, with the uncut tail carried over."""
    cuts: list[int] = []
    start, end = 0, 0
    while end < len(data):
        end = min(len(data), end + buffer_len)
        found = chunker.cuts(memoryview(data)[start:end], final=end == len(data))
        cuts += [start + cut for cut in found]
        start = cuts[-1] if cuts else 0
    return cuts


BYTES = st.one_of(
    st.binary(max_size=3000),
    st.builds(lambda seed, n: random.Random(seed).randbytes(n), st.integers(0, 2**32), st.integers(0, 40_000)),
    st.builds(lambda unit, n: unit * n, st.binary(min_size=1, max_size=5), st.integers(0, 6000)),
)


@settings(max_examples=60, deadline=None)
@given(data=BYTES, final=st.booleans(), name=st.sampled_from([TINY, WIDE]))
def test_the_kernel_equals_the_reference(data: bytes, final: bool, name: str) -> None:
    chunker = gear(name)

    expected = reference_cuts(data, chunker.sizes, chunker.thresholds, final=final)

    assert chunker.cuts(memoryview(data), final=final) == expected


def test_the_kernel_equals_the_reference_across_stripes() -> None:
    """Chunks longer than four stripes of 4 KiB take the path that small chunks never reach."""
    data = random.Random(5).randbytes(400_000)
    for name in ("gear-1:4k-40k-120k", "gear-1:64-100k-200k", "gear-1:1k-64k-64k"):
        chunker = gear(name)
        expected = reference_cuts(data, chunker.sizes, chunker.thresholds, final=True)
        assert chunker.cuts(memoryview(data), final=True) == expected


@settings(max_examples=60, deadline=None)
@given(data=BYTES, buffer_len=st.integers(1, 5000), name=st.sampled_from([TINY, WIDE]))
def test_cuts_do_not_depend_on_buffers(data: bytes, buffer_len: int, name: str) -> None:
    chunker = gear(name)

    assert streamed(chunker, data, buffer_len) == chunker.cuts(memoryview(data), final=True)


@settings(max_examples=40, deadline=None)
@given(data=BYTES)
def test_every_chunk_keeps_to_the_sizes(data: bytes) -> None:
    chunker = gear(TINY)
    ends = [0, *chunker.cuts(memoryview(data), final=True)]
    lengths = [end - start for start, end in pairwise(ends)]

    assert sum(lengths) == len(data)
    assert all(chunker.min_len <= length <= chunker.max_len for length in lengths[:-1])
    assert all(0 < length <= chunker.max_len for length in lengths[-1:])


def test_what_may_still_grow_is_not_cut() -> None:
    chunker = gear(TINY)
    data = random.Random(1).randbytes(50_000)

    open_cuts = chunker.cuts(memoryview(data), final=False)

    assert open_cuts == chunker.cuts(memoryview(data), final=True)[: len(open_cuts)]
    assert len(data) - open_cuts[-1] < chunker.max_len


def test_an_edit_moves_only_the_cuts_around_it() -> None:
    data = random.Random(2).randbytes(4 << 20)
    edited = data[: 2 << 20] + b"a few bytes more" + data[2 << 20 :]
    chunker = gear(SMALL)

    before = set(pieces(chunker, data))
    after = pieces(chunker, edited)

    new = [piece for piece in after if piece not in before]
    assert sum(map(len, new)) < 4 * chunker.max_len
    assert len(new) < len(after) / 4


def test_the_average_is_near_its_name() -> None:
    data = random.Random(3).randbytes(16 << 20)
    chunker = gear(SMALL)

    mean = len(data) / len(chunker.cuts(memoryview(data), final=True))

    assert 0.75 * chunker.avg_len < mean < 1.25 * chunker.avg_len


def test_a_small_file_is_one_chunk_without_the_kernel() -> None:
    script = (
        "import sys; from dedup.chunkers import *; c = resolve_chunker(SMALL);"
        "assert c.cuts(memoryview(bytes(16384)), final=True) == [16384];"
        "assert c.cuts(memoryview(b''), final=True) == [];"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_kernel_works_where_no_cache_can_be_written() -> None:
    script = (
        "from dedup.chunkers import *;"
        "c = resolve_chunker('gear-1:64-256-1k');"
        "assert c.cuts(memoryview(bytes(5000)), final=True) == [1024, 2048, 3072, 4096, 5000], c"
    )
    nowhere = {**os.environ, "NUMBA_CACHE_DIR": "/dev/null/nowhere"}
    subprocess.run([sys.executable, "-c", script], check=True, env=nowhere)


@pytest.mark.parametrize("limit", [1, 2, 1000])
def test_a_limit_changes_no_cut(limit: int) -> None:
    data = memoryview(random.Random(9).randbytes(60_000))
    for final in (False, True):
        whole = gear(TINY).cuts(data, final=final)
        assert gear(TINY).cuts(data, final=final, limit=limit) == whole[:limit]


@pytest.mark.parametrize(
    ("size", "name"),
    [(0, SMALL), (GIB, SMALL), (GIB + 1, LARGE), (64 * GIB, LARGE), (64 * GIB + 1, HUGE), (1 << 50, HUGE)],
)
def test_the_chunker_follows_the_size(size: int, name: str) -> None:
    assert chunker_for(size) == name
    assert resolve_chunker(name).max_len <= LONGEST_CHUNK


@pytest.mark.parametrize(
    "name",
    ["", "gear-1", "gear-2:16k-64k-256k", "gear-1:32-64k-256k", "gear-1:64k-16k-256k", "gear-1:16k-64k-17m",
     "gear-1:16k-64k-99999999999k", "gear-1:16K-64K-256K", "gear-1:16k-64k-256k "],
)  # fmt: skip
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        resolve_chunker(name)


def pieces(chunker: GearChunker, data: bytes) -> list[bytes]:
    ends = [0, *chunker.cuts(memoryview(data), final=True)]
    return [data[start:end] for start, end in pairwise(ends)]


@given(seed=st.integers(0, 50), width=st.sampled_from([2, 4, 8]), splits=st.lists(st.integers(1, 900_000), max_size=4))
def test_cuts_of_elements_are_whole_and_the_same_over_any_split(seed: int, width: int, splits: list[int]) -> None:
    data = random.Random(seed).randbytes(1_000_003)
    chunker = resolve_chunker(f"gear-1:4k-16k-64k:of-{width}")
    whole = chunker.cuts(memoryview(data), final=True)
    assert whole[-1] == len(data)
    assert all(end % width == 0 for end in whole[:-1])
    begun, found = 0, []
    for split in [*sorted(splits), len(data)]:
        ends = chunker.cuts(memoryview(data)[begun:split], final=split == len(data)) if split > begun else []
        found += [begun + end for end in ends]
        begun = found[-1] if found else 0
    assert found == whole


def test_rows_that_come_again_are_found_again() -> None:
    rows = random.Random(1).randbytes(400_000)
    chunker = resolve_chunker("gear-1:4k-16k-64k:of-4")
    data = memoryview(rows + rows)
    ends = chunker.cuts(data, final=True)
    pieces = [bytes(data[start:end]) for start, end in pairwise([0, *ends])]
    assert len(set(pieces)) < 0.7 * len(pieces)
