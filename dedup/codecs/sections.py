"""Sections: data of unknown structure, cut where its structure changes, each stretch coded in the way that suits it.

Used by dedup.codecs.choice for whatever segmentation cannot name: ONNX, TFLite, HDF5, memory dumps. Numbers betray
their width by the entropy of every second, fourth or eighth byte, and where they begin by which of these is lowest: the
exponent.
"""

import importlib
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.codecs import frames, planes, table, transforms
from dedup.codecs.planes import Form, Trial
from dedup.codecs.samples import PIECES, spread
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer, fingerprint

SECTIONS = "sections-1"
VERSION = 1
HEADER = struct.Struct("<BBH8s")
ENTRY = struct.Struct("<BII")
KEPT, FRAME, PLANES = 0, 1, 2

# What is judged at once: on packaged models 512 KiB cost 1.1 % more than 128 KiB, 32 KiB 1.2 % less at half the speed.
_SECTION_BYTES, _SMALL_SECTION_BYTES = 128 << 10, 32 << 10
_SMALL_FROM = 4  # the level of zstd from which bytes count for more than time
_SAMPLE = 1024  # bytes a piece: 2 Ki bytes of each of eight positions
_PIECE, _SPENT_PIECE = 512, 256  # words a piece, where ways to split are tried and where their entropies are compared
_LONG_PIECE = 16 << 10  # bytes a piece: what zstd finds in it, it will find in all
# Below table.PATIENT_FROM a smaller sample, and entropy instead of trials, will do: 0.1 % larger on libraries, sources
_SHORT_PIECE = 3 << 10  # and floats, and a third of the time of the choice.
_CLEAR = 0.6  # what matches make as small as this, Huffman coding alone makes no smaller: there it is not tried
_LIKELY = 1.05  # times the least entropy: ways that zstd may yet rank otherwise
_SPARSE = 0.3  # bits a byte: from here on the rare bytes are too many for matches, and Huffman coding takes a whole bit
_PERIOD = 8
_WIDTHS = (2, 4, 8)
_STILL = 0.01  # bits: a byte that never changes is no exponent
_TIE = 1e-9  # bits: what the order of additions changes; the first place of a tie counts
_NUMBERS = np.maximum(np.arange(PIECES * _SAMPLE + 1), 1)
_N_LOG_N = _NUMBERS * np.log2(_NUMBERS)
_MOST = 1 << 12  # sections of a block: 16 MiB of 4 KiB


_Guess = tuple[int, int]
"""Width of words, bytes before the first."""
_Bits = tuple[float, ...]
"""Of each plane, that of the lowest byte first."""


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
    merged: list[tuple[int, int, _Guess]] = []
    step = _SMALL_SECTION_BYTES if level >= _SMALL_FROM else _SECTION_BYTES
    for number, guess in enumerate(_guesses(np.frombuffer(view, np.uint8), step)):
        start, end = number * step, min((number + 1) * step, len(view))
        if merged and merged[-1][2] == guess:
            merged[-1] = (merged[-1][0], end, guess)
        else:
            merged.append((start, end, guess))
    return _joined([_stretch(view, start, end, guess, level=level) for start, end, guess in merged])


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


def _stretch(view: memoryview, start: int, end: int, guess: _Guess, *, level: int) -> Stretch:
    """Return how to code what stands from *start* to *end*, by four runs of it: a quarter of it or 64 KiB, 12 KiB where
    time counts for more.
    """
    part = view[start:end]
    longest = _LONG_PIECE if level >= table.PATIENT_FROM else _SHORT_PIECE
    sample = spread(np.frombuffer(part, np.uint8), min(longest, max(1, len(part) // 16)), pieces=4)
    matched = len(frames.compress(sample.data, 1)) / len(sample)
    # Huffman coding alone is not asked yet: it makes of words no less than of their planes.
    trials = [trial for trial in _trials(part, guess, level) if trial.ratio < table.WORTH * min(matched, 1.0)]
    if trials:
        return Stretch(start, end, trial=min(trials, key=lambda trial: trial.ratio))
    return Stretch(start, end, _frame_level(sample, matched, level))


def _frame_level(sample: NDArray[np.uint8], matched: float, level: int) -> int:
    """Return the level of the frame that suits what *sample* was taken of; level 1 makes *matched* times as many bytes
    of it.
    """
    if level < table.PATIENT_FROM and matched < _CLEAR:
        return level
    alone = len(frames.compress(sample.data, frames.HUFFMAN)) / len(sample)
    if min(alone, matched) > table.WORTH:
        return table.KEEP
    return frames.HUFFMAN if alone < matched else level


def _trials(part: memoryview, guess: _Guess, level: int) -> list[Trial]:
    """Return the ways to split *part* that its entropy does not rule out, each tried on a sample; at the level where
    time counts for more the best by entropy, untried.
    """
    width, head = guess
    if width == 1:
        return []
    narrow = (Form.BF16_IN_F32, Form.F16_IN_F32) if width == 4 else ()
    bits = dict(zip((Form.PLAIN, Form.ROTATED), _spent(np.frombuffer(part, np.uint8), guess), strict=True))
    spent = {form: sum(map(_huffman_bits, each)) for form, each in bits.items()}
    best = min(spent, key=lambda form: spent[form])
    least = spent[best]
    forms = [form for form, total in spent.items() if total <= _LIKELY * least]
    trials: list[Trial | None] = []
    if level < table.PATIENT_FROM and least:
        trials.append(Trial(best, width, least / (8 * width), head, bits[best]))
        forms.clear()
    trials += [planes.attempt(part, form, width, piece=_PIECE, head=head) for form in (*forms, *narrow)]
    return [trial for trial in trials if trial is not None]


def _huffman_bits(entropy: float) -> float:
    """Return what a byte costs of a plane of *entropy* bits a byte, which may be kept as it is."""
    if entropy >= 8 * table.WORTH:
        return 8.0
    return 1.0 if _SPARSE < entropy < 1.0 else entropy


def _spent(data: NDArray[np.uint8], guess: _Guess) -> tuple[_Bits, _Bits]:
    """Return the bits that words of *data* cost in each plane, plain and rotated, by the entropy of a sample."""
    kernel = _kernel()
    if kernel is None:
        return _plainly_spent(data, guess)
    found: tuple[_Bits, _Bits] = kernel.spend(data, (*guess, PIECES, _SPENT_PIECE), _N_LOG_N)
    return found


def _plainly_spent(data: NDArray[np.uint8], guess: _Guess) -> tuple[_Bits, _Bits]:
    width, head = guess
    end = len(data) - (len(data) - head) % width
    sample = spread(transforms.words_in(data[head:end].data, width), _SPENT_PIECE)
    return _bits(transforms.split(sample, 0)), _bits(transforms.split(sample, 1))


def _bits(split: list[NDArray[np.uint8]]) -> _Bits:
    return tuple(_entropies(np.array([np.bincount(plane, minlength=256) for plane in split])).tolist())


def _guesses(data: NDArray[np.uint8], step: int) -> list[_Guess]:
    """Return what each section of *data* seems to hold: by machine code, at an eighth of numpy's time."""
    kernel = _kernel()
    if kernel is None:
        return [_guess(data[start : start + step]) for start in range(0, len(data), step)]
    sizes = (step, PIECES, _SAMPLE // _PERIOD)
    found = kernel.guesses(data, sizes, _N_LOG_N, (table.WORTH, _STILL, _TIE)).tolist()
    return [(one >> 4, one & 15) for one in found]


@cache
def _kernel() -> Any:
    try:
        return importlib.import_module("dedup.kernels.words")
    except transforms.NO_MACHINE_CODE:
        return None


def _guess(section: NDArray[np.uint8]) -> _Guess:
    """Return the width of the words that *section* seems to hold, 1 where it does not seem to hold any, and where the
    first whole one begins: after the byte of least, but some, entropy.
    """
    counts = _counts(section)
    best, head, least = 1, 0, float(_entropies(counts.sum(axis=0, keepdims=True))[0])
    for width in _WIDTHS:
        entropies = _entropies(counts.reshape(_PERIOD // width, width, 256).sum(axis=0))
        if entropies.mean() < table.WORTH * least:
            lively = np.where(entropies > _STILL, entropies, 9.0)
            lowest = int(np.flatnonzero(lively < lively.min() + _TIE)[0])
            best, head, least = width, (lowest + 1) % width, float(entropies.mean())
    return best, head


def _counts(section: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how often each value stands at each place of a period, in a sample."""
    sample = spread(section[: len(section) // _PERIOD * _PERIOD].view("<u8"), _SAMPLE // _PERIOD).view(np.uint8)
    places = (np.arange(len(sample), dtype=np.int64) & (_PERIOD - 1)) << 8
    return np.bincount(places + sample, minlength=_PERIOD << 8).reshape(_PERIOD, 256)


def _entropies(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the entropy of each row in bits, corrected for being that of a sample (Miller and Madow, 1955)."""
    total = np.maximum(counts.sum(axis=1), 1)
    plain = np.log2(total) - _N_LOG_N[counts].sum(axis=1) / total
    corrected: NDArray[np.float64] = plain + np.maximum((counts > 0).sum(axis=1) - 1, 0) / (2 * total * np.log(2))
    return corrected
