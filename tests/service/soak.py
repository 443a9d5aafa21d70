"""A daemon's days in one process: its duties over a tree that changes, again and again, with a store that is away now
and then. A program: `python -m tests.service.soak FOLDER ROUNDS` prints, after each round, what the process holds.
"""

import gc
import json
import os
import random
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.jobs.lab import Lab, open_lab
from tiering.app.memory import give_back, keep_memory_small
from tiering.catalog import files
from tiering.catalog.totals import totals_of
from tiering.catalog.values import FileState
from tiering.hot.lease import ignore_sigio
from tiering.jobs.items import MigrateItem
from tiering.jobs.recall import recall
from tiering.logs import open_log
from tiering.service import duties

NEW_FILES, CHANGED_FILES, KEPT_FILES, RECALLED_FILES = 40, 8, 300, 20
AWAY_EVERY = 7  # rounds
LONG_AGO_S = 1_600_000_000


class Quiet:
    """A notifier that nobody listens to."""

    def tell(self, event: str, what: str, *, now: str = "", hint: str = "") -> None:
        """See Notifier."""


class Tree:
    """The files of a root, some of every kind; as many come as go once there are KEPT_FILES."""

    def __init__(self, lab: Lab) -> None:
        """Begin with none; the same files every time."""
        self._lab = lab
        self._random = random.Random(5)
        self._noise = self._random.randbytes(3_000_000)
        self._number = 0

    def change(self) -> None:
        """Let a round's files come, change and go."""
        for _ in range(NEW_FILES):
            self._number += 1
            self._put(self._lab.root / f"d{self._number % 13}" / f"f{self._number}", self._content())
        there = sorted(self._lab.root.rglob("f*"))
        for path in self._random.sample(there, max(0, len(there) - KEPT_FILES)):
            path.unlink()
        for path in self._random.sample(there, CHANGED_FILES):
            if path.is_file() and not path.is_symlink():
                self._put(path, self._random.randbytes(2000))

    def _content(self) -> bytes:
        kind, length = self._random.random(), self._random.randrange(50, 5000)
        if kind < 0.6:
            return self._random.randbytes(length)
        if kind < 0.8:
            return b"a line of words, number %d\n" % self._number * length
        return self._noise[: length * 80] if kind < 0.95 else self._noise[length * 10 : length * 500]

    def _put(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))


def bring_some_back(lab: Lab, rng: random.Random) -> None:
    """Recall a few of the released files."""
    with lab.catalog.read() as tx:
        offline = files.page(
            tx, lab.context.roots[0].root_id, limit=10_000, only=files.Only(states=(FileState.OFFLINE,))
        )
    chosen = rng.sample(offline, min(RECALLED_FILES, len(offline)))
    recall(lab.context, [MigrateItem(row.root_id, row.dir, row.name, "standard") for row in chosen], reason="wanted")


def rounds(lab: Lab, store: Path, count: int) -> Iterator[None]:
    """Do one round of all duties at a time, on the threads that the service has for them."""
    log, tree, rng = open_log(level="error", stream=sys.stderr), Tree(lab), random.Random(6)
    heavy, light = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
    away = store.with_name("away")
    for number in range(count):
        lab.clock.advance(3600)
        tree.change()
        is_away = number % AWAY_EVERY == AWAY_EVERY - 1
        if is_away:
            store.rename(away)
        for name in ("scan", "cycle", "tickets", "accrue"):
            pool = heavy if name in duties.WRITES_MUCH else light
            pool.submit(duties.perform, name, lab.context, log, Quiet()).result()
            pool.submit(give_back).result()
        if is_away:
            away.rename(store)
        else:
            heavy.submit(bring_some_back, lab, rng).result()
        heavy.submit(duties.perform, "gc", lab.context, log, Quiet()).result()
        light.submit(duties.upkeep, lab.context, log).result()
        heavy.submit(give_back).result()
        yield


def held(lab: Lab) -> dict[str, int]:
    """Return what the process holds now, and of how many files in which state."""
    with open("/proc/self/status") as status:
        anonymous = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    with lab.catalog.read() as tx:
        totals = totals_of(tx)
    return {
        "anonymous_kib": anonymous,
        "objects": len(gc.get_objects()),
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        **{str(state): total.files for state, total in totals.items()},
    }


def main(folder: str, count: str) -> None:
    """Print one line a round."""
    ignore_sigio()
    keep_memory_small()
    base = Path(folder)
    with open_lab(
        base,
        tiers={"standard": {"store": f"file://{base}/store"}},
        rules=[{"name": "old", "age": "1d", "tier": "standard"}],
        versions={"keep_days": 1, "missing_days": 1},
        scan={"mass_missing_fraction": 1},
    ) as lab:
        for _ in rounds(lab, base / "store", int(count)):
            print(json.dumps(held(lab)), flush=True)  # a program


if __name__ == "__main__":
    main(*sys.argv[1:])
