"""Payloads that lie: refused, never believed, never allocated for; a small change never gives other bytes unseen."""

import resource
import struct
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.codecs import Coded, decode, encode, encode_against
from dedup.codecs.sections import Stretch
from dedup.codecs.sections import encode as encode_sections
from dedup.errors import CorruptChunk
from tests.dedup.tensors import trained, weights, widened

NAMES = ["raw", "zstd:3", "planes-1", "planes-1:bf16", "sections-1", "delta-1:bf16", "delta-1:f64", "context-1:f32"]
NAMES += ["cast-1:bf16", "cast-1:f16"]


@cache
def sound() -> list[tuple[Coded, bytes, bytes]]:
    """Return (coded, raw, base) of every kind of payload, small enough to damage often."""
    found = []
    for element in ("bf16", "f16", "f32", "f64"):
        base = weights(5000, element)
        raw = trained(base, element)
        found.append((encode(base, kind="tensor", element=element, effort="fast"), base, b""))
        against = encode_against(raw, base, element=element, base_element=element, effort="fast")
        assert against is not None
        found.append((against, raw, base))
    for element in ("bf16", "f16"):
        wide = widened(weights(5000, element), element)
        found.append((encode(wide, kind="tensor", element="f32", effort="fast"), wide, b""))
        cast = encode_against(weights(5000, element), wide, element=element, base_element="f32", effort="fast")
        assert cast is not None
        found.append((cast, weights(5000, element), wide))
    parts = encode_sections(b"a" * 9000 + bytes(range(200)), [Stretch(0, 9000, 1), Stretch(9000, 9200)], 1)
    found.append((Coded("sections-1", parts), b"a" * 9000 + bytes(range(200)), b""))
    return found


def opened(codec: str, payload: bytes, raw_len: int, base: bytes | None) -> bytes | None:
    try:
        raw = decode(codec, payload, raw_len, base)
    except CorruptChunk:
        return None
    assert len(raw) == raw_len
    return raw


HEADER = st.builds(
    struct.pack,
    st.just("<BBBB8s"),
    st.sampled_from([0, 1, 1, 1, 2]),
    st.integers(0, 7),
    st.sampled_from([0, 1, 2, 3, 4, 8, 9, 255]),
    st.integers(0, 9),
    st.binary(min_size=8, max_size=8),
)
ENTRIES = st.lists(
    st.builds(struct.pack, st.just("<BI"), st.integers(0, 3), st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1))),
    max_size=9,
).map(b"".join)
FORGED = st.one_of(
    st.binary(max_size=200), st.builds(lambda *parts: b"".join(parts), HEADER, ENTRIES, st.binary(max_size=120))
)


@settings(max_examples=400, deadline=None)
@given(
    payload=FORGED,
    raw_len=st.one_of(st.integers(0, 200), st.integers(0, 1 << 41)),
    codec=st.sampled_from(NAMES),
    base=st.one_of(st.none(), st.binary(max_size=400)),
)
def test_forged_payloads_are_refused(payload: bytes, raw_len: int, codec: str, base: bytes | None) -> None:
    opened(codec, payload, raw_len, base)
    if base is not None:
        opened(codec, payload, len(base), base)
        opened(codec, payload, len(base) // 2, base)


@settings(max_examples=300, deadline=None)
@given(
    which=st.integers(0, 100),
    damage=st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 255)), min_size=1, max_size=3),
    lead=st.booleans(),
)
def test_damage_never_gives_other_bytes(which: int, damage: list[tuple[int, int]], lead: bool) -> None:
    coded, raw, base = sound()[which % len(sound())]
    broken = bytearray(coded.payload)
    for place, flip in damage:
        broken[place % min(len(broken), 64 if lead else len(broken))] ^= flip

    assert opened(coded.codec, bytes(broken), len(raw), base) in {None, raw}


@settings(max_examples=150, deadline=None)
@given(which=st.integers(0, 100), cut=st.integers(1, 3000), longer=st.binary(min_size=1, max_size=9))
def test_what_is_cut_or_longer_is_refused(which: int, cut: int, longer: bytes) -> None:
    coded, raw, base = sound()[which % len(sound())]

    assert opened(coded.codec, coded.payload[:-cut], len(raw), base) is None
    assert opened(coded.codec, coded.payload + longer, len(raw), base) is None
    assert opened(coded.codec, coded.payload, len(raw) + 8, base) is None
    assert opened(coded.codec, coded.payload, max(0, len(raw) - cut), base) is None


@settings(max_examples=100, deadline=None)
@given(which=st.integers(0, 100), place=st.integers(0, 40_000), flip=st.integers(1, 255))
def test_another_base_is_noticed(which: int, place: int, flip: int) -> None:
    against = [found for found in sound() if found[2]]
    coded, raw, base = against[which % len(against)]
    other = bytearray(base)
    other[place % len(base)] ^= flip

    assert opened(coded.codec, coded.payload, len(raw), bytes(other)) in {None, raw}
    assert opened(coded.codec, coded.payload, len(raw), base[:-1]) is None
    assert opened(coded.codec, coded.payload, len(raw), None) is None


@example(count=8, form=4)
@example(count=8, form=2)
@given(count=st.sampled_from([1, 2, 4, 8]), form=st.integers(2, 5))
def test_more_planes_than_a_word_has_bytes_are_refused(count: int, form: int) -> None:
    """Else frames of zeros would make eight times the memory of what they are to give."""
    zeros = encode(bytes(1 << 16), effort="fast").payload
    table = struct.pack("<BBBB8s", 1, form, count, 0, bytes(8)) + struct.pack("<BI", 1, len(zeros)) * count
    for codec, width in (("planes-1", 4), ("delta-1:bf16", 2), ("context-1:bf16", 2)):
        raw_len = width << 16
        assert opened(codec, table + zeros * count, raw_len, bytes(raw_len)) is None


def test_a_cast_that_lists_words_beyond_the_end_is_refused() -> None:
    for place in (10, 2**31, 2**32 - 1):
        payload = struct.pack("<B3xI8sIH", 1, 1, bytes(8), place, 7)
        assert opened("cast-1:bf16", payload, 20, bytes(40)) is None


def test_sections_that_claim_too_much_are_refused() -> None:
    many = struct.pack("<BBH8s", 1, 0, 65_535, bytes(8)) + bytes(9 * 65_535)
    long = struct.pack("<BBH8sBII", 1, 0, 1, bytes(8), 1, 2**32 - 1, 0)

    assert opened("sections-1", many, 0, None) is None
    assert opened("sections-1", long, 2**32 - 1, None) is None


@pytest.mark.parametrize("codec", NAMES)
def test_a_claim_of_terabytes_allocates_nothing(codec: str) -> None:
    huge = 1 << 42
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    frame = b"\x28\xb5\x2f\xfd\xe0" + huge.to_bytes(8, "little") + b"\x01\x00\x00"
    for count in (1, 2, 4, 8):
        table = struct.pack("<BBBB8s", 1, 0, count, 0, bytes(8)) + struct.pack("<BI", 1, len(frame)) * count
        assert opened(codec, table + frame * count, huge * count, b"") is None
    section = struct.pack("<BBH8sBII", 1, 0, 1, bytes(8), 2, 2**32 - 1, len(frame)) + frame
    assert opened(codec, section, 2**32 - 1, b"") is None
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert after - before < 64 << 10  # KiB


def test_payloads_are_read_from_any_buffer() -> None:
    for coded, raw, base in sound():
        for payload in (bytearray(coded.payload), memoryview(b"?" + coded.payload)[1:]):
            assert decode(coded.codec, payload, len(raw), memoryview(bytearray(base))) == raw
    assert np.frombuffer(raw, dtype=np.uint8).size
