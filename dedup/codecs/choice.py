"""The choice of a codec: by what segmentation says of a block and what samples of it say.

Used by dedup.codecs alone. Knows nothing of where the block will be kept.
"""

import numpy as np

from dedup.codecs import cast, delta, frames, planes, sections, table
from dedup.codecs.coded import RAW, WHOLE, Coded
from dedup.codecs.elements import ELEMENTS, SORTED
from dedup.codecs.planes import Form, Trial
from dedup.codecs.samples import spread
from dedup.codecs.transforms import words_of
from dedup.fingerprint import Buffer

PLANES = "planes-1"

PAYS = 0.97
"""A base is worth its edge in the graph of references below this share of the solo payload."""
PAYS_AS_CONTEXT = 0.99
"""Of a base that only sorts: it is a tensor of the same file, which is fetched anyway."""

# Below 8 KiB tables and samples cost more than they tell.
_SMALL = 8 << 10
# 512 words a piece: enough to tell ways apart that differ by tenths.
_PIECE = 512
# A difference this close to what the tensor costs alone is no difference at all: sorting alone may do better.
_CLOSE = 0.93
# What is compressed already repeats its headers at most: zstd takes 1 to 3 % of small pictures, 0.1 % of photographs.
_MEDIA_WORTH = 0.995
_NAMES = {
    Form.PLAIN: "planes",
    Form.ROTATED: "rotated planes",
    Form.BF16_IN_F32: "planes of f32 that was bf16",
    Form.F16_IN_F32: "planes of f32 that was f16",
}


def solo(raw: bytes, *, kind: str, element: str, level: int) -> Coded:
    """Return *raw* coded on its own; raw where that is not smaller. Nothing is compared yet."""
    if kind in WHOLE or len(raw) < _SMALL:
        coded = _framed(raw, level, kind)
    elif kind == "tensor" and element in ELEMENTS:
        coded = _tensor(raw, element, level)
    elif kind == "media":
        coded = _media(raw, level)
    else:
        coded = _unknown(raw, level)
    return (
        coded
        if len(coded.payload) < len(raw)
        else Coded(RAW, raw, coded.reason if coded.codec == RAW else "does not shrink")
    )


def prescribed(raw: bytes, level: int | None) -> Coded:
    """Return *raw* in one zstd frame of *level*; raw for None, and where that is not smaller."""
    if level is None:
        return Coded(RAW, raw, "as prescribed")
    coded = Coded(f"zstd:{level}", frames.compress(raw, level), "as prescribed")
    return coded if len(coded.payload) < len(raw) else Coded(RAW, raw, "does not shrink")


def against(raw: bytes, base: Buffer, *, elements: tuple[str, str], level: int, rival: Coded | None) -> Coded | None:
    """Return *raw* coded against *base*, or None where that does not pay. *elements* are raw's and the base's."""
    element, base_element = elements
    if element in cast.ELEMENTS and base_element == "f32":
        payload = cast.encode(raw, base, element=element)
        return None if payload is None else Coded(f"{cast.CAST}:{element}", payload, "rounded from f32")
    if element != base_element or element not in SORTED or len(raw) != len(base) or len(raw) < _SMALL:
        return None
    alone = len(rival.payload) / len(raw) if rival else min(1.0, _best_alone(raw, element)[1])
    way, cost = delta.DELTA, delta.attempt(raw, base, delta.DELTA, element=element)
    if cost > _CLOSE * alone:
        sorted_cost = delta.attempt(raw, base, delta.CONTEXT, element=element)
        way, cost = (delta.CONTEXT, sorted_cost) if sorted_cost < cost else (way, cost)
    if cost >= alone:
        return None
    payload, ways = delta.encode(raw, base, way, element=element, level=level)
    if len(payload) >= (PAYS if way == delta.DELTA else PAYS_AS_CONTEXT) * alone * len(raw):
        return None
    words = "difference to base" if way == delta.DELTA else "beside base"
    return Coded(f"{way}:{element}", payload, f"{element}: {words}, sorted by its exponent ({ways})")


def _framed(raw: bytes, level: int, kind: str) -> Coded:
    return Coded(f"zstd:{level}", frames.compress(raw, level), f"{kind} together")


def _media(raw: bytes, level: int) -> Coded:
    sample = spread(np.frombuffer(raw, np.uint8), len(raw) // 16, pieces=4)
    if len(frames.compress(sample.data, level)) > _MEDIA_WORTH * len(sample):
        return Coded(RAW, raw, "compressed already")
    return Coded(f"zstd:{level}", frames.compress(raw, level), "compressed already, zstd over headers and repeats")


def _tensor(raw: bytes, element: str, level: int) -> Coded:
    trial, _ = _best_alone(raw, element)
    while trial is not None:
        found = planes.encode(raw, trial, level)
        if found is not None:
            return Coded(f"{PLANES}:{element}", found[0], _told(trial, element, found[1]))
        trial = planes.attempt(raw, _form(element), trial.width, piece=_PIECE)  # the sample was upcast, the rest is not
    sample = np.frombuffer(raw, dtype=np.uint8)
    return _one_frame(raw, table.frame_for(sample, level), level, element)


def _best_alone(raw: bytes, element: str) -> tuple[Trial | None, float]:
    """Return (planes, or None for one frame; sampled ratio)."""
    width = ELEMENTS[element].width
    sample = spread(words_of(raw[: len(raw) // 8 * 8], 8), _PIECE * width // 8).view("u1")
    size = min(len(frames.compress(sample.data, level)) for level in (frames.HUFFMAN, 1))
    frame_ratio = size / max(1, len(sample))
    if width == 1:
        return None, frame_ratio
    forms = [_form(element)]
    if element == "f32":
        forms += [Form.BF16_IN_F32, Form.F16_IN_F32]
    found = [planes.attempt(raw, form, width, piece=_PIECE) for form in forms]
    best = min((trial for trial in found if trial is not None), key=lambda trial: trial.ratio)
    return (None, frame_ratio) if frame_ratio < table.WORTH * best.ratio else (best, best.ratio)


def _form(element: str) -> Form:
    return Form.ROTATED if ELEMENTS[element].turn else Form.PLAIN


def _unknown(raw: bytes, level: int) -> Coded:
    stretches = sections.survey(raw, level)
    if len(stretches) > 1:
        count = sum(stretch.trial is not None for stretch in stretches)
        payload = sections.encode(raw, stretches, level)
        return Coded(sections.SECTIONS, payload, f"{count} of {len(stretches)} stretches as planes")
    only = stretches[0]
    if only.trial is None:
        return _one_frame(raw, only.level, level, "bytes")
    found = planes.encode(raw, only.trial, level)
    if found is None:
        return _one_frame(raw, level, level, "bytes")
    return Coded(PLANES, found[0], _told(only.trial, f"{8 * only.trial.width}-bit words found", found[1]))


def _one_frame(raw: bytes, frame_level: int, level: int, what: str) -> Coded:
    """Return one zstd frame; named by the effort's level where Huffman coding alone was used."""
    if frame_level == table.KEEP:
        return Coded(RAW, raw, f"{what}, samples do not shrink")
    way = "Huffman alone" if frame_level == frames.HUFFMAN else "zstd"
    return Coded(f"zstd:{frame_level or level}", frames.compress(raw, frame_level), f"{what}, {way}")


def _told(trial: Trial, what: str, ways: str) -> str:
    """Return the reason for `explain`: the form, and what became of each plane, the lowest first."""
    return f"{what}: {_NAMES[trial.form]} ({ways})"
