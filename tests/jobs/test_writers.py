"""Writers of every kind against migrate, release and recall in a loop: no byte is ever lost, and nobody waits."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import books_balance, items
from tiering.catalog import journal
from tiering.clock import SystemClock
from tiering.jobs.context import Context
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root

WRITERS = 3
PARK_S = 0.2  # a writer of the test is late by half of it at most


@contextmanager
def _writing(lab: Lab) -> Iterator[list[dict[str, object]]]:
    """Run the writers for the length of the block; afterwards the list has what they report."""
    stop = lab.base / "stop"
    running = []
    for number in range(WRITERS):
        folder = lab.root / f"w{number}"
        folder.mkdir()
        command = [sys.executable, "-m", "tests.jobs.writer", str(folder), str(number), str(stop)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said: list[dict[str, object]] = []
    while not all(any((lab.root / f"w{number}").iterdir()) for number in range(WRITERS)):
        threading.Event().wait(0.01)
    try:
        yield said
    finally:
        stop.touch()
        ended = [process.communicate(timeout=120) for process in running]
    for process, (out, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
        said.append(json.loads(out))


def _round(ctx: Context, lab: Lab, number: int) -> int:
    """One pass of the daemon's work, and a recall of half of what is away; returns how many files were released."""
    scan_root(ctx, ctx.roots[0], confirm_missing=True)
    migrate(ctx, items(lab))
    released = release(ctx, items(lab), wait_parked=True).files_done
    recall(ctx, [item for index, item in enumerate(items(lab)) if (index + number) % 2], reason="stress")
    return released


def _rounds(ctx: Context, lab: Lab, rounds: int) -> int:
    """At least that many rounds, and more where a busy machine lets the writers touch every file in between."""
    released = 0
    for number in range(10 * rounds):
        released += _round(ctx, lab, number)
        if number >= rounds and released > rounds // 2:
            break
    return released


def _stress(base: Path, rounds: int) -> tuple[float, float]:
    """Return the longest time that any writer waited, and the longest that the machine kept one waiting elsewhere."""
    with open_lab(base, release={"park_s": PARK_S, "min_size": 0}) as lab:
        ctx = replace(lab.context, clock=SystemClock())
        with _writing(lab) as said:
            released = _rounds(ctx, lab, rounds)
        scan_root(ctx, ctx.roots[0], confirm_missing=True)
        recall(ctx, items(lab), reason="stress")
        for number, writer in enumerate(said):
            assert writer["wrong"] == []
            _compare(lab.root / f"w{number}", writer)
        assert released > rounds // 2, [writer["counts"] for writer in said]
        with lab.catalog.read() as tx:
            assert journal.every(tx) == []
        books_balance(lab)
        longest, stalled = ([float(str(writer[name])) for writer in said] for name in ("longest_s", "stalled_s"))
        return max(longest), max(stalled)


def _compare(folder: Path, writer: dict[str, object]) -> None:
    believed = writer["believed"]
    assert isinstance(believed, dict)
    # A late writer whose file was replaced or deleted after it wrote: kept beside the path, and not at it.
    names = [name for name in os.listdir(folder) if name != "new" and ".frostline-conflict-" not in name]
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert found == {name: digest for name, digest in believed.items() if digest is not None}, writer["counts"]


def test_p1_writers_lose_nothing(tmp_path: Path) -> None:
    waited_s, _ = _stress(tmp_path / "lab", rounds=12)
    assert waited_s < 30, f"a writer waited {waited_s:.3f} s: the kernel, not we, gave the lease up"


@pytest.mark.heavy
def test_p10_writers_lose_nothing_and_never_wait(tmp_path: Path) -> None:
    waited_s, stalled_s = _stress(tmp_path / "lab", rounds=150)
    # The holder gets no processor either while the machine stalls: that much is not its own doing.
    assert waited_s < 0.2 + stalled_s, f"a writer waited {waited_s:.3f} s, elsewhere at most {stalled_s:.3f} s"
