"""Rows that follow their files, on both engines; and which scans saw sweeps."""

import json

from sqlalchemy import select

from tests.catalog.rows import Seen, Storage, add_file, add_root, raw_len, recipe_of
from tiering.catalog import files, ledger, moves, scans, sweeps
from tiering.catalog.open import Catalog
from tiering.catalog.tables import outbox
from tiering.clock import NS_PER_DAY, FakeClock

BIG = 2**64 - 3  # an inode number that SQL holds as a negative one


def test_rows_are_found_by_inode_whatever_its_number(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id, other = add_root(tx), add_root(tx, "other")
        a = add_file(tx, root_id, b"a", Seen(BIG, 5))
        add_file(tx, other, b"b", Seen(7, 5))
        found = moves.by_inodes(tx, root_id, [(1, BIG), (1, 7), (2, BIG)])

    assert {inode: [row.file_id for row in rows] for inode, rows in found.items()} == {(1, BIG): [a]}


def test_a_moved_row_keeps_everything_but_its_path_and_weighs_the_same(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        size = raw_len("x")
        file_id = add_file(tx, root_id, b"d/a", Seen(3, size))
        assert Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"]) == []
        files.set_pinned(tx, [file_id], pinned=True)
        before = files.by_ids(tx, [file_id])[file_id]
        weights = [ledger.balance(tx, account) for account in ("files.dual", "files.logical", "held.current")]
        moves.follow(tx, [moves.Move(file_id, b"e/", b"b")], op_id="scan:1:1")
        after = files.by_ids(tx, [file_id])[file_id]

        assert (after.dir, after.name) == (b"e/", b"b")
        assert (after.recipe_no, after.state, after.pinned) == (before.recipe_no, before.state, True)
        assert weights == [ledger.balance(tx, account) for account in ("files.dual", "files.logical", "held.current")]
        records = [
            json.loads(record) for record in tx.conn.execute(select(outbox.c.record).order_by(outbox.c.seq)).scalars()
        ]

    told = [(record["record"], record["path"]) for record in records if record.get("path") in {"d/a", "e/b"}]
    assert told[-3:] == [("file_gone", "d/a"), ("file", "e/b"), ("pin", "e/b")]


def test_sweeps_are_remembered_by_when_their_scan_began(catalog: Catalog, clock: FakeClock) -> None:
    started = []
    for is_sweep in (True, False, True):
        with catalog.write() as tx:
            root_id = add_root(tx)
            scan_id = scans.start(tx, root_id, access_quality="relatime")
            scans.finish(tx, scan_id, state="complete", sweep=is_sweep)
            started.append(tx.now_ns)
        clock.advance(NS_PER_DAY / 10**9)
    with catalog.read() as tx:
        assert sweeps.seen_since(tx, root_id, 0) == [started[0], started[2]]
        assert sweeps.seen_since(tx, root_id, started[1]) == [started[2]]
