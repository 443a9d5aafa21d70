"""Tells what kind of file a name stands for, and which names belong to one checkpoint.

Names and suffixes only: nothing is opened. Used by rules and by reports.
"""

import re
from enum import StrEnum


class Kind(StrEnum):
    """What a file is for, as far as its name tells."""

    CHECKPOINT = "checkpoint"
    DATASET = "dataset"
    ARCHIVE = "archive"
    CODE = "code"
    LOG = "log"
    OTHER = "other"


_SUFFIXES = {
    Kind.CHECKPOINT: """
        pt pth ckpt safetensors gguf ggml pdparams pdopt h5 hdf5 keras onnx pb msgpack distcp nemo tflite mlmodel""",
    Kind.DATASET: """
        parquet arrow feather orc avro tfrecord tfrecords recordio rec npy npz zarr csv tsv jsonl ndjson mds lmdb mdb
        jpg jpeg png webp tif tiff bmp gif wav flac mp3 ogg mp4 mkv avi webm las laz nc grib bam cram fastq vcf""",
    Kind.ARCHIVE: "tar tgz tbz2 txz tzst zip gz bz2 xz zst lz4 7z rar whl deb rpm iso squashfs",
    Kind.CODE: """
        py pyi ipynb c cc cpp cxx h hpp cu cuh rs go java kt js ts tsx sh bash lua r jl scala sql proto toml yaml yml
        ini cfg md rst html css cmake""",
    Kind.LOG: "log out err stdout stderr trace jfr prof",
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

# pytorch_model-00001-of-00004.bin, model.bin.index.json's siblings; .bin alone says nothing
_WEIGHTS = re.compile(r"(pytorch_model|model|adapter_model|optimizer|consolidated|diffusion_pytorch_model)\b.*\.bin")
_TFEVENTS = re.compile(r"events\.out\.tfevents\..*")
_NUMBERED_LOG = re.compile(r".*\.log\.\d+(\.\w+)?")
_SHARD = re.compile(r"[-_.]?\d{1,6}-of-\d{1,6}(?=\.|$)|(?<=[-_.])(rank|mp_rank|shard|part)[-_]?\d+(?=[-_.]|$)")
_STEP_FOLDER = re.compile(
    r"(?P<stem>.*?(?:checkpoint|ckpt|global_?step|step|epoch|iter(?:ation)?)[-_=]?)(?P<step>\d{1,18})", re.IGNORECASE
)


def kind_of(name: str) -> Kind:
    """Return the kind of a file called *name* (no folder). Case does not matter."""
    lowered = name.lower()
    if _WEIGHTS.fullmatch(lowered):
        return Kind.CHECKPOINT
    if _TFEVENTS.fullmatch(lowered) or _NUMBERED_LOG.fullmatch(lowered):
        return Kind.LOG
    return _BY_SUFFIX.get(lowered.rpartition(".")[2], Kind.OTHER) if "." in lowered else Kind.OTHER


def checkpoint_group(name: str) -> str:
    """Return the name with its shard number taken out: the shards of one checkpoint share it."""
    return _SHARD.sub("", name)


def step_of_folder(name: str) -> tuple[str, int] | None:
    """Return (stem, step) of a folder that is one checkpoint of a run, e.g. ("checkpoint-", 500); else None."""
    match = _STEP_FOLDER.fullmatch(name)
    return (match["stem"].lower(), int(match["step"])) if match else None


def step_ranks(names: list[str]) -> dict[str, int]:
    """Return, of sibling folder names, those that are steps of a run, with how many later steps of theirs there are."""
    runs: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        parsed = step_of_folder(name)
        if parsed is not None:
            stem, step = parsed
            runs.setdefault(stem, []).append((step, name))
    return {name: rank for steps in runs.values() for rank, (_, name) in enumerate(sorted(steps, reverse=True))}
