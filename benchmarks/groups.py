"""The groups of the corpus that reduction.py measures, and how a tree is made of one.

The corpus is what make_corpus.py writes: train/ (a training run), real/ (packaged models), data/ (tables and images).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are stored together, on a store of their own."""

    name: str
    what: str
    patterns: tuple[str, ...]
    """Below the corpus; a folder stands for all that is in it."""
    beside: tuple[str, ...] = ()
    """Stored before, and not counted: only what these files add to them is."""
    last: int = 0
    """Of each pattern, so many of the last names only; 0 = all."""
    dtype: str = ""
    """What zipnn is told: "bfloat16" or "float32"; nothing where it is no model."""
    at_most: float = 0.0
    """The ratio that is asked for; 0 = none is."""

    def files(self, corpus: Path) -> list[Path]:
        """Return the files that are counted."""
        return _found(corpus, self.patterns, self.last)

    def before(self, corpus: Path) -> list[Path]:
        """Return the files that are stored before them."""
        return _found(corpus, self.beside, self.last)


FAMILY = ("train/ft",)
GROUPS = (
    Group("bf16 model alone", "bf16", ("train/ft/base.safetensors",), dtype="bfloat16", at_most=0.668),
    Group("bf16 fine-tune family", "base, 3 full, 2 LoRA", FAMILY, dtype="bfloat16", at_most=0.24),
    Group(
        "LoRA beside its base",
        "2 merged, added",
        ("train/ft/lora_*",),
        ("train/ft/base.safetensors",),
        dtype="bfloat16",
        at_most=0.04,
    ),
    Group("bf16 checkpoints", "12 of one run", ("train/model_*",), dtype="bfloat16", at_most=0.48),
    Group("fp32 + AdamW checkpoints", "last 5, .pt", ("train/ckpt_*",), last=5, dtype="float32", at_most=0.78),
    Group(
        "bf16 exports beside fp32",
        "5, added",
        ("train/model_*",),
        ("train/ckpt_*",),
        last=5,
        dtype="bfloat16",
        at_most=0.01,
    ),
    Group("packaged models", "versions, from PyPI", ("real",), dtype="float32", at_most=0.515),
    Group("parquet, snappy", "2 tables, 5 versions", ("data/parquet",), at_most=0.255),
    Group("parquet, CDC writer", "2 tables, 5 versions, twice", ("data/parquet_cdc",)),
    Group("jsonl versions", "3, one shuffled", ("data/jsonl_versions",), at_most=0.085),
    Group("jsonl", "text, once", ("data/jsonl",)),
    Group("csv", "2 tables", ("data/csv",)),
    Group("image tars", "and re-sharded", ("data/shards",), at_most=0.62),
    Group("four users' copies", "of one dataset", ("data/users",), at_most=0.108),
    Group("arrays", "npy, npz, tokens", ("data/npy",)),
    Group("small json", "about 1,400 files", ("data/smalljson",), at_most=0.27),
    Group("everything", "one store", ("train", "real", "data")),
)


def lay(corpus: Path, files: list[Path], tree: Path) -> int:
    """Copy *files* below *tree*, under their names in the corpus; return their bytes."""
    size = 0
    for file in files:
        to = tree / file.relative_to(corpus)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, to)
        size += file.stat().st_size
    return size


def _found(corpus: Path, patterns: tuple[str, ...], last: int) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        names = sorted(corpus.glob(pattern))[-last:]
        for path in names:
            found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return found
