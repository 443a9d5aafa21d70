"""What the codecs know of element types: width, where the exponent stands, how words are turned and sorted.

Used by the plane, delta and cast codecs and by the kernels. Names are those of dedup.values.Region.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """A type of number as its bits lie in a little-endian word."""

    width: int
    """Bytes."""
    turn: int = 0
    """Bits to rotate left before the word is split in bytes: 1 brings the sign to the bottom, so that the top byte is
    the exponent alone. Of no use for f16, whose exponent has 5 bits."""
    exponent_shift: int = -1
    """The lowest bit of what deltas are sorted by; -1: not a type that has deltas."""
    exponent_mask: int = 0
    """Below 256."""


ELEMENTS = {
    "bf16": Element(2, turn=1, exponent_shift=7, exponent_mask=0xFF),
    "f16": Element(2, exponent_shift=10, exponent_mask=0x1F),
    "f32": Element(4, turn=1, exponent_shift=23, exponent_mask=0xFF),
    # Eight of the eleven bits of an f64's exponent: values so far apart that they fall together are rare in one tensor.
    "f64": Element(8, turn=1, exponent_shift=52, exponent_mask=0xFF),
    "f8e4m3": Element(1),
    "f8e5m2": Element(1),
    "i8": Element(1),
    "u8": Element(1),
    "i16": Element(2),
    "u16": Element(2),
    "i32": Element(4),
    "u32": Element(4),
    "i64": Element(8),
    "u64": Element(8),
}

SORTED = tuple(name for name, element in ELEMENTS.items() if element.exponent_shift >= 0)
"""Elements that have delta and context codecs."""


@dataclass(frozen=True, slots=True)
class Sorting:
    """How words become sorted ones: z = (d << 1) ^ ((d's sign, spread over all bits) & fold), where d = word -
    (base & keep), in the order of a stable sort by (base >> shift) & mask.
    """

    shift: int
    mask: int
    keep: int
    """All ones to subtract the base, 0 to leave the word as it is."""
    fold: int
    """All ones for zigzag, 1 for a rotation by one bit."""
    top: int
    """Number of the sign bit."""
    unfold: int
    """All ones, or the sign bit alone: what undoes *fold*."""


def difference(name: str) -> Sorting:
    """Return how the difference to a base of the element *name* (of SORTED) is sorted: zigzag, small numbers first."""
    element = ELEMENTS[name]
    bits = 8 * element.width
    full = (1 << bits) - 1
    return Sorting(element.exponent_shift, element.exponent_mask, full, full, bits - 1, full)


def context(name: str) -> Sorting:
    """Return how words are sorted by a base that only tells their likely size: rotated by one bit, not subtracted."""
    element = ELEMENTS[name]
    top = 8 * element.width - 1
    return Sorting(element.exponent_shift, element.exponent_mask, 0, 1, top, 1 << top)
