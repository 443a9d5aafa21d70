"""The ledger: balanced, idempotent, chained, and impossible to change on either engine."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tiering.catalog import ledger
from tiering.catalog.accounts import BOOKS, Amounts, Line
from tiering.catalog.ledger import Entry, PostedEntry, Unbalanced
from tiering.catalog.open import Catalog, open_catalog
from tiering.clock import FakeClock
from tiering.errors import Discrepancy

PAIR = (Line("files.hot_only", "", "byte", 10), Line("files.logical", "", "byte", -10))


def post(catalog: Catalog, op_id: str, lines: tuple[Line, ...] = PAIR) -> int:
    with catalog.write() as tx:
        return ledger.post(tx, Entry(op_id=op_id, kind="test", reason="", lines=lines))


def test_p6_an_entry_that_does_not_balance_is_refused(catalog: Catalog) -> None:
    with pytest.raises(Unbalanced):
        post(catalog, "a", (PAIR[0],))
    with pytest.raises(Unbalanced):
        post(catalog, "b", (PAIR[0], Line("bucket.total", "", "byte", -10)))
    with pytest.raises(Unbalanced):
        post(catalog, "c", (Line("files.hot_only", "", "nanousd", 10), Line("files.logical", "", "nanousd", -10)))

    with catalog.read() as tx:
        assert ledger.last(tx) == (0, "")


def test_the_same_operation_is_booked_once(catalog: Catalog) -> None:
    assert [post(catalog, "a"), post(catalog, "b"), post(catalog, "a")] == [1, 2, 1]

    with catalog.read() as tx:
        assert ledger.balance(tx, "files.hot_only") == 20


def test_an_operation_with_other_amounts_is_a_discrepancy(catalog: Catalog) -> None:
    post(catalog, "a")

    with pytest.raises(Discrepancy):
        post(catalog, "a", (Line("files.hot_only", "", "byte", 11), Line("files.logical", "", "byte", -11)))


def test_the_chain_holds_and_balances_are_the_sums(catalog: Catalog) -> None:
    for number in range(5):
        post(catalog, f"op {number}")

    with catalog.read() as tx:
        assert list(ledger.verify_chain(tx)) == []
        assert list(ledger.verify_chain(tx, since_entry=3)) == []
        assert list(ledger.verify_balances(tx)) == []


def test_entries_are_read_back_in_order_and_by_time(catalog: Catalog) -> None:
    with catalog.write() as tx:
        for number, at_ns in enumerate((10, 30, 20), start=1):
            ledger.post(tx, Entry(op_id=f"op {number}", kind="test", reason="why", lines=PAIR, at_ns=at_ns))

    with catalog.read() as tx:
        assert [entry.op_id for entry in ledger.entries(tx, since_ns=15, until_ns=30)] == ["op 3"]
        assert [entry.lines for entry in ledger.entries(tx)] == [PAIR] * 3


CHANGES = [
    "UPDATE ledger_entries SET reason = 'x'",
    "UPDATE ledger_lines SET amount = 1",
    "DELETE FROM ledger_entries",
    "DELETE FROM ledger_lines",
]
UPSERT = """INSERT INTO ledger_lines VALUES (1, 1, 'x', '', 'byte', 0)
    ON CONFLICT (entry_no, line_no) DO UPDATE SET amount = excluded.amount"""
SQLITE_CHANGES = [
    "INSERT OR REPLACE INTO ledger_entries SELECT 1, 'other', 0, '', '', '', '', ''",
    "INSERT OR REPLACE INTO ledger_entries SELECT 9, 'a', 0, '', '', '', '', ''",
    "INSERT OR REPLACE INTO ledger_lines SELECT 1, 1, 'x', '', 'byte', 0",
    "UPDATE OR REPLACE ledger_lines SET amount = 1",
    UPSERT,
]
POSTGRES_CHANGES = [
    "TRUNCATE ledger_lines",
    "TRUNCATE ledger_entries, ledger_lines",
    UPSERT,
]


def test_the_database_refuses_every_change_of_the_ledger(catalog: Catalog) -> None:
    post(catalog, "a")
    own = SQLITE_CHANGES if catalog.engine.dialect.name == "sqlite" else POSTGRES_CHANGES

    for statement in CHANGES + own:
        with pytest.raises(DBAPIError, match="append-only"):
            _run(catalog, statement)
    with catalog.read() as tx:
        assert list(ledger.verify_chain(tx)) == []
        assert ledger.balance(tx, "files.hot_only") == 10


def test_an_altered_entry_shows(catalog: Catalog) -> None:
    for number in range(3):
        post(catalog, f"op {number}")
    with catalog.write() as tx:  # as somebody with the file in hand could
        trigger, table = ("ledger_lines_no_update", "ledger_lines")
        if tx.is_sqlite:
            tx.conn.execute(text(f"DROP TRIGGER {trigger}"))
        else:
            tx.conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        tx.conn.execute(text("UPDATE ledger_lines SET amount = amount * 2 WHERE entry_no = 2"))

    with catalog.read() as tx:
        assert any("entry 2" in fault and "altered" in fault for fault in ledger.verify_chain(tx))
        assert list(ledger.verify_balances(tx))


def test_entries_are_restored_verbatim_and_only_in_order(catalog: Catalog, tmp_path: Path, clock: FakeClock) -> None:
    for number in range(3):
        post(catalog, f"op {number}")
    with catalog.read() as tx:
        kept = list(ledger.entries(tx))
    other = open_catalog(f"sqlite:///{tmp_path}/other.db", clock=clock, create=True)

    with pytest.raises(Discrepancy):
        _restore(other, kept[1:])
    _restore(other, kept)
    with other.read() as tx:
        assert list(ledger.entries(tx)) == kept
        assert ledger.balance(tx, "files.hot_only") == 30
    other.close()


ACCOUNTS = [(account, book) for book, (_, accounts) in BOOKS.items() for account in sorted(accounts)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(amounts=st.lists(st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(["", "t"]), st.integers(-99, 99))))
def test_p6_a_post_is_accepted_exactly_when_every_book_sums_to_zero(
    amounts: list[tuple[tuple[str, str], str, int]],
) -> None:
    added, books = Amounts(), dict.fromkeys(BOOKS, 0)
    for (account, book), tier, amount in amounts:
        added.add(account, amount, tier)
        books[book] += amount

    if any(books.values()):
        with pytest.raises(Unbalanced):
            ledger.check_balanced(added.lines())
    else:
        ledger.check_balanced(added.lines())


def _restore(catalog: Catalog, entries: Sequence[PostedEntry]) -> None:
    with catalog.write() as tx:
        ledger.restore(tx, entries)


def _run(catalog: Catalog, statement: str) -> None:
    with catalog.write() as tx:
        tx.conn.execute(text(statement))
