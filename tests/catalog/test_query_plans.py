"""What is asked of one pack or file reads no whole table, and nothing that grows with the tree is sorted: SQLite keeps
what it sorts in memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.catalog.rows import Seen, Storage, add_file, add_root, recipe_of
from tiering.catalog import files, packs, recipes, repacking, shares, temperature
from tiering.catalog.open import open_catalog
from tiering.catalog.recipes import needing
from tiering.catalog.totals import alike, totals_of
from tiering.catalog.transaction import Tx
from tiering.clock import FakeClock


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    """A catalog of one root, one data pack and one file."""
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db", clock=FakeClock(), create=True)
    try:
        with catalog.write() as tx:
            file_id = add_file(tx, add_root(tx), b"a/b", Seen(1, 17))
            assert Storage(tx).store([(file_id, recipe_of(1, ["x", "y"]))], ["x", "y"]) == []
            yield tx
    finally:
        catalog.close()


def _plan(tx: Tx, ask: Callable[[Tx], object]) -> list[str]:
    """Return how SQLite goes about all that *ask* asks."""
    said: list[str] = []
    driver = tx.conn.connection.driver_connection
    driver.set_trace_callback(said.append)
    ask(tx)
    driver.set_trace_callback(None)
    return [row[3] for text in said for row in tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]


@pytest.mark.parametrize("ask", [lambda tx: alike(tx, 1), totals_of], ids=["alike", "totals"])
def test_what_is_added_up_of_a_tree_is_not_sorted(tx: Tx, ask: Callable[[Tx], object]) -> None:
    plan = _plan(tx, ask)
    assert any("TEMP B-TREE FOR DISTINCT" in step for step in plan)  # which holds what is distinct
    assert not any("GROUP BY" in step or "ORDER BY" in step for step in plan)


OF_ONE: dict[str, Callable[[Tx], object]] = {
    "shares": lambda tx: shares.shares_of(tx, 1),
    "numbers": lambda tx: repacking.chunk_numbers(tx, 1),
    "chunks": lambda tx: packs.chunks_of(tx, 1),
    "needing": lambda tx: needing(tx, 1, None),
    "heats": lambda tx: temperature.block_heats(tx, [1], {"standard": 0}),
    "units": lambda tx: temperature.units(tx, [1]),
    "places": lambda tx: packs.locate_all(tx, [1]),
    "stored": lambda tx: recipes.stored_bytes(tx, [1]),
    "page": lambda tx: files.page(tx, 1, under=b"a/"),
}


@pytest.mark.parametrize("ask", OF_ONE.values(), ids=list(OF_ONE))
def test_what_is_asked_of_one_pack_or_file_reads_no_whole_table(tx: Tx, ask: Callable[[Tx], object]) -> None:
    plan = _plan(tx, ask)
    assert plan
    whole = [f"SCAN {table}" for table in ("files", "recipes", "refs", "chunks", "blocks", "versions")]
    assert [step for step in plan if step.startswith(tuple(whole))] == []
