"""What of a tree is stored, by the page: the rows that the plain page has, and no more of them than is wanted."""

from collections.abc import Iterator

import pytest
from sqlalchemy import update

from tests.catalog.rows import Seen, Storage, add_file, add_root, recipe_of
from tiering.catalog import files, recipes
from tiering.catalog.open import Catalog
from tiering.catalog.stored_rows import StoredRow, inode_of, recipe_rows, stored_page
from tiering.catalog.tables import files as file_rows
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState

PATHS = (b"a", b"z", b"\xe9", *(b"b/" + bytes([byte, 255]) for byte in range(1, 46)), b"b/c/2", b"b0/x")


def _store(tx: Tx) -> int:
    """Every third file is not stored, some are missing, some have several names."""
    root_id = add_root(tx)
    ids = [add_file(tx, root_id, path, Seen(number, 5)) for number, path in enumerate(PATHS, 1)]
    stored = [(file_id, recipe_of(number, ["x"])) for number, file_id in enumerate(ids) if number % 3]
    assert Storage(tx).store(stored, ["x"]) == []
    files.mark_missing(tx, ids[30:36], op_id="scan:9:1")
    tx.conn.execute(update(file_rows).where(file_rows.c.file_id.in_(ids[10:20])).values(nlink=2))
    tx.conn.execute(update(file_rows).where(file_rows.c.file_id.in_(ids[15:20])).values(leader_id=ids[10]))
    return root_id


def _stored(rows: list[FileRow]) -> Iterator[StoredRow]:
    for row in rows:
        if row.recipe_no is not None and row.state != FileState.MISSING:
            yield StoredRow(row.dir, row.name, row.recipe_no, inode_of(row))


@pytest.mark.parametrize("under", [b"", b"b/", b"b/c/", b"nowhere/"])
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_of_stored_files_are_the_pages_of_files(catalog: Catalog, under: bytes, limit: int) -> None:
    with catalog.write() as tx:
        root_id = _store(tx)
        every = files.page(tx, root_id, under=under)
        found: list[StoredRow] = []
        after: tuple[bytes, bytes] | None = None
        for _ in range(len(every) // limit + 1):
            rows, end = stored_page(tx, root_id, after=after, limit=limit, under=under)
            page = files.page(tx, root_id, after=after, limit=limit, under=under)
            assert rows == list(_stored(page))
            assert end == ((page[-1].dir, page[-1].name) if len(page) == limit else None)
            found, after = found + rows, end
        assert after is None
        assert found == list(_stored(every))
        assert {row.inode_of for row in found} == {inode_of(row) for row in every if row.recipe_no is not None}


def test_the_names_of_a_file_share_its_leader(catalog: Catalog) -> None:
    with catalog.write() as tx:
        rows, _ = stored_page(tx, _store(tx), after=None, limit=1000, under=b"")
        inodes = [row.inode_of for row in rows if row.inode_of is not None]
        assert 1 < len(set(inodes)) < len(inodes)
        assert None in {row.inode_of for row in rows}


def test_recipes_fetched_together_are_those_fetched_by_number(catalog: Catalog) -> None:
    with catalog.write() as tx:
        rows, _ = stored_page(tx, _store(tx), after=None, limit=1000, under=b"")
        numbers = {row.recipe_no for row in rows}
        assert len(numbers) > 20
        found = recipe_rows(tx, numbers | {10**6})
        assert found == recipes.by_numbers(tx, numbers)
        assert {*map(type, found[max(numbers)])} == {*map(type, recipes.by_numbers(tx, numbers)[max(numbers)])}
        assert recipe_rows(tx, set()) == {}
