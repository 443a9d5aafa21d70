"""Runs of pages: stored plain only if they come back bit for bit; damage is told, never guessed at."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import wrappers
from dedup.errors import CorruptChunk
from dedup.formats.parquet import WRAP
from dedup.snappy_page import TRIED_PAGES, rewrap
from dedup.snappy_variants import BY_LETTER
from dedup.varint import encode_varints
from tests.dedup.parquets import page, page_v2, snappy
from tests.dedup.snappies import contents, text


def unwrap(run: bytes | memoryview) -> bytes | None:
    return wrappers.unwrap(WRAP, run)


def plain_page(number: int) -> bytes:
    return contents(3000, seed=number)[1]


def run_of(letters: str) -> bytes:
    return b"".join(page(3000, snappy(plain_page(i), letter)) for i, letter in enumerate(letters))


def foreign(plain: bytes) -> bytes:
    """Return *plain* as no variant encodes it: literals of seven bytes."""
    return encode_varints([len(plain)]) + b"".join(
        bytes([len(plain[i : i + 7]) - 1 << 2]) + plain[i : i + 7] for i in range(0, len(plain), 7)
    )


def plain_of(run: bytes) -> bytes:
    plain = unwrap(run)
    assert plain is not None
    assert rewrap(plain, len(run)) == run
    return plain


def test_bodies_come_first_then_heads_then_the_table() -> None:
    """The layout, byte by byte, as docs/pages.md has it."""
    bodies = [plain_page(0), plain_page(1)]
    coded = [snappy(body) for body in bodies]
    pages = [page(3000, one) for one in coded]
    heads = [whole[: -len(one)] for whole, one in zip(pages, coded, strict=True)]
    table = encode_varints([len(heads[0]), ord("a"), 3000, len(heads[1]), ord("a"), 3000])

    assert plain_of(b"".join(pages)) == b"".join([*bodies, *heads, table, len(table).to_bytes(4, "little")])


@pytest.mark.parametrize("letter", BY_LETTER)
def test_every_variant_comes_back(letter: str) -> None:
    plain_of(run_of(letter * 3))


def test_each_page_has_a_variant_of_its_own() -> None:
    plain = plain_of(run_of("abcdef"))
    assert plain.startswith(b"".join(plain_page(i) for i in range(6)))


def test_levels_and_pages_that_are_not_compressed_stay_as_they_are() -> None:
    run = page_v2(text(5000), b"levels") + page_v2(text(700), letter="") + page_v2(b"", b"no", letter="")
    assert plain_of(run).startswith(text(5000) + text(700))


def test_a_page_that_cannot_be_reproduced_stands_among_the_others_as_it_is() -> None:
    strange = foreign(plain_page(7))
    run = run_of("aa") + page(3000, strange) + run_of("a")

    assert plain_of(run).startswith(plain_page(0) + plain_page(1) + strange + plain_page(0))


def test_a_run_of_which_nothing_can_be_reproduced_is_left_alone() -> None:
    assert unwrap(page(3000, foreign(plain_page(0)))) is None
    assert unwrap(page(3000, foreign(plain_page(0))) * (TRIED_PAGES + 5) + run_of("a")) is None


def test_a_body_that_is_no_snappy_stays_as_it_is() -> None:
    noise = random.Random(3).randbytes(500)
    assert plain_of(run_of("a") + page(900, noise)).startswith(plain_page(0) + noise)
    assert plain_of(run_of("a") + page(900, b"")).startswith(plain_page(0))


@pytest.mark.parametrize("data", [b"", b"\0", b"no pages", run_of("a")[:-1], run_of("a") + b"\x15"])
def test_what_is_no_run_of_whole_pages_is_left_alone(data: bytes) -> None:
    plain = unwrap(data)
    assert plain is None or rewrap(plain, len(data)) == data


def test_a_bomb_is_left_alone() -> None:
    """A page that decompresses to 21 times its size is the most there can be; one that claims more is not decoded."""
    zeros = bytes(1 << 20)
    plain_of(page(len(zeros), snappy(zeros)))
    assert unwrap(page(1 << 30, encode_varints([1 << 30]) + b"\xfe\x01\x00" * 1000)) is None


def test_memory_may_come_in_any_kind_of_buffer() -> None:
    run = run_of("ab")
    plain = plain_of(run)
    assert unwrap(memoryview(bytearray(run))) == plain
    assert rewrap(memoryview(bytearray(plain)), len(run)) == run


def test_the_registry_knows_the_wrapper() -> None:
    run = run_of("abc")
    assert wrappers.is_known(WRAP)
    plain = wrappers.unwrap(WRAP, run)
    assert plain is not None
    assert wrappers.rewrap(WRAP, plain, len(run)) == run


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_another_length_than_the_run_had_is_damage(length: int) -> None:
    run = run_of("ab")
    plain = plain_of(run)
    with pytest.raises(CorruptChunk):
        rewrap(plain, length if length >= 0 else len(run) + 1)
    with pytest.raises(CorruptChunk):
        rewrap(plain, len(run) - 1)


def form(table: list[int], body: bytes = b"body") -> bytes:
    coded = encode_varints(table)
    return body + coded + len(coded).to_bytes(4, "little")


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\0\0\0",
        b"\x05\0\0\0",
        b"\xff\xff\xff\xff",
        form([2, 0]),  # not made of threes
        form([2, 0, 3]),  # more than there is
        form([1, 0, 2]),  # less than there is
        form([1 << 63, 0, 1 << 63]),
        form([2, ord("z"), 2]),  # no such encoder
        form([2, 1 << 40, 2]),
        b"body\x80\x80" + (2).to_bytes(4, "little"),  # a number without an end
        b"body" + b"\xff" * 11 + (11).to_bytes(4, "little"),
    ],
)
def test_a_damaged_plain_form_is_told(plain: bytes) -> None:
    with pytest.raises(CorruptChunk):
        rewrap(plain, 4)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damage_anywhere_in_the_plain_form_is_told_or_makes_bytes_of_that_length(data: st.DataObject) -> None:
    run = run_of("ad")
    plain = bytearray(plain_of(run))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(max(0, len(plain) - 80), len(plain) - 1) | st.integers(0, len(plain) - 1))
        plain[at] = data.draw(st.integers(0, 255))
    try:
        made = rewrap(bytes(plain), len(run))
    except CorruptChunk:
        return
    assert len(made) == len(run)


@settings(max_examples=80, deadline=None)
@given(kinds=st.lists(st.tuples(st.sampled_from("abcdef=?2n"), st.integers(0, 400)), min_size=1, max_size=12))
def test_any_mixture_of_pages_comes_back(kinds: list[tuple[str, int]]) -> None:
    run = b""
    for letter, size in kinds:
        plain = contents(size, seed=4)[size % 5]
        if letter == "2":
            run += page_v2(plain, bytes(size % 9))
        elif letter == "n":
            run += page_v2(plain, letter="")
        elif letter == "?":
            run += page(size, foreign(plain))
        elif letter == "=":
            run += page(size + 1, plain)
        else:
            run += page(size, snappy(plain, letter))
    plain_form = unwrap(run)
    assert plain_form is None or rewrap(plain_form, len(run)) == run
