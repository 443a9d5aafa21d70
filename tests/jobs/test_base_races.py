"""Bases under pressure: collected while something is coded against them, changed on the disk, stored by two at once,
overtaken again and again. Whatever happens, what is stored can be read (P7) and the books balance (P6)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import text

from tests.jobs.lab import Lab
from tests.jobs.outbound import StopAt, books_balance, items, learn, rows, stored_bytes
from tests.jobs.scanning import scan
from tests.jobs.test_references import codecs
from tests.whole import models
from tiering.catalog.values import FileState
from tiering.jobs.audit import audit
from tiering.jobs.context import Context, NoProgress
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate


def name_of(step: int) -> str:
    """Return the path of a checkpoint."""
    return f"run/model_{step:05}.safetensors"


def deepest(lab: Lab) -> int:
    """Return the most bases that any chunk has below it, by numbers."""
    query = (
        "WITH RECURSIVE below(chunk_no, base_no, depth) AS ("
        "  SELECT c.chunk_no, b.base_no, 1 FROM chunks c JOIN blocks b USING (block_no) WHERE b.base_no IS NOT NULL"
        "  UNION ALL SELECT below.chunk_no, b.base_no, depth + 1 FROM below"
        "  JOIN chunks c ON c.chunk_no = below.base_no JOIN blocks b ON b.block_no = c.block_no"
        "  WHERE b.base_no IS NOT NULL AND depth < 50) SELECT coalesce(max(depth), 0) FROM below"
    )
    with lab.catalog.read() as tx:
        return int(tx.conn.execute(text(query)).scalar_one())


def collected(lab: Lab) -> None:
    """Let everything go that is not needed."""
    for _ in range(3):
        collect(lab.context)
        lab.clock.advance(1)


@pytest.mark.parametrize("is_collected", [True, False])
def test_chains_stay_short_however_many_checkpoints_come(lab: Lab, is_collected: bool) -> None:
    for step in range(14):
        lab.write(name_of(step), models.checkpoint(1, step))
        learn(lab)
        migrate(lab.context, items(lab))
        if is_collected:
            collected(lab)
    assert 1 <= deepest(lab) <= 6
    assert codecs(lab)["delta-1:bf16"] >= 10
    for step in range(14):
        assert stored_bytes(lab, name_of(step).encode()) == models.checkpoint(1, step)
    books_balance(lab)
    assert audit(lab.context).ok


def test_p5_a_base_that_gc_takes_before_the_commit_is_not_leaned_on(lab: Lab) -> None:
    lab.write(name_of(2), models.checkpoint(1, 2))
    learn(lab)
    migrate(lab.context, items(lab))
    lab.write(name_of(1), models.checkpoint(1, 1))
    learn(lab)

    def forget_the_base() -> None:
        os.unlink(lab.root / name_of(2))
        scan(lab, confirm_missing=True)
        with lab.catalog.write() as tx:
            tx.conn.execute(text("UPDATE files SET missing_since_ns = 0 WHERE state = 'missing'"))
            tx.conn.execute(text("UPDATE versions SET keep_until_ns = 0"))
        collected(lab)

    step = StopAt("migrate.recipes_uploaded", action=forget_the_base)
    wanted = items(lab, paths=[name_of(1).encode()])
    assert migrate(lab.with_steps(step), wanted).files_done == 1
    assert name_of(2).encode() not in rows(lab)
    assert rows(lab)[name_of(1).encode()].state == FileState.DUAL
    assert stored_bytes(lab, name_of(1).encode()) == models.checkpoint(1, 1)
    collected(lab)
    assert stored_bytes(lab, name_of(1).encode()) == models.checkpoint(1, 1)
    books_balance(lab)


@dataclass
class Watching(NoProgress):
    """Calls something when the first file has been read."""

    action: Callable[[], None]
    is_done: bool = False

    def advance(self, *, byte_count: int = 0, files: int = 0) -> None:
        """See Progress."""
        if files and not self.is_done:
            self.is_done = True
            self.action()


def test_p7_a_reference_that_changes_between_choice_and_reading_is_none(lab: Lab) -> None:
    lab.write(name_of(2), models.checkpoint(1, 2))
    lab.write(name_of(1), models.checkpoint(1, 1))
    learn(lab)

    def change() -> None:
        with open(lab.root / name_of(2), "r+b") as out:  # in place, as a careless program does
            out.seek(500_000)
            out.write(os.urandom(100_000))

    migrate(replace(lab.context, progress=Watching(change)), items(lab))
    assert stored_bytes(lab, name_of(1).encode()) == models.checkpoint(1, 1)
    assert stored_bytes(lab, name_of(2).encode()) == models.checkpoint(1, 2)
    assert codecs(lab)["delta-1:bf16"] == 0


def test_p6_two_migrates_at_once_on_one_series(lab: Lab) -> None:
    for step in (1, 3, 5):
        lab.write(name_of(step), models.checkpoint(1, step))
    learn(lab)
    migrate(lab.context, items(lab))
    for step in (2, 4, 6, 7):
        lab.write(name_of(step), models.checkpoint(1, step % 6))
    lab.write("other/model_00001.safetensors", models.checkpoint(1, 2))
    learn(lab)

    def the_other(context: Context, steps: tuple[int, ...]) -> None:
        paths = [name_of(step).encode() for step in steps]
        migrate(context, items(lab, paths=[*paths, b"other/model_00001.safetensors"]))

    other = replace(lab.context, owner="test:2:boot")
    first = StopAt("migrate.recipes_uploaded", action=lambda: the_other(other, (2, 6)))
    migrate(lab.with_steps(first), items(lab, paths=[name_of(step).encode() for step in (4, 7)]))
    for _ in range(2):
        for step in range(1, 8):
            assert stored_bytes(lab, name_of(step).encode()) == models.checkpoint(1, step % 6)
        assert stored_bytes(lab, b"other/model_00001.safetensors") == models.checkpoint(1, 2)
        books_balance(lab)
        collected(lab)
    assert deepest(lab) <= 6
    assert audit(lab.context).ok


def test_a_model_replaced_by_another_with_the_same_names_and_other_shapes(lab: Lab) -> None:
    for step in (1, 2, 3):
        lab.write(name_of(step), models.checkpoint(1, step))
    learn(lab)
    migrate(lab.context, items(lab))
    lab.write(name_of(2), models.reshaped(1, 2))
    lab.write(name_of(4), models.reshaped(1, 1))
    scan(lab)
    migrate(lab.context, items(lab))
    with lab.catalog.write() as tx:
        tx.conn.execute(text("UPDATE versions SET keep_until_ns = 0"))
    collected(lab)
    expected = {
        1: models.checkpoint(1, 1),
        2: models.reshaped(1, 2),
        3: models.checkpoint(1, 3),
        4: models.reshaped(1, 1),
    }
    for step, data in expected.items():
        assert stored_bytes(lab, name_of(step).encode()) == data
    books_balance(lab)
