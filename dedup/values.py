"""The plain values of the data path: spans, fingerprints, digests, parts of a file, file metadata.

Used by every room of dedup/ and by whoever stores or fetches chunks. Nothing here does I/O.
"""

from dataclasses import dataclass, field
from typing import NewType

Fingerprint = NewType("Fingerprint", bytes)
"""XXH3-128 of a chunk's raw bytes, 16 bytes big-endian (the canonical form). Finds candidates; proves nothing."""

Digest = NewType("Digest", bytes)
"""BLAKE3-256, 32 bytes. Confirms."""

RecipeId = NewType("RecipeId", str)
"""26 characters of lower-case Crockford base32 (0-9 a-z without i l o u): 128 random bits. Names one file version."""


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range: [start, start + length)."""

    start: int
    """First byte, 0-based."""
    length: int
    """Number of bytes; may be 0."""

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of a file as its file system lays it out: data, or a hole that reads as zeros."""

    span: Span
    is_hole: bool


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """A stretch of a file that is stored as one chunk."""

    fingerprint: Fingerprint
    digest: Digest
    length: int
    """Raw bytes, > 0."""


@dataclass(frozen=True, slots=True)
class HolePart:
    """A stretch of a sparse file that reads as zeros and is stored as nothing."""

    length: int
    """Bytes, > 0."""


Part = ChunkPart | HolePart


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What is put back beside a file's bytes. Times are ns since the epoch."""

    mode: int
    """Permission bits and type as in st_mode."""
    uid: int
    gid: int
    mtime_ns: int
    atime_ns: int
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    """(name, value), sorted by name; POSIX ACLs and SELinux labels are xattrs here
    (system.posix_acl_access, security.selinux)."""
    user: str = ""
    """Owner's name when stored, for a human; uid decides."""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One version of one file: how to rebuild it, bit for bit."""

    recipe_id: RecipeId
    root: str
    """The root's name at the time."""
    path: bytes
    """Relative to the root, no leading slash, raw bytes."""
    links: tuple[bytes, ...]
    """Further names (relative to the root) of the same inode; empty for an ordinary file."""
    size: int
    """Apparent size; equals the sum of the parts' lengths."""
    digest: Digest
    """BLAKE3 of the whole file, holes read as zeros."""
    chunker: str
    """Stored name of the chunker, for the record."""
    meta: FileMeta
    parts: tuple[Part, ...] = field(default=())
    stored_ns: int = 0
    """When this version was stored, ns since the epoch; 0 = not recorded. Orders versions where no segment does."""

    @property
    def hole_bytes(self) -> int:
        """Bytes of the file that are holes."""
        return sum(part.length for part in self.parts if isinstance(part, HolePart))


@dataclass(frozen=True, slots=True)
class PackEntry:
    """Where one chunk (or recipe) stands in a pack, and what it is."""

    fingerprint: Fingerprint
    """For a recipe pack: the 16 bytes of the recipe id."""
    digest: Digest
    """Of the raw (decoded) bytes."""
    raw_len: int
    stored_len: int
    """Coded payload only, without the chunk header."""
    offset: int
    """First byte of the payload in the pack."""
    codec: str
    """Stored codec name, e.g. "raw" or "zstd:3"."""
