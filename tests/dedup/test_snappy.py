"""Snappy: every frozen encoder writes what the library it is named for writes; the kernel equals the definition."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.errors import UnknownName
from dedup.snappy import MOST_PER_BYTE, Bytes, Writers, decode
from dedup.snappy_reference import reference_decode, reference_encode
from dedup.snappy_variants import BY_LETTER, VARIANTS, Variant
from dedup.varint import encode_varints
from tests.dedup.snappies import SIZES, contents, golden_samples

GOLDEN = Path(__file__).with_name("golden") / "snappy"
EVERY = pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.letter)

BYTES = st.one_of(
    st.binary(max_size=400),
    st.builds(lambda unit, n: unit * n, st.binary(min_size=1, max_size=70), st.integers(0, 60)),
    st.lists(st.sampled_from([b"abcd", b"abcde", b"the quick brown fox", b"\0" * 30, b"x"]), max_size=300).map(
        b"".join
    ),
)


def array(data: bytes) -> Bytes:
    return np.frombuffer(data, dtype=np.uint8)


def encoded(letter: str, plain: bytes) -> bytes:
    out = np.empty(64 + len(plain) + len(plain) // 6, dtype=np.uint8)
    length = Writers().encode(letter, array(plain), out)
    return out[:length].tobytes()


def decoded(coded: bytes) -> bytes | None:
    plain = decode(array(coded))
    return None if plain is None else plain.tobytes()


def by_definition(variant: Variant, plain: bytes) -> bytes:
    return encode_varints([len(plain)]) + reference_encode(plain, variant)


@EVERY
def test_the_golden_files_are_reproduced(variant: Variant) -> None:
    """a: pyarrow 21 and snappy-java 1.1.10, b: pyarrow 26, c: cramjam 2.14, d: aircompressor 0.27; e, f: see page."""
    stored = (GOLDEN / f"text-{variant.letter}.snappy").read_bytes()

    written = [encoded(variant.letter, sample) for sample in golden_samples()]

    assert b"".join(len(coded).to_bytes(4, "little") + coded for coded in written) == stored
    assert [decoded(coded) for coded in written] == golden_samples()


def test_a_page_of_duckdb_is_reproduced_by_one_variant_alone() -> None:
    coded = array((GOLDEN / "duckdb-2.0-page.snappy").read_bytes())
    plain = decode(coded)

    assert plain is not None
    assert [v.letter for v in VARIANTS if encoded(v.letter, plain.tobytes()) == coded.tobytes()] == ["f"]
    assert Writers().writer_of(coded, plain) == "f"


def test_every_golden_variant_differs_from_every_other() -> None:
    files = {(GOLDEN / f"text-{letter}.snappy").read_bytes() for letter in BY_LETTER}

    assert len(files) == len(VARIANTS)


@EVERY
@settings(max_examples=25, deadline=None)
@given(plain=BYTES)
def test_the_kernel_equals_the_definition(variant: Variant, plain: bytes) -> None:
    coded = by_definition(variant, plain)

    assert encoded(variant.letter, plain) == coded
    assert decoded(coded) == plain
    assert reference_decode(reference_encode(plain, variant), len(plain)) == plain


@pytest.mark.parametrize("size", SIZES)
def test_the_kernel_equals_the_definition_at_every_limit(size: int) -> None:
    kinds = contents(size) if size <= 5000 else contents(size)[1:4]
    variants = VARIANTS if size <= 5000 else (VARIANTS[0], VARIANTS[3], VARIANTS[5])
    for plain in kinds:
        for variant in variants:
            assert encoded(variant.letter, plain) == by_definition(variant, plain)


@pytest.mark.parametrize("size", [*SIZES, 200_000])
def test_what_is_encoded_is_decoded(size: int) -> None:
    for plain in contents(size, seed=2):
        coded = encoded("b", plain)
        assert decoded(coded) == plain
        assert Writers().writer_of(array(coded), array(plain)) is not None


@settings(max_examples=300, deadline=None)
@given(coded=st.binary(max_size=60))
def test_the_decoder_equals_the_definition_on_any_bytes(coded: bytes) -> None:
    for length in (0, 1, 20, 64):
        whole = encode_varints([length]) + coded
        expected = reference_decode(coded, length) if length <= MOST_PER_BYTE * len(whole) else None
        assert decoded(whole) == expected


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_stream_is_refused_or_decodes_to_its_length(data: st.DataObject) -> None:
    plain = contents(3000)[data.draw(st.integers(0, 4))]
    coded = bytearray(encoded("a", plain))
    for _ in range(data.draw(st.integers(1, 4))):
        coded[data.draw(st.integers(0, len(coded) - 1))] = data.draw(st.integers(0, 255))
    del coded[data.draw(st.integers(1, len(coded))) :]

    found = decode(array(bytes(coded)))

    assert found is None or encode_varints([len(found)]) == bytes(coded[: len(encode_varints([len(found)]))])


def test_a_length_that_cannot_be_true_allocates_nothing() -> None:
    assert decoded(encode_varints([1 << 31]) + b"\0" * 1000) is None
    assert decoded(b"\xff" * 10) is None
    assert decoded(b"") is None


def test_a_length_in_more_bytes_than_it_needs_is_refused() -> None:
    assert decoded(b"\x01\x00a") == b"a"
    assert decoded(b"\x81\x00\x00a") is None


@pytest.mark.parametrize(
    "elements",
    [
        b"\x04a",  # a literal of two bytes, one of them there
        b"\xf0",  # a literal whose length is missing
        b"\xfc\xff\xff\xff\xff",  # one of 4 GiB
        b"\x00a\x01\x00",  # a copy from offset 0
        b"\x00a\x01\x02",  # a copy from before the start
        b"\x00a\x01",  # a copy without its offset
        b"\x00a\x02\x01",
        b"\x00a\x03\x01\x00\x00",
        b"\x00a\x0d\x01\x00a",  # one byte too many
        b"\x00a",  # too few
    ],
)
def test_what_is_not_well_formed_is_refused(elements: bytes) -> None:
    assert decoded(b"\x08" + elements) is None


def test_copies_of_every_kind_are_read() -> None:
    """Four-byte offsets are written by no encoder here, but belong to the format."""
    assert decoded(b"\x06\x00a" + b"\x05\x01") == b"a" * 6
    assert decoded(b"\x06\x00a" + b"\x12\x01\x00") == b"a" * 6
    assert decoded(b"\x06\x00a" + b"\x13\x01\x00\x00\x00") == b"a" * 6


def test_too_small_a_buffer_is_told() -> None:
    plain = contents(5000)[1]
    coded = encoded("a", plain)

    assert Writers().encode("a", array(plain), np.empty(len(coded), dtype=np.uint8)) == len(coded)
    for room in (0, 1, 2, len(coded) // 2, len(coded) - 1):
        assert Writers().encode("a", array(plain), np.empty(room, dtype=np.uint8)) == -1


def test_an_unknown_letter_is_refused() -> None:
    with pytest.raises(UnknownName):
        Writers().encode("z", array(b"plain"), np.empty(99, dtype=np.uint8))


def test_what_no_variant_wrote_has_no_writer() -> None:
    assert Writers().writer_of(array(b"\x05\x00a\x0cbcde"), array(b"abcde")) is None


def test_the_kernel_works_where_no_cache_can_be_written() -> None:
    script = (
        "import numba.core.caching as caching;"
        "caching.CacheImpl._locator_classes = [];"
        "import numpy as np; from dedup.snappy import *;"
        "assert decode(np.frombuffer(bytes([6, 0, 97, 5, 1]), dtype=np.uint8)).tobytes() == b'a' * 6"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
