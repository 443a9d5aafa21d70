"""tools/restore.py on what migrate really wrote: packs, recipes and segments of a small installation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.jobs.lab import open_lab
from tests.jobs.outbound import items, learn
from tests.structure.sources import PROJECT
from tests.tools.script import SCRIPT
from tests.tools.test_restore import noise
from tiering.jobs.migrate import migrate

GOLDEN = PROJECT / "tests" / "dedup" / "golden" / "parquet"


def test_p11_the_script_restores_what_migrate_stored(tmp_path: Path) -> None:
    base = tmp_path / "lab"
    tiers = {"standard": {"store": f"file://{base}/standard"}, "archive": {"store": f"file://{base}/archive"}}
    with open_lab(base, tiers=tiers) as lab:
        for path, data in ((b"a/one", noise(1, 300_000)), (b"a/two", noise(1, 300_000)), (b"odd\xff", b"odd")):
            lab.write(path, data)
        sparse = lab.write("sparse", b"begin")
        os.truncate(sparse, 1 << 20)
        os.link(lab.root / "a" / "one", lab.root / "linked")
        os.utime(lab.root / "a" / "two", ns=(5, 1_234_567_890))
        learn(lab)
        migrate(lab.context, items(lab, "standard", [b"a/one", b"linked", b"odd\xff"]))
        migrate(lab.context, items(lab, "archive"))
        out = tmp_path / "out"
        command = [
            sys.executable,
            "-E",
            "-s",
            str(SCRIPT),
            str(base / "standard"),
            str(out),
            "--also",
            str(base / "archive"),
        ]

        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "4 files restored, 0 not" in done.stdout
        for name in ("a/one", "a/two", "linked", os.fsdecode(b"odd\xff"), "sparse"):
            there, here = out / "root" / name, lab.root / name
            assert there.read_bytes() == here.read_bytes()
            before, after = here.stat(), there.stat()
            assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
        assert (out / "root" / "linked").samefile(out / "root" / "a" / "one")


def test_p11_the_script_restores_models_and_tables(tmp_path: Path) -> None:
    """Tensors as planes, as differences to another file's, rounded from another one; pages; text; all by migrate."""
    base = tmp_path / "lab"
    weights = np.random.default_rng(1).standard_normal(300_000).astype("<f4")
    later = weights + np.float32(1e-4) * np.random.default_rng(2).standard_normal(300_000).astype("<f4")
    with open_lab(base, tiers={"standard": {"store": f"file://{base}/standard"}}) as lab:
        lab.write(b"run/step-100/model.safetensors", safetensors("F32", weights.tobytes()))
        lab.write(b"run/step-200/model.safetensors", safetensors("F32", later.tobytes()))
        lab.write(b"run/export/model.safetensors", safetensors("BF16", rounded(later)))
        lab.write(b"table.parquet", (GOLDEN / "pyarrow-26.parquet").read_bytes())
        lab.write(b"log.jsonl", b"".join(b'{"step": %d, "loss": %d}\n' % (i, i * i) for i in range(20_000)))
        learn(lab)
        assert migrate(lab.context, items(lab, "standard")).files_skipped == ()
        out = tmp_path / "out"
        command = [sys.executable, "-E", "-s", str(SCRIPT), str(base / "standard"), str(out)]

        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stderr
        assert "5 files restored, 0 not" in done.stdout
        for path in lab.root.rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                assert (out / "root" / path.relative_to(lab.root)).read_bytes() == path.read_bytes()


def safetensors(element: str, data: bytes) -> bytes:
    """Return a model of one tensor."""
    width = {"F32": 4, "BF16": 2}[element]
    described = {"layer.weight": {"dtype": element, "shape": [len(data) // width], "data_offsets": [0, len(data)]}}
    header = json.dumps(described).encode()
    return len(header).to_bytes(8, "little") + header + data


def rounded(values: NDArray[np.float32]) -> bytes:
    """Return *values* as bf16."""
    bits = values.view("<u4").astype("<u8")
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("<u2").tobytes()
