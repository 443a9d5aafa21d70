"""Planes: tensors on their own, each word rotated and split in bytes, every plane coded in the way that suits it.

Used by dedup.codecs.choice and dedup.codecs.sections. zstd's match finder spoils exponents and finds nothing in
mantissas, so most planes are Huffman-coded or kept.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.codecs import frames, table, transforms
from dedup.codecs.samples import spread
from dedup.fingerprint import Buffer


class Form(IntEnum):
    """What was done to the words before they were split."""

    PLAIN = 0
    """Nothing."""
    ROTATED = 1
    """Rotated left by one bit: sign at the bottom, exponent on top."""
    BF16_IN_F32 = 2
    """4-byte words whose lower half is zero: the upper half, rotated."""
    F16_IN_F32 = 3
    """4-byte floats that are exactly a 2-byte float, none a NaN: that one."""


_SHAPES: dict[int, tuple[int, int]] = {
    Form.PLAIN: (0, 0),
    Form.ROTATED: (0, 0),
    Form.BF16_IN_F32: (4, 2),
    Form.F16_IN_F32: (4, 2),
}
_FIRST = 16
"""Words that show most data to have no narrow form: the lowest byte is zero in all that have."""
_TURN = {Form.PLAIN: 0, Form.ROTATED: 1, Form.BF16_IN_F32: 1, Form.F16_IN_F32: 0}


@dataclass(frozen=True, slots=True)
class Trial:
    """A way to code a block, and what a sample says it costs."""

    form: Form
    width: int
    """Bytes of a raw word."""
    ratio: float
    """Coded bytes / raw bytes of the sample."""
    head: int = 0
    """Bytes before the first word."""
    bits: tuple[float, ...] = ()
    """What a byte of each plane costs by its entropy; nothing: look."""


def attempt(data: Buffer, form: Form, width: int, *, piece: int, head: int = 0) -> Trial | None:
    """Return what it costs to code *data* in *form*, by sixteen runs of *piece* words; None where they do not have that
    form.
    """
    view, end = _bounds(data, width, head)
    if form >= Form.BF16_IN_F32 and any(view[head:end][: _FIRST * width : width]):
        return None  # without looking at the rest: most floats are not of a form that their first words have not
    sample = narrowed(spread(transforms.words_in(view[head:end], width), piece), form)
    if sample is None or not len(sample):
        return None
    stored = sum(table.cost(plane) for plane in transforms.split(sample, _TURN[form]))
    return Trial(form, width, stored / (len(sample) * width), head)


def encode(data: Buffer, trial: Trial, level: int) -> tuple[bytes, str] | None:
    """Return (payload of *data* coded as *trial* says, what became of the planes); None where not all of it has that
    form.
    """
    view, end = _bounds(data, trial.width, trial.head)
    narrow = narrowed(transforms.words_of(view[trial.head : end], trial.width), trial.form)
    if narrow is None:
        return None
    planes = transforms.split(narrow, _TURN[trial.form])
    ends = (view[: trial.head], view[end:])
    return table.pack(trial.form, planes, (level, frames.HUFFMAN), ends=ends, raw=data, bits=trial.bits)


def decode(payload: Buffer, raw_len: int) -> bytes:
    """Return the *raw_len* bytes of *payload*. Raises CorruptChunk."""
    opened = table.unpack(payload, raw_len, shapes=_SHAPES)
    words = transforms.join(opened.planes, _TURN[Form(opened.form)])
    if opened.form >= Form.BF16_IN_F32:
        words = _widened(words, Form(opened.form))
    return table.sealed(opened, words)


def narrowed(words: NDArray[Any], form: Form) -> NDArray[Any] | None:
    """Return *words* as they are split in *form*; None where they do not all have it."""
    if form < Form.BF16_IN_F32:
        return words
    if form == Form.BF16_IN_F32:
        halves = words.view("<u2")
        return None if halves[::2].any() else np.ascontiguousarray(halves[1::2])
    if (words & np.uint32(0x1FFF)).any():  # bits that no f16 has
        return None
    with np.errstate(all="ignore"):
        halves = words.view("<f4").astype("<f2")
    is_exact = np.array_equal(halves.astype("<f4").view("<u4"), words) and not np.isnan(halves).any()
    return halves.view("<u2") if is_exact else None


def _widened(halves: NDArray[Any], form: Form) -> NDArray[Any]:
    if form == Form.BF16_IN_F32:
        return halves.astype("<u4") << np.uint32(16)
    return halves.view("<f2").astype("<f4").view("<u4")


def _bounds(data: Buffer, width: int, head: int) -> tuple[memoryview, int]:
    """Return *data* as bytes, and where its last whole word ends."""
    view = memoryview(data).cast("B")
    return view, len(view) - (len(view) - head) % width
