"""What the catalog adds up is what its rows say, of all of them or of one folder, however large its stretches are."""

from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from tests.catalog.rows import Seen, Storage, add_file, add_root, recipe_of
from tiering.catalog import files, sums, transaction
from tiering.catalog.open import Catalog
from tiering.catalog.tables import files as file_rows
from tiering.catalog.totals import alike, totals_of, unstored_below
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow

PATHS = tuple(b"%s/%02d" % (folder, number) for folder in (b"a", b"a/b", b"c") for number in range(12))


def _store(tx: Tx, storage: Storage, name: str) -> int:
    """Some files are not stored, some missing, some pinned, some further names of one inode."""
    root_id = add_root(tx, name)
    ids = [add_file(tx, root_id, path, Seen(number, 10 + number)) for number, path in enumerate(PATHS, 1)]
    stored = [
        (file_id, recipe_of(file_id, ["x", f"{name}{number % 5}"])) for number, file_id in enumerate(ids) if number % 3
    ]
    assert storage.store(stored, ["x", *(f"{name}{number}" for number in range(5))]) == []
    files.mark_missing(tx, ids[30:33], op_id=f"scan:9:{root_id}")
    tx.conn.execute(update(file_rows).where(file_rows.c.file_id.in_(ids[3:6])).values(pinned=True))
    tx.conn.execute(update(file_rows).where(file_rows.c.file_id.in_(ids[7:8])).values(leader_id=ids[10]))
    return root_id


def _kind(row: FileRow) -> tuple[object, ...]:
    return row.state, row.tier, row.pinned, row.is_leader, row.recipe_no is None


def _expected(rows: list[FileRow]) -> dict[tuple[object, ...], tuple[int, int]]:
    counts, sizes = Counter(map(_kind, rows)), Counter[tuple[object, ...]]()
    for row in rows:
        sizes[_kind(row)] += row.size
    return {kind: (count, sizes[kind]) for kind, count in counts.items()}


@pytest.fixture
def roots(catalog: Catalog) -> Iterator[tuple[Tx, int, int]]:
    with catalog.write() as tx:
        storage = Storage(tx)
        yield tx, _store(tx, storage, "one"), _store(tx, storage, "two")


@pytest.mark.parametrize("under", [b"", b"a/", b"a/b/", b"nowhere/"])
def test_names_that_agree_are_added_up(roots: tuple[Tx, int, int], under: bytes) -> None:
    tx, root_id, _ = roots
    rows = files.page(tx, root_id, under=under)
    groups = alike(tx, root_id, under=under)
    assert {_kind(group.example): (group.files, group.size_bytes) for group in groups} == _expected(rows)
    assert all(group.example in rows for group in groups)
    unstored = [row for row in rows if row.recipe_no is None and row.state != "missing"]
    assert unstored_below(tx, root_id, under=under) == len(unstored)


def test_an_inode_counts_once_in_its_state(roots: tuple[Tx, int, int]) -> None:
    tx, *root_ids = roots
    leaders = [row for root_id in root_ids for row in files.page(tx, root_id) if row.is_leader]
    assert len(leaders) == 2 * (len(PATHS) - 1)
    every = {state: total.files for state, total in totals_of(tx).items()}
    assert every == Counter(row.state for row in leaders)
    of_one = [total.size_bytes for total in totals_of(tx, root_id=root_ids[0]).values()]
    assert sum(of_one) == sum(row.size for row in leaders if row.root_id == root_ids[0])


def test_the_books_are_the_same_by_stretches_of_any_length(
    roots: tuple[Tx, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tx, *_ = roots
    whole = sums.recomputed(tx)
    assert len(whole) > 5
    for length in (1, 7):
        monkeypatch.setattr(transaction, "STRETCH_NUMBERS", length)
        assert sums.recomputed(tx) == whole
