"""From stored payloads back to bytes, every one of them proven.

Used by whatever fetches chunks (recall, restore, scrub). Never hands out a byte that its digest does not confirm (P7),
but for open_block(), whose callers confirm each chunk they take of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from dedup.codecs import decode
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer
from dedup.fingerprint import digest as digest_of
from dedup.values import MAX_BASE_DEPTH, Digest, WrappedPart
from dedup.wrappers import rewrap


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as it lies in its block."""

    codec: str
    payload: Buffer
    """Of the whole block."""
    raw_len: int
    """Of the whole block, decoded."""
    inner_offset: int
    length: int
    """Of the chunk."""
    base: Digest | None
    """The chunk whose bytes the block's codec needs."""


Find = Callable[[Digest], StoredChunk]
"""Returns where a chunk lies; raises what it likes where it is nowhere."""


def open_block(codec: str, payload: Buffer, raw_len: int, base: Buffer | None = None) -> bytes:
    """Return the *raw_len* bytes of a block, decoded and not yet confirmed: take its chunks with chunk_view().

    *base* are the raw bytes of the block's base, if it has one. Raises CorruptChunk or UnknownName.
    """
    return decode(codec, payload, raw_len, base)


def chunk_view(raw: Buffer, inner_offset: int, length: int, digest: Digest) -> memoryview:
    """Return one chunk of a decoded block, confirmed by *digest*, without copying it. Raises CorruptChunk."""
    view = memoryview(raw)[inner_offset : inner_offset + length]
    if len(view) != length:
        raise CorruptChunk(f"block of {len(raw)} bytes has no chunk of {length} at {inner_offset}")
    found = digest_of(view)
    if found != digest:
        raise CorruptChunk(f"chunk hashes to {found.hex()[:16]}..., expected {digest.hex()[:16]}...")
    return view


def open_chunk(codec: str, payload: Buffer, raw_len: int, digest: Digest, base: Buffer | None = None) -> bytes:
    """Return the bytes of a block that one digest confirms as a whole: a block of one chunk, or one of recipes.

    Raises CorruptChunk or UnknownName; then nothing of the payload may be used.
    """
    raw = open_block(codec, payload, raw_len, base)
    chunk_view(raw, 0, raw_len, digest)
    return raw


def open_by_digest(digest: Digest, find: Find) -> bytes:
    """Return the bytes of a chunk, following the bases it is coded against, every one confirmed.

    *find* is called once for each link, the wanted chunk first. Raises CorruptChunk for a chain that is deeper than
    MAX_BASE_DEPTH or closes on itself, and where a link is not what its digest says; UnknownName; what *find* raises.
    """
    chain: list[tuple[Digest, StoredChunk]] = []
    wanted: Digest | None = digest
    while wanted is not None:
        if any(wanted == name for name, _ in chain):
            raise CorruptChunk(f"chunk {digest.hex()[:16]}... is coded against itself")
        if len(chain) > MAX_BASE_DEPTH:
            raise CorruptChunk(f"chunk {digest.hex()[:16]}... has more than {MAX_BASE_DEPTH} bases below it")
        stored = find(wanted)
        chain.append((wanted, stored))
        wanted = stored.base
    raw: bytes | None = None
    for name, stored in reversed(chain):
        block = open_block(stored.codec, stored.payload, stored.raw_len, raw)
        view = chunk_view(block, stored.inner_offset, stored.length, name)
        raw = block if len(view) == len(block) else bytes(view)
    assert raw is not None  # the chain holds at least the wanted chunk
    return raw


def rewrapped(part: WrappedPart, plain: Buffer) -> bytes:
    """Return the file's bytes of a wrapped part from its plain form, which is the inner chunks' bytes joined.

    Only the file's own digest confirms them. Raises CorruptChunk for another length, UnknownName.
    """
    return rewrap(part.codec, plain, part.length)
