"""The model of the whole (tests/whole/test_model.py) with what is coded against something else: checkpoints saved,
saved again and rolled back, casts, tables; collected, rewritten, rebuilt from the bucket alone; jobs killed within it.

P3: at the end of each story, the catalog rebuilt from the bucket and tools/restore.py both yield every stored file.
P4: a kill in coding again, gc and repack loses nothing. P6, P7: as in the base class, after every step.
"""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.jobs.outbound import items, rows
from tests.jobs.rebuilding import lose_catalog, rebuilt, restored_by_script
from tests.whole import models
from tests.whole.test_model import Installation, stories
from tiering.catalog.values import FileState
from tiering.jobs.audit import audit
from tiering.jobs.context import Context
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.reconcile import reconcile
from tiering.jobs.repack import repack
from tiering.jobs.segments import flush

STEPS = st.integers(1, 7)
CONTENT: dict[str, Callable[[int], bytes]] = {
    "run/master.pt.safetensors": lambda seed: models.master(1, seed),
    "run/export.safetensors": lambda seed: models.checkpoint(1, seed),
    "tune/model.safetensors": lambda seed: models.checkpoint(1, 4 + seed % 2),
    "data/table.parquet": models.table,
    "data/lines.jsonl": models.lines,
}


def checkpoint_name(number: int) -> bytes:
    """Return the name of a checkpoint of the run."""
    return b"run/model_%05d.safetensors" % number


class Series(Installation):
    """Models among the files; upkeep among the jobs."""

    @rule(number=STEPS, moves=st.integers(0, 6))
    def save(self, number: int, moves: int) -> None:
        """A training run saves a checkpoint, a new one or one again, perhaps with the weights of another one."""
        self.put(checkpoint_name(number), models.checkpoint(1, moves))

    @rule(number=STEPS, moves=st.integers(0, 2))
    def reshape(self, number: int, moves: int) -> None:
        """A checkpoint is replaced by one with the same names and other shapes."""
        self.put(checkpoint_name(number), models.reshaped(1, moves))

    @rule(name=st.sampled_from(sorted(CONTENT)), seed=st.integers(0, 3))
    def save_other(self, name: str, seed: int) -> None:
        """A user writes what belongs to a run, or a table."""
        self.put(name.encode(), CONTENT[name](seed))

    @rule(number=STEPS)
    def drop(self, number: int) -> None:
        """A user deletes a checkpoint, or its placeholder."""
        self.remove(checkpoint_name(number))

    @rule(number=STEPS, to=STEPS)
    def renumber(self, number: int, to: int) -> None:
        """A user renames a checkpoint or its placeholder."""
        self.move(checkpoint_name(number), checkpoint_name(to))

    @rule()
    def store(self) -> None:
        """Migrate everything: what newer checkpoints overtake is coded again."""
        self.send("standard")

    @rule()
    def keep_house(self) -> None:
        """Collect, rewrite, collect."""
        self.scan()
        for _ in range(2):
            collect(self.lab.context)
            self.lab.clock.advance(1)
            repack(self.lab.context)
            self.check_books()
        collect(self.lab.context)
        self.check_books()

    @rule(job=st.sampled_from(["collect", "repack", "migrate"]), number=st.integers(1, 12))
    def die_in_upkeep(self, job: str, number: int) -> None:
        """Upkeep dies before its n-th durable step."""
        self.scan()
        jobs: dict[str, Callable[[Context], object]] = {
            "collect": collect,
            "repack": repack,
            "migrate": lambda context: migrate(context, items(self.lab)),
        }
        self.killed(jobs[job], number)
        self.lab.clock.advance(24 * 3600)  # what the dead one held has run out
        reconcile(self.lab.context)
        self.check_books()

    @rule()
    def lose_everything(self) -> None:
        """The catalog is lost and comes back from the bucket."""
        self.scan()
        flush(self.lab.context)
        before = self.held()
        self.stack.enter_context(self.replaced())
        self.scan()
        assert self.held() == before
        self.check_books()

    def replaced(self) -> ExitStack:
        """Rebuild into another catalog, and go on with that one."""
        stack = ExitStack()
        url = f"sqlite:///{self.lab.base}/state/{os.urandom(4).hex()}.db"
        self.lab, catalog = stack.enter_context(lose_catalog(self.lab, url))
        rebuilt(self.lab, catalog)
        return stack

    def held(self) -> dict[bytes, FileState]:
        """Stored files and their states."""
        wanted = (FileState.DUAL, FileState.OFFLINE)
        return {path: row.state for path, row in rows(self.lab).items() if row.state in wanted}

    def teardown(self) -> None:
        """What the story left behind can be had from the bucket alone, by two ways."""
        try:
            if hasattr(self, "lab") and sys.exc_info()[0] is None:
                self.end()
        finally:
            super().teardown()

    def end(self) -> None:
        """Audit; restore by the script; rebuild and read."""
        self.scan()
        flush(self.lab.context)
        assert audit(self.lab.context).ok
        out = restored_by_script(self.lab, self.folder) if self.held() else self.folder
        for path in self.held():
            assert out.joinpath(os.fsdecode(path)).read_bytes() == self.model[path], path
        with self.replaced():
            for path in self.held():
                assert self.stored(path) in {self.model[path], None}, path


TestSeries = Series.TestCase
TestSeries.settings = stories(6, 14)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_p3_p4_p6_p7_the_series_hold_for_longer() -> None:
    run_state_machine_as_test(Series, settings=stories(60, 40))
