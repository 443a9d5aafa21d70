"""Copies that one run meets: stored as what they are, whoever was read first, and whatever became of the first."""

import random
from pathlib import Path

import pytest

from dedup.values import chunks_of
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import StopAt, books_balance, items, learn, packs_in, rows, stored_bytes, stored_recipe
from tiering.catalog import accounts, ledger
from tiering.catalog.values import PackState
from tiering.jobs.migrate import migrate

TINY, SMALL, LONG = 4000, 300_000, 3_500_000
"""Read with others and never familiar, read with others, and read in windows."""


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def copies() -> dict[str, bytes]:
    """Return files that are each other's copies, in whole or as far as they go."""
    small, long = noise(1, SMALL), noise(2, LONG)
    lines = b"".join(b"line %d of a log\n" % number for number in range(90_000))
    edited = long[:2_600_000] + b"a few bytes" + long[2_600_000:]
    alike = {"a": small, "b": small, "c": small + b"x", "d": long, "e": long, "f": edited, "g": long[:2_500_000]}
    return {**alike, "h": lines, "i": lines, "j": lines + b"one more\n", "k": lines[: SMALL // 3], "l": b"x" + lines}


def test_copies_of_one_run_are_cut_as_each_alone(tmp_path: Path) -> None:
    found: list[dict[str, object]] = []
    for base, is_together in ((tmp_path / "together", True), (tmp_path / "alone", False)):
        with open_lab(base) as lab:
            for name, data in copies().items():
                lab.write(name, data)
            learn(lab)
            paths = [[]] if is_together else [[name.encode()] for name in copies()]
            for path in paths:
                migrate(lab.context, items(lab, paths=path))
            found.append({name: _content(lab, name) for name in copies()})
            for name, data in copies().items():
                assert stored_bytes(lab, name.encode()) == data
            books_balance(lab)
    assert found[0] == found[1]


def _content(lab: Lab, name: str) -> object:
    recipe = stored_recipe(lab, name.encode())
    return recipe.digest, recipe.size, recipe.chunker, recipe.parts


def test_a_copy_stores_nothing(lab: Lab) -> None:
    for name, data in {"a": noise(3, SMALL), "b": noise(3, SMALL), "c": noise(4, LONG), "d": noise(4, LONG)}.items():
        lab.write(name, data)
    learn(lab)
    migrate(lab.context, items(lab))

    with lab.catalog.read() as tx:
        assert ledger.balance(tx, accounts.STORE_DEDUP_SAVED) == SMALL + LONG
    chunks = [chunks_of(stored_recipe(lab, name).parts) for name in (b"a", b"b", b"c", b"d")]
    assert (chunks[0], chunks[2]) == (chunks[1], chunks[3])
    books_balance(lab)


@pytest.mark.parametrize("size", [TINY, SMALL, LONG])
def test_p1_a_reused_chunk_that_gc_took_is_stored_anew(lab: Lab, size: int) -> None:
    data = noise(5, size)
    lab.write("first", data)
    learn(lab)
    migrate(lab.context, items(lab))
    (lab.root / "first").unlink()
    lab.write("second", data)
    learn(lab)
    live = packs_in(lab, PackState.LIVE)

    def collect() -> None:
        with lab.catalog.write() as tx:
            tx.conn.exec_driver_sql("UPDATE packs SET state = 'doomed' WHERE kind = 'data'")

    # The commit finds that nothing it leans on is there; the file is read again, and what it has is familiar by then.
    context = lab.with_steps(StopAt("migrate.recipes_uploaded", action=collect))
    report = migrate(context, items(lab, paths=[b"second"]))

    assert (report.files_done, report.files_skipped) == (1, ())
    assert rows(lab)[b"second"].recipe_no is not None
    assert stored_bytes(lab, b"second") == data
    assert set(packs_in(lab, PackState.LIVE)) - set(live)
