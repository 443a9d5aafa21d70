"""Codecs and wrappers as docs/codecs.md and docs/pages.md describe them; restore.py builds on it."""

import zstandard


class Damaged(Exception):
    """Bytes are not what the format or a digest says."""


def decode(codec: str, payload: bytes, raw_len: int, base: bytes = b"") -> bytes:
    """Return the raw bytes of a coded payload; *base* are the raw bytes of the block's base."""
    if codec == "raw":
        raw = payload
    elif codec.startswith("zstd:"):
        raw = unzstd(payload, raw_len)
    else:
        raise Damaged(f"codec {codec!r} is not known: use a newer restore.py")
    if len(raw) != raw_len:
        raise Damaged(f"a block has {len(raw)} bytes instead of {raw_len}")
    return raw


def unzstd(payload: bytes, raw_len: int) -> bytes:
    """Return what a zstd frame holds: *raw_len* bytes."""
    try:
        if zstandard.frame_content_size(payload) != raw_len or raw_len > (len(payload) // 4 + 1) << 17:
            raise Damaged("a zstd frame is not of the length it should be")
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=raw_len)
    except zstandard.ZstdError as error:
        raise Damaged(f"a zstd frame does not decode: {error}") from error


def rewrap(wrapper: str, plain: bytes, length: int) -> bytes:
    """Return the *length* bytes that a wrapper makes of *plain*."""
    raise Damaged(f"wrapper {wrapper!r} is not known: use a newer restore.py ({len(plain)} bytes, {length} wanted)")
