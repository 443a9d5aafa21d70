"""Which files belong together: what is moved as a whole or not at all, and what within it may be colder.

A unit is a checkpoint in its own folder (checkpoint-500/**), the shards of one file (model-00001-of-00004.bin,
..._rank_3.pt), or one version of a dataset (v2/** where its files are data). Names only: nothing is opened.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from policies.kinds import Kind, checkpoint_group, kind_of, step_of_folder
from policies.values import raw, text

OPTIMIZER, WEIGHTS = "optimizer", "weights"
PARTS = (OPTIMIZER, WEIGHTS)
"""Of a checkpoint: what only a resumed training needs, and what everybody who uses the model does."""

_VERSION = re.compile(r"v\d+([._]\d+)*|(version|rev|revision|snapshot|release)[-_]?\d+([._]\d+)*", re.IGNORECASE)
_OPTIMIZER = re.compile(
    r".*(optim|exp_avg|zero_pp_rank|rng_state|scheduler|grad_?scaler|momentum).*|.*\.(pdopt|optim|opt)", re.IGNORECASE
)
_FINAL = re.compile(r"(.*[-_.])?(final|last)([-_.].*)?", re.IGNORECASE)
_STEP = re.compile(
    r"(?:^|[^a-z])(?:global_?step|step|iter(?:ation)?|checkpoint|ckpt|epoch)[-_=]?(\d{1,18})", re.IGNORECASE
)


def unit_of(dir: bytes, name: bytes) -> bytes:
    """Return the key of the unit a file belongs to, below its root; of a file on its own its path."""
    for folder, is_step in _tops(dir):
        if is_step or kind_of(text(name)) is Kind.DATASET:
            return folder
    return dir + raw(checkpoint_group(text(name)))


def top_of(dir: bytes) -> bytes:
    """Return the topmost folder whose files may form a unit together; *dir* itself where none above does."""
    return next((folder for folder, _ in _tops(dir)), dir)


def part_of(dir: bytes, name: bytes) -> str:
    """Return OPTIMIZER, WEIGHTS, or "" for a file that is no part of a checkpoint."""
    if kind_of(text(name)) is not Kind.CHECKPOINT and not any(step_of_folder(part) for _, part in _folders(dir)):
        return ""
    if _OPTIMIZER.fullmatch(text(name)) or any(_OPTIMIZER.fullmatch(part) for _, part in _folders(dir)[-1:]):
        return OPTIMIZER
    return WEIGHTS if kind_of(text(name)) is Kind.CHECKPOINT else ""


def step_of(dir: bytes, name: bytes) -> int | None:
    """Return the step a file was saved at: its folder's (the topmost that is one), else its name's, else None.

    Of several numbers in a name the last one marked as a step counts: epoch=3-step=4000.ckpt is step 4000.
    """
    for _, part in _folders(dir):
        found = step_of_folder(part)
        if found is not None:
            return found[1]
    marked = _STEP.findall(checkpoint_group(text(name)))
    return int(marked[-1]) if marked else None


def is_final(dir: bytes, name: bytes) -> bool:
    """Return whether the name, or the folder it is in, calls it the final or last one: model_final.pt, last.ckpt."""
    stem = text(name).rpartition(".")[0] or text(name)
    return bool(_FINAL.fullmatch(stem)) or any(_FINAL.fullmatch(part) for _, part in _folders(dir)[-1:])


@lru_cache(maxsize=1024)
def _tops(dir: bytes) -> Sequence[tuple[bytes, bool]]:
    """Return the folders on the way down that may hold one unit, and whether each is a step; else it is a version."""
    steps = ((folder, step_of_folder(part) is not None, part) for folder, part in _folders(dir))
    return [(folder, is_step) for folder, is_step, part in steps if is_step or _VERSION.fullmatch(part)]


@lru_cache(maxsize=1024)  # a walk asks for one folder's files one after another
def _folders(dir: bytes) -> Sequence[tuple[bytes, str]]:
    """Return ("a/b/", "b") of every folder on the way down to *dir*."""
    parts = dir.split(b"/")[:-1]
    return [(b"/".join(parts[: i + 1]) + b"/", text(part)) for i, part in enumerate(parts)]
