"""Which files are steps of one series, by their paths alone: checkpoints of a run, saved again and again.

Used where references for deltas are chosen: the newest of a series stays whole, older ones lean on newer. Pure; looks
at no file. A wrong guess costs a few bytes, never correctness: what a delta may lean on is decided by its bytes.
"""

import re

# Words before a number that make it a step, the strongest first: an epoch counts only where no step is named.
_STEP_WORDS = (rb"(?:global[_-]?step|steps?|iter(?:ation)?s?|it|batch|tokens?)", rb"(?:checkpoint|ckpt|chkpt|snapshot)",
               rb"(?:epochs?|ep|e)")  # fmt: skip
_STEPS = tuple(re.compile(rb"(?<![A-Za-z])" + words + rb"[=_\-.]?(\d{1,15})(?![0-9])", re.IGNORECASE)
               for words in _STEP_WORDS)  # fmt: skip
# "model_00480.safetensors", "480.pt": a number that ends the stem; not a shard ("-00001-of-00004"), not "fp16" or "v2".
_ENDING = re.compile(rb"(?:^|[_\-.=])(\d{1,15})(?=\.[A-Za-z]|$)")
_SHARD = re.compile(rb"[-_.]?(\d+)[-_]of[-_]\d+", re.IGNORECASE)
_RANK = re.compile(rb"(?:(?<![A-Za-z])(?:rank|shard|part|mp|pp|tp|dp|zero)[_\-]?)+\d+(?:[_\-]\d+)*", re.IGNORECASE)
_WHOLE = re.compile(rb"(?<![A-Za-z])(?:best|final|last|latest)(?![A-Za-z])", re.IGNORECASE)
# A run's folder may be two levels up: run/global_step480/zero/part.pt. Further up, a number names something else.
_LEVELS = 3


def step_of(path: bytes) -> int | None:
    """Return the step that *path* names, in the file's name or in a folder up to two levels above it; None for none.

    "ckpt_00480.pt", "checkpoint-480/model.safetensors", "global_step480/zero/rank0.pt" and "epoch=3-step=480.ckpt"
    are all step 480. Shard and rank numbers are no steps.
    """
    place = _place(path)
    return None if place is None else int(path[place[0] : place[1]])


def series_key(path: bytes) -> bytes:
    """Return *path* with every number that names a step or an epoch replaced by "#": equal for the steps of a series
    (and for the same shard only). A path without a step is its own key.
    """
    folders, parts = _split(path)
    if _place(path) is None:
        return path
    return b"/".join([*folders, *(_numberless(part) for part in parts)])


def is_kept_whole(path: bytes) -> bool:
    """Tell whether *path* has best, final, last or latest as a word in its name or folder: what is read most."""
    return any(_WHOLE.search(part) for part in path.split(b"/")[-2:])


def _split(path: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return (the folders above, the last _LEVELS parts) of *path*."""
    parts = path.split(b"/")
    return parts[:-_LEVELS], parts[-_LEVELS:]


def _masked(part: bytes) -> bytes:
    """Return *part*, as long, with shard and rank numbers blotted out."""
    for pattern in (_SHARD, _RANK):
        part = pattern.sub(lambda match: b"/" * len(match[0]), part)
    return part


def _place(path: bytes) -> tuple[int, int] | None:
    """Return where the step's digits stand: the strongest word in the nearest part; a bare number in the name last."""
    folders, parts = _split(path)
    start = sum(len(folder) + 1 for folder in folders)
    masked = b"/".join(_masked(part) for part in parts)
    for pattern in _STEPS:
        matches = list(pattern.finditer(masked))
        if matches:
            return start + matches[-1].start(1), start + matches[-1].end(1)
    name_from = masked.rfind(b"/", 0, len(b"/".join(parts[:-1])) + 1) + 1 if len(parts) > 1 else 0
    match = _ENDING.search(masked, name_from)
    return None if match is None else (start + match.start(1), start + match.end(1))


def _numberless(part: bytes) -> bytes:
    masked = bytearray(_masked(part))
    spans = [match.span(1) for pattern in (*_STEPS, _ENDING) for match in pattern.finditer(bytes(masked))]
    result = bytearray(part)
    for start, end in sorted(set(spans), reverse=True):
        result[start:end] = b"#"
    return bytes(result)
