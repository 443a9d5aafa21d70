"""Packs: what was added is found again, by trailer or by scanning, and nothing forged is believed."""

import io
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import pack as pack_module
from dedup.assemble import open_chunk
from dedup.codecs import encode
from dedup.errors import DedupError, FormatError
from dedup.fingerprint import digest, fingerprint
from dedup.layout import CHUNK_MAGIC, FOOTER_LEN, LONGEST_CHUNK_HEADER
from dedup.pack import PackSummary, PackWriter, ReadSpan, read_kind, read_trailer, scan_pack
from dedup.values import PackEntry, Span


def packed(chunks: list[bytes], *, raw: bool = False) -> tuple[bytes, PackSummary]:
    out = io.BytesIO()
    writer = PackWriter(out, kind="data")
    for data in chunks:
        coded = encode(data, effort="fast")
        codec, payload = ("raw", data) if raw else (coded.codec, coded.payload)
        writer.add(fingerprint(data), digest(data), len(data), codec, payload)
    summary = writer.finish()
    return out.getvalue(), summary


def reader(data: bytes, spans: list[Span] | None = None) -> ReadSpan:
    def read(span: Span) -> bytes:
        if spans is not None:
            spans.append(span)
        return data[span.start : span.end]

    return read


def opened(data: bytes, entry: PackEntry) -> bytes:
    payload = data[entry.offset : entry.offset + entry.stored_len]
    return open_chunk(entry.codec, payload, entry.raw_len, entry.digest)


@given(chunks=st.lists(st.binary(max_size=300), max_size=12))
def test_what_is_packed_is_listed(chunks: list[bytes]) -> None:
    data, summary = packed(chunks)

    entries = read_trailer(reader(data), len(data))

    assert tuple(entries) == summary.entries
    assert [opened(data, entry) for entry in entries] == chunks
    assert list(scan_pack(reader(data), len(data))) == entries
    assert summary.size_bytes == len(data)
    assert summary.framing_bytes == len(data) - sum(entry.stored_len for entry in entries)
    assert summary.content_hash == digest(data).hex()
    assert packed(chunks) == (data, summary)


def test_two_reads_are_enough_for_a_long_index() -> None:
    data, summary = packed([i.to_bytes(4, "big") for i in range(4000)])
    spans: list[Span] = []

    entries = read_trailer(reader(data, spans), len(data))

    assert tuple(entries) == summary.entries
    assert len(spans) == 2
    assert sum(span.length for span in spans) < pack_module.FIRST_READ + 4000 * 66


def test_one_read_is_enough_for_a_short_index() -> None:
    data, _ = packed([os.urandom(1000) for _ in range(300)])
    spans: list[Span] = []

    read_trailer(reader(data, spans), len(data))

    assert len(spans) == 1


@settings(max_examples=150)
@given(cut=st.integers(0, 1200), flips=st.lists(st.integers(0, 8 * 1200), max_size=3), junk=st.binary(max_size=80))
def test_damaged_packs_raise_dedup_errors_only(cut: int, flips: list[int], junk: bytes) -> None:
    whole, summary = packed([b"alpha" * 20, bytes(300), os.urandom(200)])
    damaged = bytearray(whole[: len(whole) - cut] + junk)
    for flip in flips:
        if damaged:
            damaged[flip // 8 % len(damaged)] ^= 1 << flip % 8
    data = bytes(damaged)
    try:
        entries = read_trailer(reader(data), len(data))
        read_kind(reader(data))
    except DedupError:
        entries = []
    for entry in [*entries, *scan_pack(reader(data), len(data))]:
        assert entry.offset + entry.stored_len <= len(data)
        try:
            assert digest(opened(data, entry)) in {known.digest for known in summary.entries}
        except DedupError:
            pass


@given(data=st.binary(max_size=400))
def test_random_bytes_are_not_a_pack(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_trailer(reader(data), len(data))
    assert list(scan_pack(reader(data), len(data))) == []


def test_a_pack_with_a_damaged_trailer_is_scanned() -> None:
    chunks = [os.urandom(500) for _ in range(50)]
    data, summary = packed(chunks)
    broken = data[: -FOOTER_LEN - 100]

    with pytest.raises(FormatError):
        read_trailer(reader(broken), len(broken))
    assert tuple(scan_pack(reader(broken), len(broken))) == summary.entries


def test_a_damaged_chunk_header_costs_its_own_chunk_only() -> None:
    data, summary = packed([os.urandom(500) for _ in range(10)])
    hit = summary.entries[4]
    broken = bytearray(data)
    broken[hit.offset - 20] ^= 1

    found = list(scan_pack(reader(bytes(broken)), len(data)))

    assert found == [entry for entry in summary.entries if entry != hit]


@pytest.mark.parametrize("window", [LONGEST_CHUNK_HEADER + 1, 200, 1000])
def test_scanning_does_not_depend_on_the_window(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is a constant of 4 MiB; smaller ones put every kind of edge under test."""
    monkeypatch.setattr(pack_module, "SCAN_WINDOW", window)
    rng = random.Random(window)
    data, summary = packed([rng.randbytes(rng.randrange(400)) for _ in range(60)], raw=True)
    broken = bytearray(data)
    for entry in summary.entries[::7]:
        broken[entry.offset - 1] ^= 255

    found = list(scan_pack(reader(bytes(broken)), len(data)))

    assert found == [entry for number, entry in enumerate(summary.entries) if number % 7]


def test_a_pack_inside_a_pack_is_not_scanned_as_chunks_of_the_outer_one() -> None:
    inner, _ = packed([b"inner" * 30])
    data, summary = packed([b"outer", inner, b"more"], raw=True)
    broken = bytearray(data)
    broken[summary.entries[1].offset - 1] ^= 1  # the header of the chunk that holds the inner pack

    found = list(scan_pack(reader(bytes(broken)), len(data)))

    assert found == [summary.entries[0], summary.entries[2]]


def test_the_magic_letters_in_a_payload_do_not_disturb() -> None:
    data, summary = packed([CHUNK_MAGIC * 100, b"x", CHUNK_MAGIC + os.urandom(100)], raw=True)

    assert tuple(scan_pack(reader(data), len(data))) == summary.entries


def test_a_codec_name_that_cannot_be_stored_is_refused() -> None:
    writer = PackWriter(io.BytesIO(), kind="data")
    for name in ("", "x" * 65, "zstd 3", "zstd:é"):
        with pytest.raises(FormatError):
            writer.add(fingerprint(b""), digest(b""), 0, name, b"")
