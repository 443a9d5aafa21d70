"""A model of the whole: random users and random jobs on one root, against a dict of what the files must contain.

After every step the books balance (P6), and every file the model knows is at its path with its bytes, or is a
placeholder whose recipe yields them (P7). Kills are an exception at a random numbered step, in a process that is then
dead for the next one (P4).
"""

import io
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import items, rows
from tests.whole.tree import noise, text
from tiering.catalog import ledger, sums
from tiering.errors import WaitingOnRestore
from tiering.jobs.context import Context
from tiering.jobs.gc import collect
from tiering.jobs.items import MigrateItem
from tiering.jobs.migrate import migrate
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.release import release
from tiering.jobs.restore import cat
from tiering.jobs.scan import scan_root

NAMES = [b"a", b"b", b"d/c", b"d/e/f", b"g\xff"]
DEAD = "test:4194303:boot"  # above any pid_max: a process that is not there


class Killed(BaseException):
    """The process ends here."""


def content(seed: int) -> bytes:
    """Return file contents that share chunks with those of other seeds."""
    return text(seed % 3, 40_000) + noise(seed % 5, 1000 * (seed % 40)) + text(seed % 2, 30_000)


class Installation(RuleBasedStateMachine):
    """Users change files, jobs move them, processes die."""

    def __init__(self) -> None:
        """Nothing is opened before `begin`."""
        super().__init__()
        self.model: dict[bytes, bytes] = {}
        self.stack = ExitStack()
        self.is_fresh = True
        """Whether nobody has changed anything since the last scan."""

    @initialize()
    def begin(self) -> None:
        """Open an empty installation."""
        self.folder = Path(tempfile.mkdtemp(prefix="frostline-model-"))
        self.lab: Lab = self.stack.enter_context(
            open_lab(self.folder / "lab", versions={"keep_days": 0, "missing_days": 0})
        )

    def teardown(self) -> None:
        """Close and remove everything."""
        self.stack.close()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: bytes) -> bytes:
        """Absolute path of a file of the model."""
        return os.path.join(os.fsencode(self.lab.root), name)

    def is_offline(self, name: bytes) -> bool:
        """Whether a placeholder stands there."""
        return os.path.islink(self.path(name))

    def put(self, name: bytes, data: bytes) -> None:
        """Write a file as careful programs do: rename over it."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name) + b".new", "wb") as out:
            out.write(data)
        os.rename(self.path(name) + b".new", self.path(name))
        self.model[name] = data
        self.tick()

    def remove(self, name: bytes) -> None:
        """Delete a file or a placeholder."""
        assume(name in self.model)
        os.unlink(self.path(name))
        del self.model[name]
        self.tick()

    def move(self, source: bytes, to: bytes) -> None:
        """Rename a file or a placeholder, over another one perhaps."""
        assume(source in self.model and source != to)
        os.makedirs(os.path.dirname(self.path(to)), exist_ok=True)
        os.rename(self.path(source), self.path(to))
        self.model[to] = self.model.pop(source)
        self.tick()

    def killed(self, job: Callable[[Context], object], number: int) -> None:
        """Let *job* die before its *number*-th durable step."""
        try:
            job(replace(self.lab.context, owner=DEAD, step=countdown(number)))
        except Killed:
            pass

    @rule(name=st.sampled_from(NAMES), seed=st.integers(0, 60))
    def write(self, name: bytes, seed: int) -> None:
        """A user creates or replaces a file."""
        self.put(name, content(seed))

    @rule(name=st.sampled_from(NAMES), seed=st.integers(0, 60))
    def append(self, name: bytes, seed: int) -> None:
        """A user appends to a file in place."""
        assume(name in self.model and not self.is_offline(name))
        with open(self.path(name), "ab") as out:
            out.write(content(seed))
        self.model[name] += content(seed)
        self.tick()

    @rule(name=st.sampled_from(NAMES), length=st.integers(0, 50_000))
    def truncate(self, name: bytes, length: int) -> None:
        """A user cuts a file off."""
        assume(name in self.model and not self.is_offline(name) and len(self.model[name]) > length)
        os.truncate(self.path(name), length)
        self.model[name] = self.model[name][:length]
        self.tick()

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: bytes) -> None:
        """A user deletes a file, or its placeholder."""
        self.remove(name)

    @rule(source=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def rename(self, source: bytes, to: bytes) -> None:
        """A user renames a file or a placeholder, over another one perhaps."""
        self.move(source, to)

    @rule(tier=st.sampled_from(["standard", "archive"]))
    def send(self, tier: str) -> None:
        """Migrate everything."""
        self.scan()
        migrate(self.lab.context, items(self.lab, tier))
        self.check_books()

    @rule()
    def free(self) -> None:
        """Release everything that may go."""
        self.scan()
        release(self.lab.context, items(self.lab), wait_parked=True)
        self.check_books()

    @rule()
    def bring_back(self) -> None:
        """Recall everything that can be read at once."""
        self.scan()
        recall(self.lab.context, self.readable(), reason="by hand")
        self.check_books()

    @rule(job=st.sampled_from(["send", "free", "bring_back"]), number=st.integers(1, 12))
    def die(self, job: str, number: int) -> None:
        """A job dies before its n-th durable step; the next process puts things right."""
        self.scan()
        jobs: dict[str, Callable[[Context], object]] = {
            "send": lambda context: migrate(context, items(self.lab)),
            "free": lambda context: release(context, items(self.lab), wait_parked=True),
            "bring_back": lambda context: recall(context, self.readable(), reason="by hand"),
        }
        self.killed(jobs[job], number)
        reconcile(self.lab.context)
        self.check_books()

    @rule()
    def collect_garbage(self) -> None:
        """Let gc do all it may."""
        self.scan()
        collect(self.lab.context)
        self.lab.clock.advance(1)
        collect(self.lab.context)
        self.check_books()

    @invariant()
    def every_file_has_its_bytes(self) -> None:
        """At its path, or through its placeholder once the last scan has seen it there."""
        for name, expected in self.model.items():
            if not self.is_offline(name):
                with open(self.path(name), "rb") as source:
                    assert source.read() == expected, name
                continue
            if self.is_fresh:
                assert self.stored(name) in {expected, None}, name

    def stored(self, name: bytes) -> bytes | None:
        """What frostline reads back for a path; None where it says that it is archived."""
        shown = io.BytesIO()
        try:
            cat(self.lab.context, os.fsdecode(self.path(name)), shown)
        except WaitingOnRestore:
            return None
        return shown.getvalue()

    def readable(self) -> list[MigrateItem]:
        """Items that are not in the archive."""
        archived = {path for path, row in rows(self.lab).items() if row.tier == "archive"}
        return [item for item in items(self.lab) if item.dir + item.name not in archived]

    def scan(self) -> None:
        """Bring the catalog to what stands on the disk; everything missing is meant."""
        scan_root(self.lab.context, self.lab.context.roots[0], confirm_missing=True)
        self.is_fresh = True
        self.check_books()

    def tick(self) -> None:
        """Time passes."""
        self.lab.clock.advance(1)
        self.is_fresh = False

    def check_books(self) -> None:
        """P6: ledger equals rows, identities hold, the chain is whole."""
        with self.lab.catalog.read() as tx:
            assert sums.differences(tx) == {}
            assert sums.identities(sums.recomputed(tx)) == []
            assert list(ledger.verify_chain(tx)) == []


def countdown(number: int) -> Callable[[str], None]:
    """Return a step function that ends the process at its *number*-th call."""
    left = [number]

    def step(name: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed(name)

    return step


def stories(count: int, steps: int) -> settings:
    """Return the settings for so many stories of so many steps, however long each takes."""
    return settings(max_examples=count, stateful_step_count=steps, suppress_health_check=list(HealthCheck))


TestModel = Installation.TestCase
TestModel.settings = stories(25, 20)


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_model_holds_for_longer() -> None:
    run_state_machine_as_test(Installation, settings=stories(150, 40))
