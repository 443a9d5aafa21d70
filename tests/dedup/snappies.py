"""Plain bytes for the snappy tests: sizes around every limit of the format, contents from noise to one byte."""

import random

SIZES = (0, 1, 4, 14, 15, 16, 17, 59, 60, 61, 62, 255, 256, 257, 300, 513, 2049, 5000, 20_000, 40_000, 65_536, 65_551)


def contents(size: int, seed: int = 1) -> list[bytes]:
    """Return data of *size* bytes of five kinds; the same at every call."""
    chance = random.Random(seed * 1_000_003 + size)
    words = [chance.randbytes(chance.randrange(3, 12)) for _ in range(300)]
    rows = b"".join(b"%d,%s;" % (chance.randrange(3000), chance.choice(words)) for _ in range(size // 6 + 1))
    numbers = b"".join(chance.randrange(5000).to_bytes(8, "little") for _ in range(size // 8 + 1))
    mixed = b"".join(
        chance.randbytes(chance.randrange(1, 90)) + words[0] * chance.randrange(20) for _ in range(size // 40 + 1)
    )
    return [chance.randbytes(size), rows[:size], numbers[:size], mixed[:size], bytes(size)]


def text(size: int) -> bytes:
    """Return *size* bytes of made-up text: what the golden files were made of."""
    state, words = 7, []
    for _ in range(size // 3 + 1):
        state = state * 1_103_515_245 + 12_345 & 0x7FFFFFFF
        rank = (state >> 16) % 200 * ((state >> 8) % 200) // 60
        words.append("frostline pages"[rank % 9 :][: 2 + rank % 7] + str(rank))
    return " ".join(words).encode()[:size]


def patchy(size: int) -> bytes:
    """Return *size* bytes of noise with text between: long stretches without a match, where scans speed up."""
    state, out = 11, bytearray()
    while len(out) < size:
        for _ in range(180):
            state = state * 1_103_515_245 + 12_345 & 0x7FFFFFFF
            out.append(state >> 16 & 255)
        out += text(state >> 12 & 63)
    return bytes(out[:size])


def golden_samples() -> list[bytes]:
    """Return what each golden file holds, encoded, in its order."""
    return [text(200), patchy(3000), text(20_000), text(300) * 230]
