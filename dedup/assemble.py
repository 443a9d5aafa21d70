"""From stored payloads back to bytes, every one of them proven.

Used by whatever fetches chunks (recall, restore, scrub). Never hands out a byte that its digest does not confirm (P7).
"""

from dedup.codecs import decode
from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer
from dedup.fingerprint import digest as digest_of
from dedup.values import Digest


def open_chunk(codec: str, payload: Buffer, raw_len: int, digest: Digest) -> bytes:
    """Return the raw bytes of a stored chunk, decoded and confirmed by *digest*.

    Raises CorruptChunk or UnknownName; then nothing of the payload may be used.
    """
    raw = decode(codec, payload, raw_len)
    found = digest_of(raw)
    if found != digest:
        raise CorruptChunk(f"chunk hashes to {found.hex()[:16]}..., expected {digest.hex()[:16]}...")
    return raw
