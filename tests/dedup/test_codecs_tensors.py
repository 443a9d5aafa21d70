"""Tensors on their own and against others: smaller than zstd makes them, and exact whatever the bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.codecs import EFFORTS, Coded, decode, encode, encode_against, is_known, needs_base
from dedup.codecs.elements import ELEMENTS, SORTED
from dedup.errors import CorruptChunk, UnknownName
from tests.dedup import codecs_reference
from tests.dedup.tensors import trained, weights, widened

FLOATS = ["bf16", "f16", "f32", "f64"]


def ratio(coded: Coded, raw: bytes) -> float:
    return len(coded.payload) / len(raw)


@settings(max_examples=40, deadline=None)
@given(
    data=st.binary(max_size=300),
    times=st.integers(1, 200),
    element=st.sampled_from([*ELEMENTS, "", "f4?"]),
    effort=st.sampled_from(sorted(EFFORTS)),
    kind=st.sampled_from(["tensor", "generic", "media", "text", "page"]),
)
def test_whatever_a_block_is_called_it_comes_back(
    data: bytes, times: int, element: str, effort: str, kind: str
) -> None:
    raw = data * times
    coded = encode(raw, kind=kind, element=element, effort=effort)

    assert decode(coded.codec, coded.payload, len(raw)) == raw
    assert len(coded.payload) <= len(raw)
    assert len(coded.codec) <= 64
    assert not needs_base(coded.codec)
    assert codecs_reference.decode(coded.codec, coded.payload, len(raw)) == raw


@settings(max_examples=30, deadline=None)
@given(
    element=st.sampled_from(FLOATS),
    words=st.integers(0, 9000),
    cut=st.integers(0, 7),
    seed=st.integers(0, 99),
)
def test_a_tensor_of_any_length_comes_back(element: str, words: int, cut: int, seed: int) -> None:
    raw = weights(words, element, seed)
    raw = raw[: max(0, len(raw) - cut)]
    coded = encode(raw, kind="tensor", element=element, effort="balanced")

    assert decode(coded.codec, coded.payload, len(raw)) == raw
    assert codecs_reference.decode(coded.codec, coded.payload, len(raw)) == raw


@pytest.mark.parametrize(("element", "most"), [("bf16", 0.68), ("f16", 0.88), ("f32", 0.85), ("f64", 0.93)])
def test_weights_shrink_by_what_their_exponents_hold(element: str, most: float) -> None:
    raw = weights(200_000, element)
    coded = encode(raw, kind="tensor", element=element, effort="balanced")

    assert coded.codec == f"planes-1:{element}"
    assert ratio(coded, raw) < most
    assert "raw" in coded.reason


@pytest.mark.parametrize("element", ["bf16", "f16"])
def test_f32_that_was_narrower_costs_what_it_was(element: str) -> None:
    narrow = weights(100_000, element)
    wide = widened(narrow, element)

    small = encode(narrow, kind="tensor", element=element, effort="balanced")
    coded = encode(wide, kind="tensor", element="f32", effort="balanced")

    assert len(coded.payload) <= len(small.payload) + 100
    assert f"was {element}" in coded.reason


@pytest.mark.parametrize("odd", [0x00000001, 0x7F800001, 0x7FC00000, 0x80000000, 0x00002000])
def test_one_word_that_was_never_narrow_is_kept_exactly(odd: int) -> None:
    words = np.frombuffer(widened(weights(100_000, "f16"), "f16"), dtype="<u4").copy()
    words[54_321] = odd
    raw = words.tobytes()
    coded = encode(raw, kind="tensor", element="f32", effort="balanced")

    assert decode(coded.codec, coded.payload, len(raw)) == raw
    assert ratio(coded, raw) < 0.95


@settings(max_examples=40, deadline=None)
@given(
    element=st.sampled_from(SORTED),
    words=st.integers(1100, 6000),
    cut=st.integers(0, 7),
    seed=st.integers(0, 99),
    far=st.booleans(),
)
def test_a_difference_comes_back(element: str, words: int, cut: int, seed: int, far: bool) -> None:
    base = weights(words * 2, element, seed)
    raw = weights(words * 2, element, seed + 1) if far else trained(base, element, seed)
    raw, base = raw[: len(raw) - cut], base[: len(base) - cut]
    coded = encode_against(raw, base, element=element, base_element=element, effort="fast")

    if coded is not None:
        assert needs_base(coded.codec)
        assert decode(coded.codec, coded.payload, len(raw), base) == raw
        assert codecs_reference.decode(coded.codec, coded.payload, len(raw), base) == raw
    else:
        assert far or len(raw) < 8 << 10


@pytest.mark.parametrize(("element", "most"), [("bf16", 0.25), ("f16", 0.25), ("f32", 0.15), ("f64", 0.08)])
def test_a_small_step_costs_little(element: str, most: float) -> None:
    base = weights(100_000, element)
    raw = trained(base, element)
    coded = encode_against(raw, base, element=element, base_element=element, effort="balanced")

    assert coded is not None
    assert coded.codec == f"delta-1:{element}"
    assert ratio(coded, raw) < most


def test_a_base_that_does_not_help_is_not_taken() -> None:
    raw, other = weights(100_000, "bf16", 1), weights(100_000, "bf16", 7)

    for base, base_element in ((other, "bf16"), (other[:-2], "bf16"), (other, "f16"), (b"", "bf16"), (other, "f32")):
        assert encode_against(raw, base, element="bf16", base_element=base_element, effort="balanced") is None
    assert encode_against(raw, other, element="i16", base_element="i16", effort="balanced") is None


def test_a_difference_must_beat_what_the_tensor_costs_alone() -> None:
    base = weights(100_000, "bf16")
    raw = trained(base, "bf16")
    rival = Coded("zstd:3", b"x" * 20_000)

    assert encode_against(raw, base, element="bf16", base_element="bf16", effort="fast", solo=rival) is None


def test_a_moment_is_sorted_by_the_size_of_its_steps() -> None:
    """AdamW's m is of the size of the square root of v, and nothing like v itself."""
    rng = np.random.default_rng(3)
    scale = np.exp(rng.standard_normal(200_000) * 3).astype("<f4")
    moment = (rng.standard_normal(200_000).astype("<f4") * scale).tobytes()
    base = (scale * scale).tobytes()
    coded = encode_against(moment, base, element="f32", base_element="f32", effort="balanced")

    assert coded is not None
    assert coded.codec == "context-1:f32"
    assert decode(coded.codec, coded.payload, len(moment), base) == moment
    assert codecs_reference.decode(coded.codec, coded.payload, len(moment), base) == moment


@pytest.mark.parametrize("element", ["bf16", "f16"])
def test_a_cast_costs_next_to_nothing(element: str) -> None:
    wide = weights(100_000, "f32")
    raw = codecs_reference.decode(f"cast-1:{element}", bytes(16), 0, wide)
    coded = encode_against(raw, wide, element=element, base_element="f32", effort="balanced")

    assert coded is not None
    assert coded.codec == f"cast-1:{element}"
    assert len(coded.payload) == 16
    assert decode(coded.codec, coded.payload, len(raw), wide) == raw


@settings(max_examples=60, deadline=None)
@given(
    bits=st.lists(
        st.one_of(
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**16 - 1).map(lambda high: high << 16 | 0x8000),  # ties
            st.sampled_from([0x7F800000, 0xFF800000, 0x7F800001, 0xFFC00001, 0x7F7FFFFF, 0x477FF000, 0x33000000, 1]),
            st.integers(0x32000000, 0x38FFFFFF),  # subnormal f16
        ),
        min_size=1,
        max_size=60,
    ),
    element=st.sampled_from(["bf16", "f16"]),
)
def test_every_bit_pattern_rounds_as_the_document_says(bits: list[int], element: str) -> None:
    wide = np.array(bits, dtype="<u4").tobytes()
    raw = codecs_reference.decode(f"cast-1:{element}", bytes(16), 0, wide)
    coded = encode_against(raw * 64, wide * 64, element=element, base_element="f32", effort="fast")

    assert coded is not None
    assert len(coded.payload) == 16
    assert decode(coded.codec, coded.payload, len(raw) * 64, wide * 64) == raw * 64


def test_nans_of_another_make_are_listed() -> None:
    """Frameworks choose the bits of a NaN freely: those that differ from ours stand in the payload."""
    wide = np.frombuffer(weights(100_000, "f32"), dtype="<u4").copy()
    wide[[5, 777, 99_999]] = (0x7F800001, 0xFFFFFFFF, 0x7FC00000)
    raw = np.frombuffer(codecs_reference.decode("cast-1:bf16", bytes(16), 0, wide.tobytes()), dtype="<u2").copy()
    raw[[5, 777]] = (0x7FFF, 0xFF81)
    coded = encode_against(raw.tobytes(), wide.tobytes(), element="bf16", base_element="f32", effort="fast")

    assert coded is not None
    assert len(coded.payload) == 16 + 2 * 6
    assert decode(coded.codec, coded.payload, 200_000, wide.tobytes()) == raw.tobytes()


def test_a_rounding_of_another_kind_is_no_cast() -> None:
    wide = weights(100_000, "f32")
    truncated = (np.frombuffer(wide, dtype="<u4") >> np.uint32(16)).astype("<u2").tobytes()

    assert encode_against(truncated, wide, element="bf16", base_element="f32", effort="fast") is None


@pytest.mark.parametrize("head", [0, 1, 2, 3])
def test_numbers_are_found_in_bytes_of_unknown_kind(head: int) -> None:
    raw = bytes(head) + weights(300_000, "f32")
    coded = encode(raw, effort="balanced")

    assert coded.codec in {"planes-1", "sections-1"}
    assert ratio(coded, raw) < 0.85
    assert decode(coded.codec, coded.payload, len(raw)) == raw


def test_stretches_of_different_kinds_are_coded_apart() -> None:
    text = b"".join(b"the %d bottles hang on the wall, and number %d falls\n" % (i, i % 7) for i in range(8000))
    raw = weights(150_000, "f32") + text + weights(200_000, "bf16")
    coded = encode(raw, effort="balanced")

    assert coded.codec == "sections-1"
    assert decode(coded.codec, coded.payload, len(raw)) == raw
    assert codecs_reference.decode(coded.codec, coded.payload, len(raw)) == raw
    assert ratio(coded, raw) < 0.66


def test_bytes_of_one_plane_are_one_frame() -> None:
    rng = np.random.default_rng(4)
    raw = (rng.standard_normal(200_000) * 20).astype("<i1").tobytes()
    coded = encode(raw, kind="tensor", element="i8", effort="balanced")

    assert coded.codec == "zstd:3"
    assert "Huffman" in coded.reason
    assert ratio(coded, raw) < 0.83


def test_small_integers_fall_into_planes() -> None:
    raw = np.random.default_rng(5).integers(0, 50_000, 100_000, dtype="<i8").tobytes()
    coded = encode(raw, kind="tensor", element="i64", effort="balanced")

    assert ratio(coded, raw) < 0.26


def test_a_delta_without_its_base_or_with_another_is_refused() -> None:
    base = weights(20_000, "bf16")
    raw = trained(base, "bf16")
    coded = encode_against(raw, base, element="bf16", base_element="bf16", effort="fast")
    assert coded is not None

    for wrong in (None, base[:-2], base[:-2] + b"\x00\x01", b"", raw):
        with pytest.raises(CorruptChunk):
            decode(coded.codec, coded.payload, len(raw), wrong)


def test_names_of_codecs_are_known_or_not() -> None:
    for name in ("planes-1", "planes-1:bf16", "sections-1", "delta-1:f64", "context-1:f32", "cast-1:f16"):
        assert is_known(name)
    for name in ("planes-2", "planes-1:", "planes-1:f4", "delta-1", "delta-1:i8", "cast-1:f32"):
        assert not is_known(name)
        with pytest.raises(UnknownName):
            needs_base(name)
    assert [needs_base(name) for name in ("raw", "zstd:3", "planes-1", "delta-1:f32", "cast-1:bf16")] == [
        False,
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("head", [0, 1, 2, 3])
def test_floats_nobody_named_are_split_where_they_begin_and_their_mantissas_kept(head: int) -> None:
    drawn = np.random.default_rng(head).standard_normal(1 << 17, dtype=np.float32)
    raw = (bytes(head) + drawn.tobytes())[: 4 << 17]
    coded = encode(raw, effort="fast")

    assert coded.codec == "planes-1"
    assert coded.reason.endswith("(raw raw raw huf)")
    assert decode(coded.codec, coded.payload, len(raw)) == raw


def test_floats_that_begin_like_narrow_ones_are_coded_as_what_they_are() -> None:
    narrow = widened(weights(16, "bf16"), "bf16")
    raw = narrow + np.random.default_rng(3).standard_normal(1 << 17, dtype=np.float32).tobytes()
    coded = encode(raw, effort="fast")

    assert decode(coded.codec, coded.payload, len(raw)) == raw
    assert "was bf16" not in coded.reason


def test_floats_that_are_zero_but_for_a_tenth_are_not_split_where_matches_do_better() -> None:
    drawn = np.random.default_rng(1)
    data = np.where(drawn.random(1 << 18) < 0.9, 0, drawn.standard_normal(1 << 18)).astype("<f4").tobytes()

    assert len(encode(data, effort="fast").payload) < 0.142 * len(data)  # planes: 0.147 to 0.2
