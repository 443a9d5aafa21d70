"""Opening a catalog: settings, refusals, locks, and that creation and migration give one schema."""

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, inspect, text

from tests.catalog.rows import add_root
from tiering.catalog import network_fs, roots, schema, upgrade
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.tables import metadata
from tiering.clock import FakeClock
from tiering.errors import CatalogBusy, ConfigError, NoSpace, SchemaError


def test_the_catalog_id_stays(catalog: Catalog, catalog_url: str, clock: FakeClock) -> None:
    again = open_catalog(catalog_url, clock=clock)

    assert again.catalog_id == catalog.catalog_id
    assert len(again.catalog_id) == 32
    again.close()


def test_a_failed_block_changes_nothing(catalog: Catalog) -> None:
    def fail() -> None:
        with catalog.write() as tx:
            add_root(tx)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with catalog.read() as tx:
        assert roots.all_roots(tx) == []


def test_threads_write_one_after_the_other(catalog: Catalog) -> None:
    def work(number: int) -> None:
        with catalog.write() as tx:
            add_root(tx, f"r{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with catalog.read() as tx:
        assert len(roots.all_roots(tx)) == 12


def test_a_reader_keeps_its_snapshot_while_another_writes(catalog: Catalog) -> None:
    with catalog.read() as before:
        assert roots.all_roots(before) == []
        with catalog.write() as tx:
            add_root(tx)
        assert roots.all_roots(before) == []


def test_sqlite_is_set_up_for_durability(tmp_path: Path, clock: FakeClock) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/c.db", clock=clock, create=True)

    with catalog.read() as tx:
        found = {
            name: tx.conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "application_id")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
        "application_id": schema.APPLICATION_ID,
    }
    assert (tmp_path / "c.db").stat().st_mode & 0o777 == 0o600
    catalog.close()


def test_a_catalog_is_not_made_unless_asked(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(ConfigError, match="no catalog at"):
        open_catalog(f"sqlite:///{tmp_path}/c.db", clock=clock)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["mysql://h/d", "oracle://h/d", "duckdb:///x"])
def test_other_databases_are_refused(url: str, clock: FakeClock) -> None:
    with pytest.raises(SchemaError, match="not supported"):
        open_catalog(url, clock=clock)


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_be_meant_is_refused(url: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigError):
        open_catalog(url, clock=clock, create=True)


def test_somebody_elses_database_is_refused(catalog_url: str, clock: FakeClock) -> None:
    engine = create_engine(catalog_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE customers (id INTEGER)"))
    engine.dispose()

    with pytest.raises(SchemaError, match="not frostline's"):
        open_catalog(catalog_url, clock=clock, create=True)


def test_a_newer_schema_is_refused(catalog: Catalog, catalog_url: str, clock: FakeClock) -> None:
    with catalog.write() as tx:
        tx.conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SchemaError, match="newer than this program"):
        open_catalog(catalog_url, clock=clock)
    with pytest.raises(SchemaError, match="newer than this program"):
        upgrade.upgrade(catalog_url)


def test_an_older_schema_says_how_to_upgrade(catalog: Catalog, catalog_url: str, clock: FakeClock) -> None:
    with catalog.write() as tx:
        tx.conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    with pytest.raises(SchemaError) as caught:
        open_catalog(catalog_url, clock=clock)
    assert "frostline db upgrade" in caught.value.hint


def test_a_file_that_is_no_database_gets_a_sentence(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database at all" * 100)

    with pytest.raises(SchemaError, match="not a readable catalog"):
        open_catalog(f"sqlite:///{tmp_path}/c.db", clock=clock)


def test_state_on_a_network_file_system_is_refused(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The table of magic numbers gains this folder's own, as if it were NFS.
    monkeypatch.setitem(network_fs.NETWORK_MAGIC, network_fs._statfs_type(str(tmp_path)), "NFS")

    with pytest.raises(ConfigError, match=r"network file system \(NFS\)"):
        open_catalog(f"sqlite:///{tmp_path}/c.db", clock=clock, create=True)
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_is_not_a_network_file_system(tmp_path: Path) -> None:
    assert network_fs.network_filesystem(str(tmp_path)) == ""


def test_the_revision_is_the_head_of_the_migrations() -> None:
    script = ScriptDirectory.from_config(upgrade.configuration())

    assert script.get_current_head() == schema.REVISION


def test_migrating_an_empty_database_gives_the_tables(catalog_url: str) -> None:
    upgrade.upgrade(catalog_url)

    engine = create_engine(catalog_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_migration_and_creation_make_the_same_database(tmp_path: Path, clock: FakeClock) -> None:
    open_catalog(f"sqlite:///{tmp_path}/created.db", clock=clock, create=True).close()
    upgrade.upgrade(f"sqlite:///{tmp_path}/migrated.db")

    assert _shape(tmp_path / "created.db") == _shape(tmp_path / "migrated.db")


def test_a_migrated_database_opens(catalog_url: str, clock: FakeClock) -> None:
    upgrade.upgrade(catalog_url)

    opened = open_catalog(catalog_url, clock=clock)
    with opened.read() as tx:
        assert "ledger_entries" in inspect(tx.conn).get_table_names()
    opened.close()


def _shape(path: Path) -> set[tuple[str, str, tuple[str, ...]]]:
    """Return (type, name, parts of its SQL): the order of constraints does not matter."""
    link = sqlite3.connect(path)
    try:
        rows = link.execute("SELECT type, name, sql FROM sqlite_master WHERE sql <> '' AND name <> 'alembic_version'")
        return {(kind, name, _parts(sql)) for kind, name, sql in rows}
    finally:
        link.close()


def _parts(sql: str) -> tuple[str, ...]:
    flat = " ".join(sql.replace('"', "").split())
    head, body, tail = flat[: flat.index("(")], flat[flat.index("(") + 1 : flat.rindex(")")], flat[flat.rindex(")") :]
    return (head.strip(), *sorted(part.strip() for part in body.split(", ")), tail)


def test_a_lock_that_cannot_be_had_is_try_again(catalog: Catalog, catalog_url: str, clock: FakeClock) -> None:
    other = open_catalog(catalog_url, clock=clock)
    is_sqlite = other.engine.dialect.name == "sqlite"
    patience = "PRAGMA busy_timeout = 50" if is_sqlite else "SET lock_timeout = '50ms'"
    event.listen(other.engine, "engine_connect", lambda conn: conn.connection.cursor().execute(patience))

    def write() -> None:
        with other.write():
            pass

    with catalog.write(), pytest.raises(CatalogBusy) as caught:
        write()
    assert caught.value.exit_code == 75
    write()
    other.close()


def test_a_full_disk_gets_a_sentence_and_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/c.db", clock=clock, create=True)

    def fill() -> None:
        with catalog.write() as tx:
            tx.conn.exec_driver_sql("PRAGMA max_page_count = 1")  # never below what the file has
            for number in range(2000):
                add_root(tx, f"root {number} " + "x" * 500)

    with pytest.raises(NoSpace, match="no space left for the catalog"):
        fill()
    with catalog.read() as tx:
        assert roots.all_roots(tx) == []
    catalog.close()


def test_an_unreachable_server_is_try_again(clock: FakeClock) -> None:
    with pytest.raises(CatalogBusy, match="cannot be reached") as caught:
        open_catalog("postgresql://nobody:secret@127.0.0.1:9/frostline", clock=clock)
    assert "secret" not in caught.value.sentence()
