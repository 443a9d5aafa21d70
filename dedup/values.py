"""The plain values of the data path: spans, fingerprints, digests, parts of a file, blocks, regions, file metadata.

Used by every room of dedup/ and by whoever stores or fetches chunks. Nothing here does I/O.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, NewType, Protocol, TypeVar, cast

Row = TypeVar("Row", bound=tuple[Any, ...])

Fingerprint = NewType("Fingerprint", bytes)
"""The leading 8 bytes of XXH3-128 (canonical form, big-endian) of a chunk's raw bytes. Finds candidates; proves
nothing."""

Digest = NewType("Digest", bytes)
"""BLAKE3-256, 32 bytes. Confirms."""

RecipeId = NewType("RecipeId", str)
"""26 characters of lower-case Crockford base32 (0-9 a-z without i l o u): 128 random bits. Names one file version."""

MAX_BASE_DEPTH = 6
"""Bases below a chunk, which is itself solo = 0. Each costs a read and a decoding more. Deltas use up to 5, and a cast
may stand on top."""


class Span(NamedTuple):
    """A byte range: [start, start + length)."""

    start: int
    """First byte, 0-based."""
    length: int
    """Number of bytes; may be 0."""

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.start + self.length


class Extent(NamedTuple):
    """A stretch of a file as its file system lays it out: data, or a hole that reads as zeros."""

    span: Span
    is_hole: bool


class ChunkPart(NamedTuple):
    """A stretch of a file that is stored as one chunk."""

    fingerprint: Fingerprint
    digest: Digest
    length: int
    """Raw bytes, > 0."""


class HolePart(NamedTuple):
    """A stretch of a sparse file that reads as zeros and is stored as nothing."""

    length: int
    """Bytes, > 0."""


@dataclass(frozen=True, slots=True)
class WrappedPart:
    """A stretch of a file that is stored in another form: a compressed page, kept as its plain bytes.

    The file's bytes are rewrap(codec, the inner chunks' bytes joined, length); dedup.wrappers has the registry.
    """

    codec: str
    """Stored name of the wrapper, e.g. "snappy-page:1"."""
    length: int
    """Bytes in the file, > 0."""
    inner: tuple[ChunkPart, ...]
    """The plain form, in order; at least one."""


Part = ChunkPart | HolePart | WrappedPart


def made_of(kind: type[Row], columns: Iterable[Iterable[object]]) -> Iterator[Row]:
    """Yield values of *kind*, a NamedTuple, from its columns, all in order; it ends with the shortest.

    For values by the ten thousand: nothing of it is interpreted, and calling *kind* takes four times as long.
    """
    make = cast("Callable[[type[Row], Iterable[object]], Row]", tuple.__new__)
    return map(partial(make, kind), zip(*columns, strict=False))


def chunks_of(parts: tuple[Part, ...]) -> Sequence[ChunkPart]:
    """Return every stored chunk that *parts* need, those inside of wrapped parts too, in order, as often as needed."""
    if {*map(type, parts)} == {ChunkPart}:  # most files, each asked about several times
        return cast("tuple[ChunkPart, ...]", parts)
    found: list[ChunkPart] = []
    for part in parts:
        if isinstance(part, ChunkPart):
            found.append(part)
        elif isinstance(part, WrappedPart):
            found += part.inner
    return found


class FileMeta(NamedTuple):
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


class Recipe(NamedTuple):
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
    parts: tuple[Part, ...] = ()
    stored_ns: int = 0
    """When this version was stored, ns since the epoch; 0 = not recorded. Orders versions where no segment does."""

    @property
    def hole_bytes(self) -> int:
        """Bytes of the file that are holes."""
        return sum(part.length for part in self.parts if isinstance(part, HolePart))


class PlacedChunk(NamedTuple):
    """A chunk inside of its block."""

    chunk: ChunkPart
    inner_offset: int
    """First byte of the chunk in the decoded block."""
    stored_share: int
    """The chunk's share of the block's stored bytes; the shares of a block add up to its stored_len."""


@dataclass(frozen=True, slots=True)
class Block:
    """Where one block stands in a pack, and what it holds: the unit of compression and of a ranged read.

    In a data pack *chunks* are chunks. In a recipe pack they are recipes: fingerprint is the 16 bytes of the recipe's
    id, digest is that of the whole decoded block (all recipes of a block share it), length that of the encoded recipe.
    """

    offset: int
    """First byte of the payload in the pack."""
    stored_len: int
    """Coded payload only, without the block header."""
    raw_len: int
    """Decoded; equals the sum of the chunks' lengths."""
    codec: str
    """Stored codec name, e.g. "raw" or "zstd:3"."""
    chunks: tuple[ChunkPart, ...]
    """In the order in which they stand in the decoded block; at least one; exactly one if there is a base."""
    base: Digest | None = None
    """The chunk whose raw bytes the decoder needs (delta, cast)."""
    first: int = field(default=0, compare=False)
    """How many chunks (or recipes) stand before it in the pack: segments name recipes by such numbers. Of no account
    where the block is not read from a pack."""

    def placed(self) -> Iterator[PlacedChunk]:
        """Yield every chunk with its place and share, in order.

        A share is the difference of two floors: stored_len * end // raw_len, less the same of the chunk's start.
        """
        start = 0
        for chunk, share in zip(self.chunks, self.shares(), strict=True):
            yield PlacedChunk(chunk, start, share)
            start += chunk.length

    def shares(self) -> list[int]:
        """Return the share of every chunk, in order; see placed()."""
        ends = [self.stored_len * end // self.raw_len for end in accumulate([chunk.length for chunk in self.chunks])]
        return [end - start for start, end in zip([0, *ends], ends, strict=False)]


@dataclass(frozen=True, slots=True)
class ScannedBlock:
    """A block found by its header alone, in a pack whose trailer is damaged: what it holds is not known yet."""

    offset: int
    stored_len: int
    raw_len: int
    codec: str
    lengths: tuple[int, ...]
    """Of its chunks or recipes, in order; they add up to raw_len."""
    base: Digest | None = None
    first: int = 0
    """As in Block: true even where blocks before it are lost."""


class Dependants(NamedTuple):
    """What is coded against a stored chunk, at however many removes."""

    height: int
    """Links of the longest chain that stands upon it."""
    digests: frozenset[Digest]
    """Of all the chunks in such chains."""


class Region(NamedTuple):
    """What segmentation says of a stretch of a file. Regions ascend, touch, and cover the file exactly."""

    span: Span
    kind: str
    """"generic", "text", "tensor", "media" (already compressed) or "page" (stored unwrapped)."""
    element: str = ""
    """Of a tensor: "bf16", "f16", "f32", "f64", "f8e4m3", "f8e5m2", "i8", "u8", "i16", "u16", "i32", "u32", "i64",
    "u64"; "" where it is not known."""
    name: str = ""
    """Of a tensor: its name or storage key, by which references are paired; "" for none, at most 512 characters."""
    wrap: str = ""
    """Of a page: the wrapper that reproduces the span's bytes from the plain form, e.g. "snappy-page:1"."""
    boundary: bool = True
    """No chunk may span the region's start."""


class RandomSource(Protocol):
    """A file that can be read anywhere, held open by the caller."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Return *length* bytes from *offset* on, fewer only at the end of the file. Raises what it likes."""
