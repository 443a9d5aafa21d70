"""The payload of every codec that keeps byte planes: a table of them, checked, and the planes themselves.

Used by dedup.codecs.planes and dedup.codecs.delta. docs/codecs.md has the bytes.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.codecs import frames
from dedup.codecs.samples import spread
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer, fingerprint

VERSION = 1
WIDTHS = (1, 2, 4, 8)
HEADER = struct.Struct("<BBBB8s")
ENTRY = struct.Struct("<BI")
PLAIN, FRAME = 0, 1
"""Methods: the plane as it is; one zstd frame."""

KEEP = -1
"""The level that stands for a plane kept as it is."""

# Below 1.5 % a frame is not worth its time on the way back.
WORTH = 0.985

# Matches are worth their time on the way in only where they save more than this over Huffman coding alone.
MATCHES = 0.97
_SAMPLED, _FEW_SAMPLED = 16 << 10, 8 << 10  # bytes, in four runs; below PATIENT_FROM fewer
_NOISE = 7.9
"""Bits a byte of what is kept without a trial: Huffman coding would save less than it has to (WORTH)."""
PATIENT_FROM = 3
"""The level of zstd below which time counts for more than what samples do not show."""
_WORDS = {KEEP: "raw", frames.HUFFMAN: "huf", frames.FINE: "huf"}


@dataclass(frozen=True, slots=True)
class Planes:
    """What a payload holds, opened."""

    form: int
    planes: list[NDArray[np.uint8]]
    head: memoryview
    """Bytes before the first word."""
    tail: memoryview
    """Bytes after the last."""
    check: bytes
    """Fingerprint of the raw bytes."""


def level_for(plane: NDArray[np.uint8], level: int, huffman: int = frames.HUFFMAN, bits: float = 0.0) -> int:
    """Return *level* where zstd finds matches in *plane*, else *huffman*: decided at level 1 on four runs of 4 KiB, of
    2 KiB where time counts. *bits*: what a byte of it costs by its entropy, where that is known.

    KEEP where these do not shrink and time counts for more than what the rest might.
    """
    if bits >= _NOISE:
        return KEEP
    sample = spread(plane, (_SAMPLED if level >= PATIENT_FROM else _FEW_SAMPLED) // 4, pieces=4)
    alone = bits / 8 * len(sample) or len(frames.compress(sample.data, huffman))
    matched = len(frames.compress(sample.data, 1))
    if level < PATIENT_FROM and min(alone, matched) >= WORTH * len(sample):
        return KEEP
    return level if matched < MATCHES * alone else huffman


def frame_for(data: NDArray[np.uint8], level: int) -> int:
    """Return *level* or HUFFMAN for *data* as one frame, by four runs of 32 KiB: matches of pixels and tokens are long
    in coming.
    """
    sample = spread(data, 32 << 10, pieces=4)
    alone, matched = (len(frames.compress(sample.data, used)) for used in (frames.HUFFMAN, level))
    return level if matched < MATCHES * alone else frames.HUFFMAN


def coded(plane: NDArray[np.uint8], level: int, huffman: int = frames.HUFFMAN, bits: float = 0.0) -> tuple[Buffer, int]:
    """Return (body, the level it got): a frame of *plane*, or the plane itself and KEEP where that is hardly larger.
    *bits* as level_for()'s.
    """
    best = level_for(plane, level, huffman, bits)
    if best == KEEP:
        return plane.data, KEEP
    body = frames.compress(plane.data, best)
    return (body, best) if len(body) < WORTH * len(plane) else (plane.data, KEEP)


def cost(plane: NDArray[np.uint8]) -> int:
    """Return the bytes that coded() makes of *plane* at level 1: of one short enough to be its own sample, without
    coding it a third time.
    """
    if len(plane) > _SAMPLED:
        return len(coded(plane, 1)[0])
    alone, matched = (len(frames.compress(plane.data, used)) for used in (frames.HUFFMAN, 1))
    least = matched if matched < MATCHES * alone else alone
    return least if least < WORTH * len(plane) else len(plane)


def pack(
    form: int,
    planes: Sequence[NDArray[np.uint8]],
    levels: tuple[int, int],
    *,
    ends: tuple[Any, Any],
    raw: Buffer,
    bits: Iterable[float] = (),
) -> tuple[bytes, str]:
    """Return (payload of *planes*, what became of each, in words).

    *levels*: where matches pay, and which Huffman coding otherwise; *ends*: the bytes of *raw* before and after the
    words; *bits*: what a byte of each plane costs by its entropy; nothing: look.
    """
    found = [coded(plane, *levels, spent) for plane, spent in zip(planes, chain(bits, repeat(0.0)), strict=False)]
    entries = [ENTRY.pack(PLAIN if best == KEEP else FRAME, len(body)) for body, best in found]
    head, tail = ends
    header = HEADER.pack(VERSION, form, len(planes), len(head), fingerprint(raw))
    payload = b"".join([header, *entries, head, tail, *(body for body, _ in found)])
    return payload, " ".join(_WORDS.get(best, f"z{best}") for _, best in found)


def unpack(payload: Buffer, raw_len: int, *, shapes: Mapping[int, tuple[int, int]]) -> Planes:
    """Open *payload*, which is to hold *raw_len* bytes. *shapes*: the forms the caller knows -> bytes of a raw word and
    number of planes; (0, 0) where both are the payload's to say, and equal.

    Raises CorruptChunk for anything that does not add up, before anything is allocated by it.
    """
    view = memoryview(payload).cast("B")
    if len(view) < HEADER.size:
        raise CorruptChunk(f"plane payload of {len(view)} bytes has no header")
    version, form, width, head, check = HEADER.unpack_from(view)
    size, expected = shapes.get(form, (0, -1))
    if version != VERSION or width not in WIDTHS or expected not in {0, width}:
        raise CorruptChunk(f"plane payload: version {version}, form {form}, {width} planes are not known")
    size = size or width
    count, tail = divmod(raw_len - head, size)
    start = HEADER.size + width * ENTRY.size
    if head >= size or raw_len < head or len(view) < start + head + tail:
        raise CorruptChunk(
            f"plane payload of {len(view)} bytes cannot hold {raw_len} bytes with {head} before the words"
        )
    entries = [ENTRY.unpack_from(view, HEADER.size + k * ENTRY.size) for k in range(width)]
    if start + head + tail + sum(length for _, length in entries) != len(view):
        raise CorruptChunk("plane payload: lengths of planes do not add up")
    planes, position = [], start + head + tail
    for method, length in entries:
        planes.append(_opened(method, view[position : position + length], count))
        position += length
    return Planes(form, planes, view[start : start + head], view[start + head : start + head + tail], check)


def sealed(opened: Planes, words: NDArray[Any]) -> bytes:
    """Return the raw bytes: *words* between head and tail. Raises CorruptChunk where the check does not hold."""
    raw = b"".join([opened.head, words.data.cast("B"), opened.tail]) if len(words) else bytes(opened.head) + opened.tail
    if fingerprint(raw) != opened.check:
        raise CorruptChunk("planes join to other bytes than were split: damaged, or not the right base")
    return raw


def _opened(method: int, body: memoryview, count: int) -> NDArray[np.uint8]:
    if method == FRAME:
        return np.frombuffer(frames.expand(body, count), dtype=np.uint8)
    if method != PLAIN or len(body) != count:
        raise CorruptChunk(f"plane of {len(body)} bytes, method {method}, expected {count} bytes")
    return np.frombuffer(body, dtype=np.uint8)
