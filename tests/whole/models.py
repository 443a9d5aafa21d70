"""Model files, tables and lines for whole-program tests: small, repeatable, and alike in the ways that coding uses."""

import json
import random
from functools import cache

import numpy as np
import numpy.typing as npt

from tests.dedup.parquets import Column, page, parquet, snappy

WORDS = 600_000
"""Elements of the large tensor: above a megabyte in bf16, so that the file is read as a long one."""

Floats = npt.NDArray[np.float32]


@cache
def weights(run: int, moves: int, words: int = WORDS) -> Floats:
    """Return a run's weights after so many small moves."""
    if moves == 0:
        return np.random.default_rng(run).normal(0, 0.02, words).astype(np.float32)
    drift = np.random.default_rng(1000 * run + moves).normal(0, 1e-4, words).astype(np.float32)
    return weights(run, moves - 1, words) + drift


def bf16(values: Floats) -> bytes:
    """Rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()


def safetensors(**tensors: tuple[str, bytes]) -> bytes:
    """Return a file of (dtype, bytes), in order."""
    header, at = {}, 0
    for name, (dtype, data) in tensors.items():
        width = {"F32": 4, "BF16": 2}[dtype]
        header[name] = {"dtype": dtype, "shape": [len(data) // width], "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + b"".join(data for _, data in tensors.values())


@cache
def checkpoint(run: int, moves: int) -> bytes:
    """Return a bf16 checkpoint; the second tensor is too small to be coded against anything."""
    values = weights(run, moves)
    return safetensors(body=("BF16", bf16(values)), norm=("BF16", bf16(values[:100])))


@cache
def master(run: int, moves: int) -> bytes:
    """Return the 32-bit weights that checkpoint() is the cast of."""
    return safetensors(body=("F32", weights(run, moves).tobytes()))


@cache
def reshaped(run: int, moves: int) -> bytes:
    """Return a model with checkpoint()'s names and other shapes: a layer was added."""
    return safetensors(
        body=("BF16", bf16(weights(run, moves, WORDS + 4096))), norm=("BF16", bf16(weights(run, 0)[:50]))
    )


@cache
def table(edits: int) -> bytes:
    """Return a Parquet file of two snappy columns, some rows of it edited."""
    chance, columns = random.Random(6), []
    for column in range(2):
        lines = [b"%d,%s\n" % (i * 7, chance.randbytes(20).hex().encode()) for i in range(column, 9000)]
        for at in random.Random(edits).sample(range(len(lines)), edits):
            lines[at] = b"0,edited\n"
        whole = b"".join(lines)
        plains = [whole[i : i + 150_000] for i in range(0, len(whole), 150_000)]
        columns.append(Column(b"".join(page(len(plain), snappy(plain)) for plain in plains)))
    return parquet(columns)


@cache
def lines(edits: int) -> bytes:
    """Return a .jsonl file, some records of it edited."""
    chance = random.Random(7)
    records = [json.dumps({"id": i, "text": chance.randbytes(40).hex()}).encode() + b"\n" for i in range(2000)]
    for at in random.Random(edits).sample(range(len(records)), edits):
        records[at] = b'{"id": 0, "text": "edited"}\n'
    return b"".join(records)
