"""Sections: data of unknown structure, cut where its structure changes, each stretch coded in the way that suits it.

Used by dedup.codecs.choice for whatever segmentation cannot name: ONNX, TFLite, HDF5, memory dumps. Numbers betray
their width by the entropy of every second, fourth or eighth byte, and where they begin by which of these is lowest: the
exponent.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dedup.codecs import frames, planes, table
from dedup.codecs.planes import Form, Trial
from dedup.codecs.samples import spread
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer, fingerprint

SECTIONS = "sections-1"
VERSION = 1
HEADER = struct.Struct("<BBH8s")
ENTRY = struct.Struct("<BII")
KEPT, FRAME, PLANES = 0, 1, 2

SECTION_BYTES = 256 << 10
"""What is judged at once. Whole 1 MiB blocks cost 1 % more on packaged models."""
_SAMPLE = 1024  # bytes a piece: 2 Ki bytes of each of eight positions
_PIECE = 1024  # words a piece, where ways to split are compared
_LONG_SAMPLE = 64 << 10  # bytes of one run: what zstd finds in it, it will find in all
_PERIOD = 8
_WIDTHS = (2, 4, 8)
_MOST = 1 << 12  # sections of a block: 16 MiB of 4 KiB


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a block and how it is to be coded."""

    start: int
    end: int
    level: int = table.KEEP
    """Of the one frame; KEEP for none."""
    trial: Trial | None = None
    """Planes instead."""


def survey(data: Buffer, level: int) -> list[Stretch]:
    """Return how to code *data*: stretches that touch and cover it, neighbours coded in different ways."""
    view = memoryview(data).cast("B")
    guesses = [
        (
            start,
            min(start + SECTION_BYTES, len(view)),
            _width(np.frombuffer(view[start : start + SECTION_BYTES], np.uint8)),
        )
        for start in range(0, len(view), SECTION_BYTES)
    ]
    merged: list[tuple[int, int, int]] = []
    for start, end, width in guesses:
        if merged and merged[-1][2] == width:
            merged[-1] = (merged[-1][0], end, width)
        else:
            merged.append((start, end, width))
    found = [_stretch(view, start, end, width, level=level) for start, end, width in merged]
    return _joined(found)


def encode(data: Buffer, stretches: list[Stretch], level: int) -> bytes:
    """Return the payload of *data*, coded as *stretches* say."""
    view = memoryview(data).cast("B")
    entries, bodies = [], []
    for stretch in stretches:
        part = view[stretch.start : stretch.end]
        codec, body = _coded(part, stretch, level)
        entries.append(ENTRY.pack(codec, len(part), len(body)))
        bodies.append(body)
    return b"".join([HEADER.pack(VERSION, 0, len(stretches), fingerprint(data)), *entries, *bodies])


def decode(payload: Buffer, raw_len: int) -> bytes:
    """Return the *raw_len* bytes of *payload*. Raises CorruptChunk."""
    view = memoryview(payload).cast("B")
    if len(view) < HEADER.size:
        raise CorruptChunk(f"sections of {len(view)} bytes have no header")
    version, _, count, check = HEADER.unpack_from(view)
    position = HEADER.size + count * ENTRY.size
    if version != VERSION or count > _MOST or position > len(view):
        raise CorruptChunk(f"sections of version {version}, {len(view)} bytes, cannot be {count}")
    entries = [ENTRY.unpack_from(view, HEADER.size + k * ENTRY.size) for k in range(count)]
    if sum(raw for _, raw, _ in entries) != raw_len or position + sum(size for _, _, size in entries) != len(view):
        raise CorruptChunk(f"sections do not add up to {raw_len} bytes")
    parts = []
    for codec, raw, size in entries:
        parts.append(_opened(codec, view[position : position + size], raw))
        position += size
    whole = b"".join(parts)
    if fingerprint(whole) != check:
        raise CorruptChunk("sections give other bytes than were coded")
    return whole


def _opened(codec: int, body: memoryview, raw_len: int) -> Buffer:
    if codec == PLANES:
        return planes.decode(body, raw_len)
    if codec == FRAME:
        return frames.expand(body, raw_len)
    if codec != KEPT or len(body) != raw_len:
        raise CorruptChunk(f"section of {len(body)} bytes, codec {codec}, expected {raw_len} bytes")
    return body


def _coded(part: memoryview, stretch: Stretch, level: int) -> tuple[int, Buffer]:
    body: Buffer | None = None
    if stretch.trial is not None:
        found = planes.encode(part, stretch.trial, level)
        body = found[0] if found is not None else None
    elif stretch.level != table.KEEP:
        body = frames.compress(part, stretch.level)
    if body is None or len(body) >= len(part):
        return KEPT, part
    return (PLANES if stretch.trial is not None else FRAME), body


def _joined(found: list[Stretch]) -> list[Stretch]:
    """Return *found* with neighbours that need no planes and go by the same level as one."""
    joined: list[Stretch] = []
    for stretch in found:
        last = joined[-1] if joined else None
        if last is not None and last.trial is None is stretch.trial and last.level == stretch.level:
            joined[-1] = Stretch(last.start, stretch.end, last.level)
        else:
            joined.append(stretch)
    return joined


def _stretch(view: memoryview, start: int, end: int, width: int, *, level: int) -> Stretch:
    part = view[start:end]
    frame_level, frame_ratio = _frame(part, level)
    trials = [trial for trial in _trials(part, width) if trial.ratio < table.WORTH * min(frame_ratio, 1.0)]
    if trials:
        return Stretch(start, end, trial=min(trials, key=lambda trial: trial.ratio))
    return Stretch(start, end, frame_level)


def _frame(part: memoryview, level: int) -> tuple[int, float]:
    """Return (level, ratio) of the frame that suits *part*, by two runs of it."""
    middle = max(0, len(part) // 2 - _LONG_SAMPLE // 2)
    runs = [part[middle : middle + _LONG_SAMPLE]]
    if len(part) > 2 * _LONG_SAMPLE:
        runs.append(part[:_LONG_SAMPLE])
    sizes = {used: sum(len(frames.compress(run, used)) for run in runs) for used in (frames.HUFFMAN, 1)}
    best = frames.HUFFMAN if sizes[frames.HUFFMAN] < sizes[1] else 1
    ratio = sizes[best] / max(1, sum(len(run) for run in runs))
    if ratio > table.WORTH:
        return table.KEEP, 1.0
    return (level if best else best), ratio


def _trials(part: memoryview, width: int) -> list[Trial]:
    if width == 1:
        return []
    head = _first_word(np.frombuffer(part, np.uint8), width)
    forms = [Form.PLAIN, Form.ROTATED] + ([Form.BF16_IN_F32, Form.F16_IN_F32] if width == 4 else [])
    found = [planes.attempt(part, form, width, piece=_PIECE, head=head) for form in forms]
    return [trial for trial in found if trial is not None]


def _width(section: NDArray[np.uint8]) -> int:
    """Return the width of the words that *section* seems to hold: 1 where it does not seem to hold any."""
    counts = _counts(section)
    best, least = 1, _entropy(counts.sum(axis=0, keepdims=True))
    for width in _WIDTHS:
        entropy = _entropy(counts.reshape(_PERIOD // width, width, 256).sum(axis=0))
        if entropy < table.WORTH * least:
            best, least = width, entropy
    return best


def _first_word(part: NDArray[np.uint8], width: int) -> int:
    """Return where the first whole word of *part* begins: after the byte of least, but some, entropy."""
    counts = _counts(part).reshape(_PERIOD // width, width, 256).sum(axis=0)
    entropies = [_entropy(counts[k : k + 1]) for k in range(width)]
    lively = [k for k in range(width) if entropies[k] > 0.01] or [width - 1]
    return (min(lively, key=lambda k: entropies[k]) + 1) % width


def _counts(section: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each value stands at each place of a period, in a sample."""
    sample = spread(section[: len(section) // _PERIOD * _PERIOD].view("<u8"), _SAMPLE // _PERIOD).view(np.uint8)
    places = np.tile(np.arange(_PERIOD, dtype=np.int64) << 8, len(sample) // _PERIOD)
    return np.bincount(places + sample, minlength=_PERIOD << 8).reshape(_PERIOD, 256)


def _entropy(counts: NDArray[np.int64]) -> float:
    """Return the mean entropy of the rows in bits a byte, corrected for their being samples (Miller and Madow 1955)."""
    total = 0.0
    for row in counts:
        seen = row[row > 0]
        if len(seen):
            n = float(seen.sum())
            total += float(np.log2(n) - (seen * np.log2(seen)).sum() / n) + (len(seen) - 1) / (2 * n * np.log(2))
    return total / len(counts)
