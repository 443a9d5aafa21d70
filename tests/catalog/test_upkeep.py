"""Tending a catalog gives the planner its statistics and the disk its room back, whatever others are doing."""

from pathlib import Path

from tests.catalog.rows import add_root
from tests.catalog.test_walked import fresh, made
from tiering.catalog import files, walked
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.transaction import fetch_raw
from tiering.catalog.upkeep import tend
from tiering.clock import FakeClock


def fill(catalog: Catalog, count: int) -> int:
    with catalog.write() as tx:
        root_id = add_root(tx)
        rows = [fresh(made(root_id, number)) for number in range(count)]
        walked.add_fresh(tx, root_id, rows, access_quality="none", op_id="scan:1:1")
    return root_id


def test_statistics_are_there_afterwards_and_nothing_else_changed(catalog: Catalog) -> None:
    root_id = fill(catalog, 500)
    tend(catalog)
    tend(catalog)
    with catalog.read() as tx:
        if tx.is_sqlite:
            assert fetch_raw(tx, "SELECT count(*) > 0 FROM sqlite_stat1 WHERE tbl = ?", ("files",)) == [(1,)]
        else:
            assert fetch_raw(tx, "SELECT reltuples > 0 FROM pg_class WHERE relname = ?", ("files",)) == [(True,)]
        assert files.count(tx, root_id=root_id) == 500
    with catalog.write() as tx:  # the connection went back to the pool as it was
        assert files.count(tx, root_id=root_id) == 500


def test_the_log_is_truncated_or_left_when_somebody_reads(tmp_path: Path, clock: FakeClock) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db", clock=clock, create=True)
    log = tmp_path / "catalog.db-wal"
    fill(catalog, 500)
    assert log.stat().st_size > 0
    with catalog.read() as tx:
        assert files.count(tx) == 500
        tend(catalog)
        assert files.count(tx) == 500
    tend(catalog)
    assert log.stat().st_size == 0
    catalog.close()
