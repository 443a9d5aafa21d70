"""Digests of many pieces at once are those of the BLAKE3 library; where they cannot be had at once, it makes them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.fingerprint import fingerprint
from dedup.kernels.digests import find_digests
from dedup.naming import LONG_BYTES, MANY, Among, digests_in, named

DATA = np.random.default_rng(7).bytes(1 << 20)
PIECES = st.lists(
    st.tuples(st.integers(0, 1 << 18), st.one_of(st.integers(0, 3000), st.integers(0, 2 * LONG_BYTES))), max_size=60
)


def known(pieces: list[tuple[int, int]]) -> list[bytes]:
    return [blake3(DATA[start : start + length]).digest() for start, length in pieces]


def columns(pieces: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pieces, dtype=np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def together(pieces: list[tuple[int, int]]) -> list[bytes]:
    joined = find_digests(np.frombuffer(DATA, dtype=np.uint8), *columns(pieces))
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


@settings(max_examples=100, deadline=None)
@given(pieces=PIECES)
@example(pieces=[(5, LONG_BYTES - 1), (6, LONG_BYTES)])
@example(pieces=[(0, 0), (9, 0), (1, 1)])
def test_pieces_of_any_length_and_place_have_the_digests_of_the_library(pieces: list[tuple[int, int]]) -> None:
    among = Among(memoryview(DATA), *columns(pieces))

    assert together(pieces) == known(pieces)
    assert digests_in(among.pieces(), among) == known(pieces)


def test_every_length_around_the_turns_of_a_tree_has_the_digest_of_the_library() -> None:
    every = [(length % 61, length) for length in range(3 * 1024 + 66)]
    turns = [(chunks % 61, 1024 * chunks + more) for chunks in range(3, 140) for more in (-1, 0, 1, 64, 65)]
    longest = [(3, 1023 * 1024), (1, 512 * 1024), (0, 1 << 20)]

    for pieces in (every, turns, longest, *([piece] for piece in turns[:40])):
        assert together(pieces) == known(pieces)


@pytest.mark.parametrize("bytes_like", [bytes, bytearray])
def test_names_are_those_of_each_piece_alone(bytes_like: type[bytes]) -> None:
    places = [(0, 100), (100, 40_000), (40_100, LONG_BYTES + 1), *((length, length) for length in range(1, 2 * MANY))]
    among = Among(memoryview(bytes_like(DATA)), *columns(places))
    views = among.pieces()

    chunks = named(views, fingerprint, among=among)

    assert [chunk.length for chunk in chunks] == [length for _, length in places]
    assert [chunk.digest for chunk in chunks] == [blake3(view).digest() for view in views]
    assert [chunk.fingerprint for chunk in chunks] == list(map(fingerprint, views))
    assert named(views, fingerprint) == chunks
    assert {chunk.digest for chunk in named(views, fingerprint, among=among, proves=False)} == {b""}
    assert digests_in(views[:5], among.some([0, 1, 2, 3, 4])) == [chunk.digest for chunk in chunks[:5]]


@pytest.mark.parametrize("pieces", [[(-1, 4)], [(0, 4), (3, -1)], [((1 << 20) - 3, 4)], [(0, 1 << 62)], [(1 << 62, 0)]])
def test_a_piece_outside_of_the_buffer_is_refused(pieces: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match=r"buffer|negative"):
        together(pieces)


NAMED = """
import sys
import blake3, numpy as np
{first}
try:
    import dedup.kernels.digests
    made = "at once"
except ImportError as error:
    made = str(error)
{then}
from dedup.naming import Among, digests_in
among = Among(memoryview(bytes(range(256)) * 64), np.arange(99), np.arange(99) * 100)
print(digests_in(among.pieces(), among) == [blake3.blake3(piece).digest() for piece in among.pieces()], made)
"""


def said(first: str, then: str = "") -> str:
    code = NAMED.format(first=first, then=then)
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout.strip()


def test_without_a_compiler_the_library_makes_all_digests() -> None:
    assert said("") == "True at once"
    assert said("sys.modules['llvmlite'] = None").startswith("True import of llvmlite halted")


def test_machine_code_that_differs_from_the_library_is_not_used() -> None:
    other = "real = blake3.blake3; blake3.blake3 = lambda data: real(bytes(data) + b'?')"

    found = said(f"import dedup.kernels.machine; {other}", "blake3.blake3 = real")

    assert found == "True digests that are computed here are not those of the BLAKE3 library"


def test_words_of_another_order_are_left_to_the_library() -> None:
    found = said("import dedup.kernels.machine; sys.byteorder = 'big'", "sys.byteorder = 'little'")

    assert found == "True digests are made of words whose lowest byte stands first"
