"""The wrapper "snappy-page:1": a run of parquet pages, stored as what they decompress to.

Reached through dedup.wrappers by its name. The plain form of a run, byte by byte, is in docs/pages.md: what the pages
decompress to, one after another; then their headers and levels, kept as they are; then a table of three numbers for
each page; then the table's length. A page that is not compressed, or that no encoder of ours reproduces, stands among
the others as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dedup.errors import CorruptChunk, FormatError
from dedup.fingerprint import Buffer
from dedup.formats.parquet_pages import read_page
from dedup.formats.reading import Doubt
from dedup.snappy import Bytes, Writers, decode
from dedup.snappy_variants import BY_LETTER
from dedup.varint import decode_varints, encode_varints

# Pages of one run come from one writer: where none of the first is reproduced, the rest is not tried.
TRIED_PAGES = 8

_SIZE_LEN = 4
_PER_FRAME = 3


@dataclass(frozen=True, slots=True)
class _Frame:
    """One page."""

    head: Bytes
    """Header and levels, verbatim."""
    letter: str
    """The snappy variant that coded the body; empty if the body stands in the file as it does here."""
    body: Bytes


def unwrap(data: Buffer) -> bytes | None:
    """Return the plain form of the run of pages *data*, of which rewrap() makes exactly *data*; None for what is no
    run, or is compressed and has no page that can be reproduced.

    Holds the run once and its plain form twice. Every page has been encoded again and compared; then the form is read
    back as rewrap() reads it and compared, whole, with what was encoded.
    """
    source = np.frombuffer(data, dtype=np.uint8)
    try:
        frames = list(_frames(data if isinstance(data, bytes) else bytes(data), source))
    except Doubt:
        return None
    numbers: list[int] = []
    for frame in frames:
        numbers += (len(frame.head), ord(frame.letter) if frame.letter else 0, len(frame.body))
    table = encode_varints(numbers)
    pieces = [frame.body.data for frame in frames] + [frame.head.data for frame in frames]
    plain = b"".join([*pieces, table, len(table).to_bytes(_SIZE_LEN, "little")])
    read_back = list(_stored_frames(np.frombuffer(plain, dtype=np.uint8)))
    proven = len(read_back) == len(frames) and all(map(_equal, frames, read_back))
    return plain if proven else None


def rewrap(plain: Buffer, length: int) -> bytes:
    """Return the *length* bytes whose plain form *plain* is. Allocates twice *length* and 150 KiB.

    Raises CorruptChunk if *plain* is malformed, needs an encoder that is not known here, or makes another length.
    """
    out = np.empty(length, dtype=np.uint8)
    writers = Writers()
    at = 0
    for frame in _stored_frames(np.frombuffer(plain, dtype=np.uint8)):
        pieces = [frame.head] if frame.letter else [frame.head, frame.body]
        for piece in pieces:
            if len(piece) > length - at:
                raise CorruptChunk(f"pages come to more than {length} bytes")
            out[at : at + len(piece)] = piece
            at += len(piece)
        if frame.letter:
            written = writers.encode(frame.letter, frame.body, out[at:])
            if written < 0:
                raise CorruptChunk(f"pages come to more than {length} bytes")
            at += written
    if at != length:
        raise CorruptChunk(f"pages come to {at} bytes, expected {length}")
    return out.tobytes()


def _frames(data: bytes, source: Bytes) -> Iterator[_Frame]:
    """Yield the frames of a run, whose bytes in the file are *source* in order, each proven.

    Raises Doubt where it is no sequence of whole pages, or none of the compressed ones can be reproduced.
    """
    writers = Writers()
    at = tried = reproduced = 0
    while at < len(data):
        page = read_page(data, at)
        head, coded = source[at : at + page.head_len], source[at + page.head_len : at + page.length]
        at += page.length
        if at > len(data):
            raise Doubt("a page reaches beyond the run")
        if not page.is_compressed or not page.coded_len:
            yield _Frame(head, "", coded)
            continue
        plain = decode(coded)
        letter = writers.writer_of(coded, plain) if plain is not None else None
        tried += 1
        reproduced += letter is not None
        if not reproduced and (tried >= TRIED_PAGES or at == len(data)):
            raise Doubt("no page can be reproduced")
        yield _Frame(head, letter, plain) if plain is not None and letter else _Frame(head, "", coded)


def _equal(one: _Frame, other: _Frame) -> bool:
    same = one.letter == other.letter and np.array_equal(one.head, other.head)
    return same and np.array_equal(one.body, other.body)


def _stored_frames(plain: Bytes) -> Iterator[_Frame]:
    """Yield the frames of a plain form; raises CorruptChunk if its table does not cover it exactly."""
    try:
        table_at, numbers = _table(plain)
    except FormatError as error:
        raise CorruptChunk(f"the table of a run of pages is damaged: {error}") from error
    head_lens, codes, body_lens = numbers[::_PER_FRAME], numbers[1::_PER_FRAME], numbers[2::_PER_FRAME]
    head_at, body_at = sum(body_lens), 0
    if head_at + sum(head_lens) != table_at:
        raise CorruptChunk("the table of a run of pages does not cover it")
    for head_len, code, body_len in zip(head_lens, codes, body_lens, strict=True):
        letter = chr(code) if 0 < code < 128 else ""
        if code and letter not in BY_LETTER:
            raise CorruptChunk(f"snappy encoder {code} is not known")
        yield _Frame(plain[head_at : head_at + head_len], letter, plain[body_at : body_at + body_len])
        head_at += head_len
        body_at += body_len


def _table(plain: Bytes) -> tuple[int, list[int]]:
    """Return where the table begins and its numbers. Raises FormatError if it is malformed."""
    end = len(plain) - _SIZE_LEN
    size = int.from_bytes(plain[max(end, 0) :].tobytes(), "little")
    if end < 0 or size > end:
        raise FormatError("it is cut short")
    table = plain[end - size : end].tobytes()
    count = sum(byte < 128 for byte in table)
    numbers, stop = decode_varints(table, 0, count)
    if stop != len(table) or count % _PER_FRAME:
        raise FormatError("it is not made of threes")
    return end - size, numbers
