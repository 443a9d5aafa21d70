"""The tree every benchmark works on: the same for the same seed on the same machine.

    python benchmarks/trees.py ROOT BYTES FILES SEED

Made from files that stand on any machine with Python (sources and shared libraries of the environment), with copies,
edited copies and incompressible floats: what a folder of code, packages and checkpoints looks like to a deduplicator.
"""

import random
import sys
import sysconfig
from pathlib import Path

import numpy as np


def sources(limit_bytes: int) -> list[bytes]:
    """Return the contents of the environment's files, smallest bias: every size, in path order."""
    found: list[bytes] = []
    total = 0
    for top in (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]):
        for path in sorted(Path(top).rglob("*")):
            if path.is_file() and not path.is_symlink() and 200 < path.stat().st_size < 16_000_000:
                data = path.read_bytes()
                found.append(data)
                total += len(data)
                if total > limit_bytes:
                    return found
    return found


def edited(data: bytes, rng: random.Random) -> bytes:
    """Return *data* with a few bytes inserted at one place."""
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(12) + data[at:]


def floats(size_bytes: int, rng: random.Random) -> bytes:
    """Return normally distributed 32-bit floats: the weights of a model, which hardly compress."""
    drawn = np.random.default_rng(rng.randrange(1 << 32)).standard_normal(size_bytes // 4, dtype=np.float32)
    return drawn.tobytes()


def build(root: Path, *, total_bytes: int, files: int, seed: int) -> tuple[int, int]:
    """Fill *root*; returns (files, bytes). Of the bytes a quarter are floats, the rest sources and libraries, half of
    them edited.
    """
    rng = random.Random(seed)
    pool = sources(total_bytes // 4)
    small = [data for data in pool if len(data) < 40_000]
    large = [data for data in pool if len(data) >= 200_000]
    made = written = drawn = 0
    while made < files or written < total_bytes:
        want_small = written > total_bytes * made / max(files, 1) and made < files
        if not want_small and drawn * 4 < written:
            data = floats(rng.choice((200_000, 1_000_000, 3_000_000)), rng)
            drawn += len(data)
        else:
            data = rng.choice(small if want_small else large)
            data = edited(data, rng) if rng.random() < 0.5 else data
        folder = root / f"set-{made // 5000}" / f"{made // 200 % 25:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{made:06d}.bin").write_bytes(data)
        made += 1
        written += len(data)
    return made, written


if __name__ == "__main__":
    count, size = build(Path(sys.argv[1]), total_bytes=int(sys.argv[2]), files=int(sys.argv[3]), seed=int(sys.argv[4]))
    sys.stdout.write(f"{count} {size}\n")
