"""Machine code and numpy give the same bytes; where there is no machine code, everything still works."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.codecs import arrays, encode, encode_against, sections
from dedup.codecs.elements import ELEMENTS, SORTED, Sorting, context, difference
from dedup.kernels import delta, planes
from tests.dedup.tensors import trained, weights

BYTES = st.one_of(
    st.binary(max_size=600),
    st.builds(lambda seed, n: np.random.default_rng(seed).bytes(n), st.integers(0, 2**32), st.integers(0, 20_000)),
)
WIDTHS = st.sampled_from([2, 4, 8])


def words_of(data: bytes, width: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.frombuffer(data[: len(data) // width * width], dtype=f"<u{width}")


@settings(max_examples=100, deadline=None)
@given(data=BYTES, width=WIDTHS, turn=st.integers(0, 1))
def test_planes_are_the_same(data: bytes, width: int, turn: int) -> None:
    words = words_of(data, width)
    fast, plain = np.empty((2, width, len(words)), dtype=np.uint8)
    planes.split(words, turn, list(fast))
    arrays.split(words, turn, list(plain))
    assert np.array_equal(fast, plain)

    for room in (planes, arrays):
        joined = np.empty_like(words)
        room.join(list(fast), turn, joined)
        assert np.array_equal(joined, words)


@settings(max_examples=100, deadline=None)
@given(data=BYTES, other=BYTES, element=st.sampled_from(SORTED), is_difference=st.booleans())
def test_sorted_words_are_the_same(data: bytes, other: bytes, element: str, is_difference: bool) -> None:
    width = ELEMENTS[element].width
    size = min(len(data), len(other))
    words, base = words_of(data[:size], width), words_of(other[:size], width)
    sorting = difference(element) if is_difference else context(element)
    fast = delta.scatter(words, base, sorting)

    assert np.array_equal(fast, arrays.scatter(words, base, sorting))
    assert np.array_equal(delta.gather(fast, base, sorting), words)
    assert np.array_equal(arrays.gather(fast, base, sorting), words)


@settings(max_examples=100, deadline=None)
@given(data=BYTES)
def test_roundings_are_the_same(data: bytes) -> None:
    wide = words_of(data, 4)

    assert np.array_equal(delta.round_bf16(wide), arrays.round_bf16(wide))


@settings(max_examples=60, deadline=None)
@given(
    pattern=BYTES,
    width=st.sampled_from([1, 2, 4, 8]),
    head=st.integers(0, 7),
    count=st.integers(0, 40_000),
    step=st.sampled_from([32 << 10, 128 << 10]),
)
def test_words_are_guessed_the_same(pattern: bytes, width: int, head: int, count: int, step: int) -> None:
    drawn = np.random.default_rng(count).standard_normal(count)
    numbers = drawn.astype({1: "i1", 2: "<f2", 4: "<f4", 8: "<f8"}[width]).tobytes()
    data = np.frombuffer(bytes(head) + numbers + pattern * (count % 50), dtype=np.uint8)
    plain = [sections._guess(data[start : start + step]) for start in range(0, len(data), step)]

    assert sections._guesses(data, step) == plain


@settings(max_examples=60, deadline=None)
@given(pattern=BYTES, width=WIDTHS, head=st.integers(0, 7), count=st.integers(1, 20_000))
def test_planes_cost_the_same_by_entropy(pattern: bytes, width: int, head: int, count: int) -> None:
    drawn = np.random.default_rng(count).standard_normal(count).astype({2: "<f2", 4: "<f4", 8: "<f8"}[width])
    data = np.frombuffer(bytes(head % width) + drawn.tobytes() + pattern, dtype=np.uint8)
    guess = (width, head % width)

    for found, plain in zip(sections._spent(data, guess), sections._plainly_spent(data, guess), strict=True):
        assert found == pytest.approx(plain, abs=1e-6)


def test_sorting_looks_at_nothing_but_the_base() -> None:
    """Words of a payload may be anything: positions in memory come from the base, which is as long."""
    base = np.zeros(10, dtype="<u2")
    with pytest.raises(ValueError, match="one length"):
        delta.gather(np.zeros(11, dtype="<u2"), base, difference("bf16"))
    with pytest.raises(ValueError, match="one length"):
        delta.scatter(np.zeros(10, dtype="<u4"), base, difference("bf16"))
    with pytest.raises(ValueError, match="8 bits"):
        delta.gather(base, base, Sorting(0, 0x1FF, 0, 0, 15, 0))


CODED = """
import hashlib, sys
{hide}
from dedup.codecs import decode, encode, encode_against
from tests.dedup.tensors import trained, weights
seen = hashlib.sha256()
for element in ("bf16", "f16", "f32", "f64"):
    base = weights(20_000, element)
    raw = trained(base, element)
    coded = encode(base, kind="tensor", element=element, effort="fast")
    other = encode_against(raw, base, element=element, base_element=element, effort="fast")
    assert decode(other.codec, other.payload, len(raw), base) == raw
    seen.update(coded.payload + other.payload)
print(seen.hexdigest(), sys.modules.get("llvmlite") is not None)
"""


def said_without(hide: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODED.format(hide=hide)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout.split()


def test_without_a_compiler_the_same_bytes_are_written() -> None:
    with_it = said_without("")
    without = said_without("sys.modules['llvmlite'] = None")

    assert with_it[1] == "True"
    assert without == [with_it[0], "False"]


def test_what_is_no_tensor_needs_no_machine_code() -> None:
    """Loading it takes a while: it is not for those who store text."""
    code = (
        "import sys; from dedup.codecs import decode, encode; text = b'one two three ' * 9000;"
        "c = encode(text, kind='text', effort='fast'); decode(c.codec, c.payload, len(text));"
        "print('llvmlite' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )

    assert done.stdout.strip() == "False"


def test_a_buffer_at_an_odd_address_is_read_all_the_same() -> None:
    base = weights(20_000, "f32")
    raw = trained(base, "f32")
    odd_base, odd = memoryview(b"?" + base)[1:], memoryview(b"?" + raw)[1:]

    assert encode(odd, kind="tensor", element="f32", effort="fast") == encode(
        raw, kind="tensor", element="f32", effort="fast"
    )
    assert encode_against(odd, odd_base, element="f32", base_element="f32", effort="fast") == encode_against(
        raw, base, element="f32", base_element="f32", effort="fast"
    )
