"""The frozen encoders of the raw snappy format, by letter: what differs between the libraries that wrote the data.

Used by dedup.snappy, its kernel and its reference. A letter is stored with what was encoded by it, so no line here may
ever change; a library that writes other bytes gets a new letter.

All of them scan fragments of 64 KiB with one table of the last position of each hash of four bytes, and differ in three
ways: how the hash becomes an index of the table, how large the table may be, and how fast the scan speeds up where
nothing matches. The algorithm itself is spelled out in dedup.snappy_reference.
"""

from dataclasses import dataclass
from functools import cached_property

MULTIPLIER = 0x1E35A7BD
CASTAGNOLI = 0x82F63B78
"""CRC-32C, reflected."""

TOP, MASKED, CRC = 0, 1, 2
"""How a word becomes an index: the top bits of word * MULTIPLIER, as many as the fragment's table needs; as many as
the largest table needs, cut to the fragment's table from above; bits of CRC-32C."""

STEADY, GROWING = 0, 1
"""How the step between two looks grows, in 32nds of a byte: by one a look; by the step itself."""


@dataclass(frozen=True)
class Variant:
    """One way to choose what is a copy and what a literal. Every variant writes valid snappy."""

    letter: str
    """Stored name, one lower-case ASCII letter."""
    hash: int
    """TOP, MASKED or CRC."""
    most_bits: int
    """The largest table has 2**most_bits entries."""
    skip: int
    """STEADY or GROWING."""
    written_by: str
    """For a human: where pages of this kind come from."""

    @cached_property
    def rules(self) -> tuple[int, int, int]:
        """What the kernel is told."""
        return self.hash, self.most_bits, self.skip


# In the order in which they are tried: the commonest first. Checked against the libraries named (docs/pages.md).
VARIANTS = (
    Variant("a", MASKED, 14, GROWING, "snappy 1.1.9 to 1.2.1: pyarrow 9 to 21, Spark (snappy-java 1.1.10), Debian 12"),
    Variant("b", MASKED, 15, GROWING, "snappy 1.2.2: pyarrow 22 and later"),
    Variant("c", TOP, 14, GROWING, "snappy 1.1.4 to 1.1.8, Rust's snap (Polars, cramjam, fastparquet), Go's snappy"),
    Variant("d", TOP, 14, STEADY, "snappy up to 1.1.3, aircompressor (Trino, Presto)"),
    Variant("e", CRC, 14, GROWING, "snappy 1.1.9 to 1.2.1 compiled for CPUs with CRC instructions"),
    Variant("f", CRC, 15, GROWING, "snappy 1.2.2 compiled for CPUs with CRC instructions"),
)

BY_LETTER = {variant.letter: variant for variant in VARIANTS}


def _crc_tables() -> tuple[tuple[int, ...], ...]:
    """Return the four tables by which the CRC of a 4-byte word is four look-ups; the first is the common table."""
    first = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (CASTAGNOLI if crc & 1 else 0)
        first.append(crc)
    tables = [tuple(first)]
    for _ in range(3):
        tables.append(tuple((crc >> 8) ^ first[crc & 255] for crc in tables[-1]))
    return tuple(tables)


CRC_TABLES = _crc_tables()
