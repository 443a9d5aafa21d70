"""The script's codecs, written from the documents, against frostline's own: every codec that the choice can make."""

import random
import struct
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dedup.codecs import Coded, encode, encode_against
from tests.dedup.test_codecs_golden import CODECS, golden
from tests.tools.script import load

WORDS = 20_000
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load("restore_codecs")


def weights(seed: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(WORDS).astype(np.float32) * np.float32(0.02)


def tuned(values: Floats) -> Floats:
    """Return *values* a few steps of training later."""
    return values + np.float32(0.005) * weights(99)


def bf16(values: Floats) -> NDArray[Any]:
    """Return the upper halves: not rounded, which is all the same here."""
    return values.view("<u2")[1::2].copy()


AS_ELEMENT = {
    "f32": lambda values: values,
    "f64": lambda values: values.astype("<f8"),
    "f16": lambda values: values.astype("<f2"),
    "bf16": bf16,
}


def same(script: ModuleType, coded: Coded | None, raw: bytes, base: bytes = b"") -> str:
    """Hold the script to the bytes; return the codec's name without its element."""
    assert coded is not None
    assert script.decode(coded.codec, coded.payload, len(raw), base) == raw
    return coded.codec.partition(":")[0]


@pytest.mark.parametrize("element", AS_ELEMENT)
@pytest.mark.parametrize("tail", [b"", b"x"])
def test_tensors_come_back(script: ModuleType, element: str, tail: bytes) -> None:
    raw = AS_ELEMENT[element](weights(1)).tobytes() + tail
    base = AS_ELEMENT[element](tuned(weights(1))).tobytes() + tail
    coded = encode_against(raw, base, element=element, base_element=element, effort="balanced")

    assert same(script, encode(raw, kind="tensor", element=element, effort="balanced"), raw) == "planes-1"
    assert same(script, coded, raw, base) == "delta-1"


@pytest.mark.parametrize("narrow", ["bf16", "f16"])
def test_upcast_tensors_come_back(script: ModuleType, narrow: str) -> None:
    wide = weights(2)
    upcast = bf16(wide).astype("<u4") << np.uint32(16) if narrow == "bf16" else wide.astype("<f2").astype("<f4")
    raw = upcast.tobytes()

    assert same(script, encode(raw, kind="tensor", element="f32", effort="balanced"), raw) == "planes-1"


@pytest.mark.parametrize("narrow", ["bf16", "f16"])
def test_casts_come_back_with_their_exceptions(script: ModuleType, narrow: str) -> None:
    master = weights(3)
    master[:6] = [np.nan, -np.inf, np.inf, 1e30, -1e-40, 0.0]
    bits = master.view("<u4").astype("<u8")
    rounded = (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2")
    if narrow == "f16":
        with np.errstate(all="ignore"):
            rounded = master.astype("<f2").view("<u2").copy()
    rounded[77] ^= 1
    raw, base = rounded.tobytes(), master.tobytes()
    coded = encode_against(raw, base, element=narrow, base_element="f32", effort="balanced")

    assert same(script, coded, raw, base) == "cast-1"


def test_moments_come_back_sorted_by_one_another(script: ModuleType) -> None:
    spread = np.exp(np.random.default_rng(4).standard_normal(WORDS) * 4).astype(np.float32)
    squares = (spread * spread).astype("<f4").tobytes()
    raw = (weights(5) * spread).astype("<f4").tobytes()
    coded = encode_against(raw, squares, element="f32", base_element="f32", effort="balanced")

    assert same(script, coded, raw, squares) == "context-1"


def test_stretches_of_different_kind_come_back(script: ModuleType) -> None:
    noise = random.Random(6).randbytes(300_000)
    numbers = np.tile(weights(7), 30)
    raw = b"a text, and then " * 40_000 + b"xyz" + numbers.tobytes() + noise

    assert same(script, encode(raw, effort="balanced"), raw) == "sections-1"


def test_whole_numbers_and_text_come_back(script: ModuleType) -> None:
    tokens = np.random.default_rng(8).integers(0, 30_000, WORDS).astype("<i8").tobytes()

    assert same(script, encode(tokens, kind="tensor", element="i64", effort="balanced"), tokens) == "planes-1"
    assert same(script, encode(b"words " * 9000, kind="text", effort="fast"), b"words " * 9000) == "zstd"
    assert same(script, encode(b"?", effort="fast"), b"?") == "raw"


@pytest.mark.parametrize(("name", "codec"), CODECS.items())
def test_golden_payloads_come_back(script: ModuleType, name: str, codec: str) -> None:
    payload, raw, base = (golden(name, part) for part in ("payload", "raw", "base"))

    assert script.decode(codec, payload, len(raw), base) == raw


@given(
    cut=st.integers(0, 400), flips=st.lists(st.integers(0, 8 * 300), max_size=3), name=st.sampled_from(sorted(CODECS))
)
def test_damaged_payloads_are_said_to_be(script: ModuleType, cut: int, flips: list[int], name: str) -> None:
    """Whatever comes out has the right length, and the digests decide; restore.py expects the errors named here."""
    payload, raw, base = (golden(name, part) for part in ("payload", "raw", "base"))
    damaged = bytearray(payload[: len(payload) - cut])
    for flip in flips:
        if damaged:
            damaged[flip // 8 % len(damaged)] ^= 1 << flip % 8
    try:
        assert len(script.decode(CODECS[name], bytes(damaged), len(raw), base)) == len(raw)
    except (script.Damaged, struct.error, IndexError, ValueError):
        pass


def test_what_is_damaged_or_unknown_is_said(script: ModuleType) -> None:
    raw = weights(9).tobytes()
    coded = encode(raw, kind="tensor", element="f32", effort="balanced")
    for codec, payload in (("lz77", b""), ("planes-2:f32", coded.payload), ("raw", b"short")):
        with pytest.raises(script.Damaged):
            script.decode(codec, payload, len(raw))
