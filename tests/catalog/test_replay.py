"""P3 as a property: the records of any history, replayed in segments of any size, give the rows that were lost."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.catalog.rows import Packed
from tests.catalog.test_books import STEPS, Step, World
from tiering.catalog import files, ledger, replay, roots, tables
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.replayed import Replayed
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileState
from tiering.clock import FakeClock

SETTLED = {FileState.MIGRATING: FileState.DUAL, FileState.RECALLING: FileState.OFFLINE}
SCANNED_IN_RECALL = [("claim", 0, 1), ("change", 0, 0), ("see", 2, 0), ("recall", 0, 0), ("change", 0, 1)]
"""A leader of links is seen anew while it is being recalled."""
FIRST = [("add", 1, 20), ("add", 2, 30), ("store", 0, 1), ("store", 1, 2), ("link", 0, 0), ("release", 0, 0)]


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(STEPS.filter(lambda step: step[0] != "flush"), min_size=20, max_size=50),
    size=st.integers(1, 40),
)
@example(steps=SCANNED_IN_RECALL, size=1)
def test_p3_replaying_the_records_gives_the_rows(steps: list[Step], size: int) -> None:
    with TemporaryDirectory() as folder:
        lost = open_catalog(f"sqlite:///{Path(folder)}/lost.db", clock=FakeClock(), create=True)
        again = open_catalog(f"sqlite:///{Path(folder)}/again.db", clock=FakeClock(), create=True)
        try:
            live_through(lost, steps)
            replayed(lost, again, size)
            with lost.read() as before, again.read() as after:
                assert stored_files(after) == stored_files(before)
                for table, columns in NAMED.items():
                    assert rows(after, table, columns) == rows(before, table, columns), table
                assert list(ledger.entries(after)) == list(ledger.entries(before))
                assert list(ledger.verify_balances(after)) == []
        finally:
            lost.close()
            again.close()


def live_through(catalog: Catalog, steps: list[Step]) -> None:
    world = World(catalog, catalog.clock if isinstance(catalog.clock, FakeClock) else FakeClock())
    for step in [*FIRST, *steps]:
        world.run(step)


def replayed(lost: Catalog, again: Catalog, size: int) -> None:
    with lost.read() as tx:
        texts = list(tx.conn.execute(select(tables.outbox.c.record).order_by(tables.outbox.c.seq)).scalars())
    done = Replayed()
    for start in range(0, len(texts), size):
        with again.write() as tx:
            replay.apply(tx, texts[start : start + size], done, Packed())
    with again.write() as tx:
        assert replay.finish(tx, done) == []
    assert done.notes == []
    assert done.is_ledger_whole


# What must be equal, by names that outlive the catalog's numbers. Recipes of deleted packs are forgotten on both sides.
NAMED: Mapping[str, str] = {
    "packs": "SELECT key, kind, tier, storage_class, state, size, framing, checksum, created_ns, doomed_ns FROM packs "
    "WHERE state <> 'pending'",
    "recipes": "SELECT recipe_id, recipes.state, recipes.tier, recipes.digest, recipes.size, plain_bytes, packs.key, "
    "blocks.offset, inner_offset, recipes.stored_len, recipes.raw_len FROM recipes "
    "JOIN blocks ON blocks.block_no = recipes.block_no JOIN packs ON packs.pack_no = blocks.pack_no",
    "versions": "SELECT dir, name, recipe_id, from_ns, superseded_ns, keep_until_ns, reason FROM versions "
    "JOIN recipes ON recipes.recipe_no = versions.recipe_no",
    "roots": "SELECT name, path, marker, state FROM roots",
}


def rows(tx: Tx, table: str, query: str) -> list[tuple[object, ...]]:
    return sorted((tuple(row) for row in tx.conn.exec_driver_sql(query)), key=repr)


def stored_files(tx: Tx) -> dict[bytes, tuple[object, ...]]:
    """Path -> everything that matters of files with a stored copy."""
    (root,) = roots.all_roots(tx)
    found = list(files.every(tx, root.root_id))
    paths = {row.file_id: row.path for row in found}
    ids = {row.recipe_no: row.recipe_id for row in tx.conn.execute(select(tables.recipes))}
    return {
        row.path: (
            SETTLED.get(row.state, row.state),
            ids[row.recipe_no],
            paths.get(row.leader_id or 0),
            *(row.size, row.mtime_ns, row.ctime_ns, row.dev, row.ino, row.nlink, row.mode, row.uid, row.gid),
            *(row.tier, row.missing_since_ns, row.missing_from, row.recalled_ns, row.stored_ns),
        )
        for row in found
        if row.recipe_no is not None
    }
