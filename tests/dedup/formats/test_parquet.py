"""Parquet: runs of snappy pages are found by footer and headers, whatever those claim nothing breaks."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.formats.parquet import LONGEST_PAGE, PAGE, RUN_BYTES, WRAP, segment_parquet
from dedup.values import Region
from dedup.varint import encode_varints
from dedup.wrappers import rewrap, unwrap
from tests.dedup.parquets import GZIP, UNCOMPRESSED, Column, page, page_v2, parquet, snappy, struct
from tests.dedup.snappies import text

GOLDEN = Path(__file__).parent.parent / "golden" / "parquet"
FILES = sorted(path.name for path in GOLDEN.iterdir())


@dataclass(frozen=True)
class Held:
    """A source in memory that counts what is read of it."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


def regions(data: bytes) -> list[Region]:
    found = segment_parquet(Held(data))
    assert found is not None
    assert [region.span.start for region in found] == [0, *(region.span.end for region in found[:-1])]
    assert found[-1].span.end == len(data)
    return found


def wrapped(data: bytes) -> list[bytes]:
    return [data[r.span.start : r.span.end] for r in regions(data) if r.wrap]


def rows(size: int, seed: int = 1) -> bytes:
    chance = random.Random(seed)
    return b"".join(b"%d,%s;" % (chance.randrange(10**6), chance.choice([b"elm", b"fir"])) for _ in range(size // 10))


def pages(count: int, size: int = 20_000) -> bytes:
    return b"".join(page(len(plain), snappy(plain)) for plain in (rows(size, seed) for seed in range(count)))


@pytest.mark.parametrize("name", FILES)
def test_every_page_of_a_real_file_is_wrapped_and_comes_back(name: str) -> None:
    data = (GOLDEN / name).read_bytes()
    runs = wrapped(data)

    assert sum(map(len, runs)) > 0.8 * len(data)
    for run in runs:
        plain = unwrap(WRAP, run)
        assert plain is not None
        assert len(plain) > len(run)
        assert rewrap(WRAP, plain, len(run)) == run


def test_each_column_chunk_is_runs_of_its_own() -> None:
    first, second = pages(3), pages(2)
    assert wrapped(parquet([Column(first), Column(second), Column(first)])) == [first, second, first]


def test_a_dictionary_page_belongs_to_its_column_chunk() -> None:
    words = text(9000)
    dictionary = page(len(words), snappy(words), kind=2)
    chunk = dictionary + pages(2)
    data = parquet([Column(pages(1)), Column(chunk, start=4 + len(pages(1)) + len(dictionary))])

    assert (
        segment_parquet(Held(data)) is None
    )  # the lengths overlap: without the dictionary's offset it cannot be right

    honest = Column(chunk, start=4 + len(pages(1)) + len(dictionary), extra=[(11, 4 + len(pages(1)))])
    assert wrapped(parquet([Column(pages(1)), honest])) == [pages(1), chunk]


def test_long_column_chunks_are_cut_between_pages() -> None:
    body = page(1 << 20, snappy(rows(1 << 20).ljust(1 << 20)))
    runs = wrapped(parquet([Column(body * 9)]))

    assert b"".join(runs) == body * 9
    assert [len(run) // len(body) for run in runs] == [4, 4, 1]
    assert RUN_BYTES == 4 << 20


def test_uncompressed_columns_are_pages_without_a_wrap_and_others_media() -> None:
    found = regions(parquet([Column(rows(9000), UNCOMPRESSED), Column(rows(9000), GZIP), Column(pages(1))]))
    assert [(r.kind, r.wrap) for r in found[1:4]] == [(PAGE, ""), ("media", ""), (PAGE, WRAP)]


def test_gaps_and_footer_are_generic() -> None:
    data = parquet([Column(pages(1)), Column(pages(2))], between=bytes(5000))
    assert [r.kind for r in regions(data)] == ["generic", PAGE, "generic", PAGE, "generic"]


def test_statistics_longer_than_a_window_are_passed_over() -> None:
    plain = rows(9000)
    long = page(len(plain), snappy(plain), statistics=bytes(30_000))
    assert wrapped(parquet([Column(long * 3)])) == [long * 3]


def test_pages_of_both_versions_are_followed() -> None:
    chunk = page_v2(rows(20_000)) + page_v2(rows(9000), letter="") + page_v2(rows(20_000), b"")
    assert wrapped(parquet([Column(chunk)])) == [chunk]


def test_a_chunk_that_stops_making_sense_is_media_from_there_on() -> None:
    good, bad = pages(2), b"\xff" * 9000
    found = regions(parquet([Column(good + bad), Column(good)]))
    assert [(r.kind, r.span.length) for r in found[1:4]] == [(PAGE, len(good)), ("media", 9000), (PAGE, len(good))]


def test_pages_that_lie_about_their_length_are_left_alone() -> None:
    honest = snappy(rows(20_000))
    for plain_len in (-1, 1 << 30, LONGEST_PAGE + 1, 30 * len(honest), 1 << 62):
        assert wrapped(parquet([Column(page(plain_len, honest) * 2)])) == []
    for coded_len in (-5, 1 << 31, 10 * len(honest)):
        header = struct([(1, 0), (2, 20_000), (3, coded_len), (5, [(1, 1)])])
        assert wrapped(parquet([Column(header + honest)])) == []


@pytest.mark.parametrize(
    "column",
    [
        Column(b"x" * 5000, start=-1),
        Column(b"x" * 5000, length=-1),
        Column(b"x" * 5000, start=1 << 62),
        Column(b"x" * 5000, length=1 << 62),
        Column(b"x" * 5000, start=0),
        Column(b"x" * 5000, length=5001),
        Column(b"x" * 5000, extra=[(11, 3)]),
    ],
)
def test_a_footer_that_cannot_be_true_makes_the_file_generic(column: Column) -> None:
    assert segment_parquet(Held(parquet([column]))) is None


def test_two_columns_at_one_place_make_the_file_generic() -> None:
    assert segment_parquet(Held(parquet([Column(pages(1)), Column(b"", start=4, length=len(pages(1)))]))) is None


def test_a_column_in_another_file_is_left_out() -> None:
    """A column chunk without metadata of its own (encrypted, or in a file beside) is generic like any gap."""
    footer = struct([(4, [[(1, [[(1, b"elsewhere.parquet"), (2, 4)]])]])])
    data = b"PAR1" + bytes(9000) + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    assert {r.kind for r in regions(data)} == {"generic"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR1PAR1",
        b"PAR1" + bytes(4) + b"PAR1",
        b"PAR1" + (1 << 31).to_bytes(4, "little") + b"PAR1",
        b"PAR1" + bytes(4000) + (4000).to_bytes(4, "little") + b"PARE",
        b"PAR1" + b"\xff" * 4000 + (4000).to_bytes(4, "little") + b"PAR1",
        b"PAR1" + b"\x4c" * 4000 + (4000).to_bytes(4, "little") + b"PAR1",  # structs in structs
        b"PAR1" + b"\x49\xfc\xff\xff\xff\xff\x0f" + bytes(90) + (97).to_bytes(4, "little") + b"PAR1",  # 2**32 groups
        b"PAR1" + b"\x1b\xff\xff\xff\xff\x0f\x88" + bytes(90) + (97).to_bytes(4, "little") + b"PAR1",  # 2**32 pairs
    ],
)
def test_what_is_no_parquet_is_generic(data: bytes) -> None:
    found = segment_parquet(Held(data))
    assert found is None or {r.kind for r in found} <= {"generic"}


def test_a_list_of_a_million_columns_is_refused() -> None:
    group = b"\x19\xfc" + encode_varints([1_100_000]) + b"\x3c\0\0" * 1_100_000 + b"\0"
    footer = b"\x49\x1c" + group + b"\0"
    assert segment_parquet(Held(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")) is None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_covered_or_refused(data: st.DataObject) -> None:
    whole = bytearray(parquet([Column(pages(2, 5000)), Column(page_v2(rows(9000))), Column(rows(5000), UNCOMPRESSED)]))
    for _ in range(data.draw(st.integers(1, 6))):
        near_end = data.draw(st.booleans())
        at = data.draw(st.integers(max(0, len(whole) - 250) if near_end else 0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole), len(whole) - 3]))])

    found = segment_parquet(Held(damaged))

    for region in found or ():
        if region.wrap:
            run = damaged[region.span.start : region.span.end]
            plain = unwrap(WRAP, run)
            assert plain is None or rewrap(WRAP, plain, len(run)) == run
    assert found is None or sum(region.span.length for region in found) == len(damaged)
