"""Tensors for the tests of codecs: small, repeatable, shaped like weights, and what happens to weights."""

import numpy as np

from dedup.fingerprint import Buffer


def weights(words: int, element: str, seed: int = 1) -> bytes:
    """Return *words* normal numbers of standard deviation .02 as *element*."""
    wide = (np.random.default_rng(seed).standard_normal(words) * 0.02).astype("<f4")
    return {
        "bf16": lambda: (wide.view("<u4") >> np.uint32(16)).astype("<u2"),
        "f16": lambda: wide.astype("<f2"),
        "f32": lambda: wide,
        "f64": lambda: wide.astype("<f8") * np.pi,
    }[element]().tobytes()


def trained(data: bytes, element: str, seed: int = 2) -> bytes:
    """Return *data* after a small step: each word moved by a few units of its last place."""
    width = {"bf16": 2, "f16": 2, "f32": 4, "f64": 8}[element]
    words = np.frombuffer(data, dtype=f"<u{width}")
    step = np.random.default_rng(seed).integers(-3, 4, len(words)).astype(f"<i{width}").view(words.dtype)
    return (words + step).tobytes()


def widened(data: Buffer, element: str) -> bytes:
    """Return bf16 or f16 *data* as the f32 numbers of the same value."""
    if element == "f16":
        return np.frombuffer(data, dtype="<f2").astype("<f4").tobytes()
    return (np.frombuffer(data, dtype="<u2").astype("<u4") << np.uint32(16)).tobytes()
