"""Which steps of a run were the best, by what the training itself wrote beside its checkpoints.

Reads trainer_state.json (Hugging Face Trainer), metrics.json and metrics.jsonl in a run's folder or in its step
folders; bounded in size, never through links. A file that cannot be understood says nothing.
"""

import json
import math
import os
from collections.abc import Iterator
from typing import Any

from policies.units import step_of

MAX_BYTES = 16 << 20
"""A trainer_state.json of a long run has a few MiB."""
NAMES = ("trainer_state.json", "metrics.json", "metrics.jsonl")
_STEP_KEYS = ("step", "global_step", "iteration", "epoch")


def best_ranks(folder: bytes, steps: list[int], *, metric: str, higher_is_better: bool) -> dict[int, int]:
    """Return step -> place, 0 the best, of those *steps* of the run in *folder* (absolute) that are known.

    *metric* "" goes by the run's own best_model_checkpoint, which names one step. Ties go to the later step.
    """
    found: dict[int, float] = {}
    for document in _documents(folder, steps):
        if not metric:
            best = document.get("best_model_checkpoint")
            step = step_of(os.fsencode(os.path.join(str(best), "")), b"") if best else None
            if step is not None:
                found = {step: 0.0}
            continue
        for entry in (document, *(item for item in document.get("log_history") or () if isinstance(item, dict))):
            step, value = _step(entry), entry.get(metric)
            if step is not None and isinstance(value, int | float) and math.isfinite(value):
                found[step] = float(value)
    known = [step for step in steps if step in found]
    known.sort(key=lambda step: (-found[step] if higher_is_better else found[step], -step))
    return {step: place for place, step in enumerate(known)}


def _documents(folder: bytes, steps: list[int]) -> Iterator[dict[str, Any]]:
    """Yield what the run's files say: first the run's own, then those of its step folders, the latest last."""
    wanted = set(steps)
    try:
        below = sorted(
            (step, name)
            for name in os.listdir(folder)
            if (step := step_of(name + b"/", b"")) is not None and step in wanted
        )
    except OSError:
        return
    for place in (folder, *(os.path.join(folder, name) for _, name in below)):
        for name in NAMES:
            yield from _read(os.path.join(place, name.encode()))


def _read(path: bytes) -> Iterator[dict[str, Any]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    with open(fd, "rb") as source:
        text = source.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        return
    parts = text.splitlines() if path.endswith(b".jsonl") else [text]
    for part in parts:
        try:
            parsed = json.loads(part)
        except (ValueError, RecursionError):
            continue
        for item in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(item, dict):
                yield item


def _step(entry: dict[str, Any]) -> int | None:
    for key in _STEP_KEYS:
        value = entry.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return int(value)
    return None
