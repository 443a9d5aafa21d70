"""Small files that are cut together get the parts, the names and the pieces that each gets alone."""

import random
import tarfile
from functools import partial
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.chunkers import chunker_of
from dedup.fingerprint import fingerprint
from dedup.formats.segmentation import _BY_MAGIC
from dedup.formats.zips import MAGIC
from dedup.ingest import Cutting, Ingested, Piece, Pieces, ingest_whole
from dedup.many import LONGEST_BYTES, Members, ingest_many, regions_of
from dedup.values import Region, Span

LINES = b"".join(b'{"id": %d, "text": "%s"}\n' % (n, b"x" * (n % 300)) for n in range(400))
TAR = tarfile.TarInfo("member").tobuf()
HEADS = (
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"RIFF\x00\x00\x00\x00WEBP",
    b"RIFF\x00\x00\x00\x00WAVE",
    b"\x00\x00\x00\x18ftypmp42",
    b"PK\x03\x04",
    b"\x93NUMPY\x01\x00",
    b"\x28\xb5\x2f\xfd",
    "Ää".encode(),
    b"\xc3",
    b"\x1b[0m\t",
    b"\x1b\x00",
    TAR,
    b"\x00" + TAR[1:],
    TAR[:148] + b"0000000\x00" + TAR[156:],
    b"\x1c\x00\x00\x00TFL3",
    b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
    b"\x08\x07\x12\x04test",
    *(magic for magic, _ in _BY_MAGIC),
    MAGIC,
)


def spoilt(data: bytes, place: float, put: bytes) -> bytes:
    at = int(place * len(data))
    return data[:at] + put + data[at:]


CHARACTERS = st.lists(
    st.one_of(
        st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.builds(
            lambda first, rest: bytes([first, *rest]),
            st.integers(0x80, 0xFF),
            st.lists(st.integers(0x80, 0xBF), max_size=3),
        ),
        st.sampled_from([b"\xc0\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80"]),
    ),
    max_size=6,
).map(b"".join)
FILLERS = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 999), st.integers(0, 90_000)),
    st.builds(lambda start, size: LINES[start : start + size], st.integers(0, 900), st.integers(0, 50_000)),
    st.builds(lambda size: b"a" * size, st.sampled_from([2047, 2048, 2049, 4095, 4096, 4097, 16383, 16384, 16385])),
    st.builds(lambda size: "ü".encode() * size, st.integers(1, 5000)),
    # Text with a few bytes that are none, where samples see them and where they do not.
    st.builds(
        lambda size, at, put: spoilt(b"a line of text\n" * (size // 15), at, put),
        st.sampled_from([16_000, 16_400, 30_000, 32_767, 32_768, 33_000, 100_000]),
        st.floats(0, 1),
        st.sampled_from([b"", b"\x00", "ü".encode(), b"\xff", b"\x80"]),
    ),
    # What is nearly UTF-8, ends within a character, or has one on the edge of a sample.
    st.builds(lambda head, bits: head + bits, st.sampled_from([b"", b"text " * 817, b"x" * 4090]), CHARACTERS),
    st.builds(
        lambda size, wide, shift: b"x" * shift + wide.encode() * (size // 3),
        st.integers(16_000, 60_000),
        st.sampled_from("ß€\U0001f600"),
        st.integers(0, 4),
    ),
)
FILES = st.lists(st.builds(lambda head, rest: head + rest, st.sampled_from(HEADS), FILLERS), max_size=9)


@settings(max_examples=150, deadline=None)
@given(FILES, st.sampled_from([b".bin", b".onnx"]))
def test_together_is_as_alone(files: list[bytes], suffix: bytes) -> None:
    buffer = memoryview(b"".join(files))
    lengths = [len(data) for data in files]
    names = [b"%d%s" % (number, suffix) for number in range(len(files))]
    members = Members([0, *accumulate(lengths)][:-1], lengths, names, list(range(len(files))))

    parts, digests, pieces = ingest_many(buffer, members, fingerprint)

    expected: list[Ingested] = []
    cut: list[Piece] = []
    for number, data in enumerate(files):
        regions = regions_of(memoryview(data), names[number])
        chunkers = partial(chunker_of, size_bytes=LONGEST_BYTES)
        result, found = ingest_whole(memoryview(data), Cutting(chunkers, fingerprint, number, regions))
        expected.append(result)
        cut += found
    assert list(zip(parts, digests, strict=True)) == expected
    assert [described(piece) for piece in pieces] == [described(piece) for piece in cut]


def described(piece: Piece) -> tuple[object, ...]:
    """Return all that matters of the piece of a small file: its region's place does not."""
    region = piece.region
    kind = (region.kind, region.element, region.name, region.wrap)
    return bytes(piece.data), piece.chunk, kind, piece.start, piece.origin


def test_a_member_whose_regions_are_given_is_not_looked_at() -> None:
    data = b"text " * 1000
    given_ = (Region(Span(0, len(data)), "given", "zstd:1"),)
    pieces = ingest_many(memoryview(data), Members([0], [len(data)], [b"a"], [None], {0: given_}), fingerprint).pieces
    assert set(pieces.regions) == set(given_)


def test_none_are_none() -> None:
    assert ingest_many(memoryview(b""), Members(), fingerprint) == ([], [], Pieces())
