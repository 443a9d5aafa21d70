"""Migrate among writers: what is stored is one state of a file, never a mix, and writers are let in."""

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.jobs.lab import Lab
from tests.jobs.outbound import books_balance, items, rows, stored_bytes
from tiering.catalog.values import FileState
from tiering.jobs.migrate import migrate
from tiering.jobs.scan import scan_root

FILES, SIZE, ROUNDS, WRITES = 24, 400_000, 5, 6


class Writers:
    """Two threads that overwrite and replace files, each version one repeated byte, as many times as they are told."""

    def __init__(self, places: list[Path]) -> None:
        self.locks = {place: threading.Lock() for place in places}
        self.turns = threading.Semaphore(0)
        self.is_over = False
        self.threads = [threading.Thread(target=self._run, args=(seed,)) for seed in (0, 1)]

    def let_write(self, times: int) -> None:
        for _ in range(times):
            self.turns.release()

    def _run(self, seed: int) -> None:
        rng, version = random.Random(seed), seed
        while True:
            self.turns.acquire()
            if self.is_over:
                return
            version = (version + 2) % 256
            self._write(rng.choice(list(self.locks)), bytes([version]), replaces=rng.random() < 0.3)

    def _write(self, place: Path, version: bytes, *, replaces: bool) -> None:
        with self.locks[place]:
            if replaces:
                fresh = place.parent.parent / f"{place.name}.new"
                fresh.write_bytes(version * SIZE)
                fresh.rename(place)
                return
            with open(place, "r+b", buffering=0) as file:
                for _ in range(4):
                    file.write(version * (SIZE // 4))


@contextmanager
def writers(places: list[Path]) -> Iterator[Writers]:
    at_work = Writers(places)
    for thread in at_work.threads:
        thread.start()
    try:
        yield at_work
    finally:
        at_work.is_over = True
        at_work.let_write(2)
        for thread in at_work.threads:
            thread.join()


def test_p7_what_is_stored_while_writers_are_at_work_is_never_a_mix(lab: Lab) -> None:
    places = [lab.write(f"{number}", bytes([number]) * SIZE) for number in range(FILES)]
    root = lab.context.roots[0]
    checked = 0
    with writers(places) as at_work:
        context = lab.with_steps(lambda name: at_work.let_write(WRITES) if name == "migrate.claimed" else None)
        for _ in range(ROUNDS):
            scan_root(lab.context, root)
            migrate(context, items(lab))
            lab.clock.advance(1)
            for path, row in rows(lab).items():
                if row.state == FileState.DUAL:
                    assert len(set(stored_bytes(lab, path))) == 1
                    checked += 1
    scan_root(lab.context, root)

    migrate(lab.context, items(lab))

    assert checked > ROUNDS
    for place in places:
        assert stored_bytes(lab, os.fsencode(place.name)) == place.read_bytes()
    books_balance(lab)
