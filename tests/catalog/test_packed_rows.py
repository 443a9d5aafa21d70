"""What a commit knows of its files is compared with the rows, never believed."""

from typing import Any

from sqlalchemy import update

from tests.catalog.rows import Seen, add_file, add_root
from tiering.catalog import commit, files, journal, moves
from tiering.catalog.booking import load_files
from tiering.catalog.open import Catalog
from tiering.catalog.packed_rows import load_again
from tiering.catalog.tables import files as file_rows
from tiering.catalog.values import FileRow, FileState


def test_rows_seen_before_are_as_they_are_now(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        ids = [add_file(tx, root_id, b"d/%d" % number, Seen(number, 5)) for number in range(1, 300)]
        seen = list(load_files(tx, ids).values())
        claimed = journal.claim_batch(tx, "migrate:1", ids[:-9], owner="me", until_ns=1)
        moves.follow(tx, [moves.Move(ids[0], b"elsewhere/", b"renamed")], op_id="moved")
        files.set_pinned(tx, [ids[1]], True)
        files.note_access(tx, {ids[2]: 77}, "opens")
        tx.conn.execute(update(file_rows).where(file_rows.c.file_id == ids[3]).values(leader_id=ids[4], size=9))
        commit.delete_files(tx, [ids[5]], op_id="gone", reason="")

        found = load_again(tx, seen, [*ids, 10**9])

        assert found == load_files(tx, ids)
        assert found[ids[0]].path == b"elsewhere/renamed"
        assert found[ids[1]].pinned is True
        assert (found[ids[2]].last_access_ns, found[ids[3]].leader_id) == (77, ids[4])
        assert {type(row.state) for row in found.values()} == {FileState}
        assert {row.file_id for row in found.values() if row.state is FileState.MIGRATING} == claimed - {ids[5]}
        assert load_again(tx, (), ids[:9]) == load_files(tx, ids[:9])


def test_every_column_of_a_row_seen_before_is_compared(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        ids = [add_file(tx, root_id, b"d/%d" % number, Seen(number, 5)) for number in range(1, 60)]
        seen = list(load_files(tx, ids).values())
        journal.claim_batch(tx, "migrate:1", ids, owner="me", until_ns=1)
        others: dict[str, Any] = {
            "bytes": b"other",
            "str": "other",
            "bool": True,
            "FileState": FileState.DUAL,
            "int": 7,
        }
        for at, name in enumerate(set(FileRow._fields) - {"file_id"}):
            other = next(value for kind, value in others.items() if kind in str(FileRow.__annotations__[name]))
            seen[at] = seen[at]._replace(**{name: other})

        assert load_again(tx, seen, ids) == load_files(tx, ids)
        assert load_again(tx, seen[:1], ids[:1]) == load_files(tx, ids[:1])


def test_a_page_is_made_of_the_rows_as_they_are(catalog: Catalog) -> None:
    """Names of any bytes, numbers of 64 bits, nothing where nothing is."""
    with catalog.write() as tx:
        root_id = add_root(tx)
        names = [bytes({1, byte} - {0, 47}) for byte in range(256)]
        ids = [add_file(tx, root_id, b"d\xff/%d" % number + name, Seen(number, 5)) for number, name in enumerate(names)]
        files.set_pinned(tx, ids[:3], True)
        files.note_access(tx, {ids[4]: 2**62}, "opens")
        files.mark_missing(tx, ids[5:9], op_id="scan:1:1")
        extremes = {"ino": -(2**63), "dev": 2**63 - 1, "mtime_ns": -5, "tier": "st\u00e4ndard", "leader_id": ids[0]}
        tx.conn.execute(update(file_rows).where(file_rows.c.file_id == ids[9]).values(extremes))

        every = sorted(load_files(tx, ids).values(), key=lambda row: (row.dir, row.name))

        assert files.page(tx, root_id) == every
        found = files.page(tx, root_id, limit=7, after=(every[99].dir, every[99].name))
        assert found == every[100:107]
        assert {type(row.state) for row in found} == {FileState}
        assert files.page(tx, root_id, under=b"elsewhere/") == []
