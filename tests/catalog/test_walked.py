"""The quick ways of a scan into the files table say the same as the careful ones, on both engines."""

from tests.catalog.rows import Seen, add_root, new_file
from tiering.catalog import files, sums, walked
from tiering.catalog.open import Catalog
from tiering.catalog.tables import files as files_table
from tiering.catalog.transaction import COPY_ROWS, STATEMENT_ROWS, fetch_raw, insert_many
from tiering.catalog.values import FileState, NewFile
from tiering.catalog.walked import FreshFile, KnownFile

MANY = STATEMENT_ROWS + COPY_ROWS + 1  # more than one statement of either engine, and a remainder
NAMES = [b"plain", b"tab\tand\nline", b"back\\slash", b"\\.", b"\x00?\xff\xfe", b"'quote\"", "é€".encode()]


def made(root_id: int, number: int) -> NewFile:
    path = b"d%02d/" % (number % 7) + NAMES[number % len(NAMES)] + b"%d" % number
    seen = Seen(1 << 40 | number, 3 * number, mtime_ns=-number, ctime_ns=1 << 60)
    return new_file(root_id, path, seen)._replace(last_access_ns=number if number % 2 else None)


def fresh(row: NewFile) -> FreshFile:
    identity = row.dir, row.name, row.size, row.mtime_ns, row.ctime_ns, row.dev, row.ino
    return (*identity, row.nlink, row.mode, row.uid, row.gid, row.last_access_ns)


def test_fresh_files_are_the_rows_that_the_careful_way_makes_and_are_booked(catalog: Catalog) -> None:
    with catalog.write() as tx:
        one, other = add_root(tx, "one"), add_root(tx, "other")
        rows = [made(one, number) for number in range(MANY)]
        walked.add_fresh(tx, one, [fresh(row) for row in rows], access_quality="none", op_id="scan:1:1")
        files.add_new(tx, [row._replace(root_id=other) for row in rows], op_id="scan:2:1")

        quick = [row._replace(file_id=0, root_id=0) for row in files.every(tx, one)]
        careful = [row._replace(file_id=0, root_id=0) for row in files.every(tx, other)]
        assert quick == careful
        assert len(quick) == MANY
        assert sums.differences(tx) == {}
        assert files.count(tx, root_id=one) == MANY


def test_known_pages_are_the_roots_rows_in_walk_order(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id, empty = add_root(tx, "one"), add_root(tx, "other")
        rows = [made(root_id, number) for number in range(60)]
        walked.add_fresh(tx, root_id, [fresh(row) for row in rows], access_quality="none", op_id="scan:1:1")
    found: list[KnownFile] = []
    with catalog.read() as tx:
        while page := walked.known_page(tx, root_id, after=found[-1][:2] if found else None, limit=7):
            found += map(KnownFile._make, page)
        assert walked.known_page(tx, empty, after=None, limit=7) == []
        expected = [
            KnownFile(
                row.dir, row.name, row.mtime_ns, row.ctime_ns, row.dev, row.ino, row.size, row.nlink, row.mode,
                str(row.state), row.access_quality, row.last_access_ns, row.file_id,
            )
            for row in files.every(tx, root_id)
        ]  # fmt: skip
    assert found == expected


def test_missing_files_are_found_and_not_counted(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        walked.add_fresh(
            tx, root_id, [fresh(made(root_id, n)) for n in range(9)], access_quality="none", op_id="scan:1:1"
        )
        ids = [row.file_id for row in files.every(tx, root_id)]
        files.mark_missing(tx, ids[:4], op_id="scan:2:1")
        assert files.count(tx) == 5
        assert [row.file_id for row in files.by_state(tx, [FileState.MISSING])] == sorted(ids[:4])
        assert files.device_of(tx, root_id) == 1


def test_one_row_and_no_row_are_inserted_as_many_are(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        same: dict[str, int | str] = {
            "root_id": root_id,
            "state": "it's",
            "pinned": False,
            "first_seen_ns": 1,
            "access_quality": "",
        }
        columns = tuple(name for name in NewFile._fields if name not in {"root_id", "access_quality"})
        row = made(root_id, 1)
        insert_many(tx, files_table, columns, [], constants=same)
        insert_many(tx, files_table, columns, [tuple(getattr(row, name) for name in columns)], constants=same)
        assert fetch_raw(tx, "SELECT state, name, size FROM files WHERE root_id = ? AND size > ?", (root_id, 0)) == [
            ("it's", row.name, row.size)
        ]
