"""zstd frames: made with or without its match finder, and opened within bounds.

Used by the codecs of this package; the only place that imports zstandard. A frame has its content size and neither
checksum nor dictionary: what stands around it says what it must hold.
"""

import threading

import zstandard

from dedup.errors import CorruptChunk
from dedup.fingerprint import Buffer

HUFFMAN = 0
"""The level that stands for Huffman coding alone."""
FINE = -2
"""The level that stands for Huffman coding alone, a table for every 16 or 32 KiB: for data that changes on its way."""
LEVELS = range(1, 23)

# Ordinary levels below 9 see 2 MiB back at most: repeats across a 4 MiB block escape them (tables .230 instead of .133
# at level 3). A longer window costs no time.
_LONG = 2 << 20
_WIDE_WINDOW_LOG = 22

# zstd ends its blocks, each with a table of its own, where the window does. Sorted differences of 100 KiB: .515 with
# blocks of 128 KiB, .452 with 32 KiB, .432 with 16 KiB; of 1 MiB: .202, .198, .199.
_SHORT = 512 << 10

# A zstd block is at least 4 bytes (3 of header, 1 repeated) and at most 128 KiB of output, so a frame that claims more
# lies; refusing it bounds what a forged length can make us allocate.
_BLOCK_MAX = 128 << 10
_BLOCK_MIN = 4


class _Contexts(threading.local):
    """zstd contexts, per thread: they are costly to make and not thread-safe."""

    def __init__(self) -> None:
        self.compressors: dict[tuple[int, bool], zstandard.ZstdCompressor] = {}
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compress(data: Buffer, level: int) -> bytes:
    """Return one frame that holds *data*; *level* is one of LEVELS, or HUFFMAN."""
    key = (level, len(data) > (_SHORT if level == FINE else _LONG))
    compressor = _contexts.compressors.get(key)
    if compressor is None:
        compressor = _contexts.compressors[key] = _compressor(*key)
    return compressor.compress(data)


def expand(frame: Buffer, raw_len: int) -> bytes:
    """Return the *raw_len* bytes in *frame*.

    Raises CorruptChunk where the frame claims or holds another length, is followed by anything, or is damaged; a claim
    that its size cannot hold is refused before anything is allocated.
    """
    most = (len(frame) // _BLOCK_MIN + 1) * _BLOCK_MAX
    try:
        claimed = zstandard.frame_content_size(frame)
        if claimed != raw_len or raw_len > most:
            raise CorruptChunk(f"zstd frame claims {claimed} bytes, expected {raw_len}")
        raw = _contexts.decompressor.decompress(frame, max_output_size=raw_len, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptChunk(f"zstd frame does not decode: {error}") from error
    if len(raw) != raw_len:
        raise CorruptChunk(f"zstd frame holds {len(raw)} bytes, expected {raw_len}")
    return raw


def _compressor(level: int, is_long: bool) -> zstandard.ZstdCompressor:
    if level > HUFFMAN and is_long:
        ordinary = zstandard.ZstdCompressionParameters.from_level(level, source_size=2 * _LONG)
        wide = zstandard.ZstdCompressionParameters.from_level(
            level,
            source_size=2 * _LONG,
            window_log=max(_WIDE_WINDOW_LOG, ordinary.window_log),
            write_content_size=True,
            write_checksum=False,
        )
        return zstandard.ZstdCompressor(compression_params=wide)
    if level > HUFFMAN:
        # Level 1 as zstd has it: of sixty ways around it (tables of 2**12 to 2**16, matches from 5 to 7, four paces)
        # none gains on libraries and on sources; tables of 2**13 take up to 7 % less time, 2 % more bytes of real text.
        return zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=False)
    # Strategy FAST with the smallest hash table and target_length 0 finds next to no matches and leaves all to the
    # Huffman coder, which ordinary levels spoil on exponent planes (.405 at level 3, .326 so). zstd's own negative
    # levels will not do: they switch Huffman coding of literals off. Of ninety settings around it (tables to 2**17,
    # matches from 4, windows of 2**15 to 2**18, the next two strategies) none is clearly faster or smaller.
    parameters = zstandard.ZstdCompressionParameters(
        window_log=18 if level == HUFFMAN else 15 if is_long else 14,
        hash_log=6,
        chain_log=6,
        search_log=1,
        min_match=7,
        target_length=0,
        strategy=zstandard.STRATEGY_FAST,
        write_content_size=True,
        write_checksum=False,
    )
    return zstandard.ZstdCompressor(compression_params=parameters)
