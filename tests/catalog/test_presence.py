"""The filter in front of the chunk index knows every committed chunk, between runs and whatever becomes of its file."""

from pathlib import Path

import pytest

from dedup.values import Fingerprint
from tests.catalog.rows import Seen, Storage, add_file, add_root, name_of, recipe_of
from tiering.catalog.open import Catalog, open_catalog
from tiering.catalog.presence import FILE, ChunkFilter, open_filter
from tiering.clock import FakeClock

WORDS = [f"word {number}" for number in range(40)]


PAGE_ROWS = 7


def names(words: list[str]) -> list[Fingerprint]:
    return [name_of(word)[0] for word in words]


def store(catalog: Catalog, words: list[str], number: int = 1) -> None:
    """Commit a file of these chunks."""
    with catalog.write() as tx:
        root_id = add_root(tx, f"root{number}")
        file_id = add_file(tx, root_id, b"file", Seen(number, recipe_of(number, words).size))
        assert Storage(tx, number=100 * number).store([(file_id, recipe_of(number, words))], words) == []


def known(found: ChunkFilter, words: list[str]) -> set[Fingerprint]:
    return set(found.may_hold(names(words)))


def test_every_chunk_of_the_catalog_is_worth_a_query_and_nearly_no_other(catalog: Catalog, tmp_path: Path) -> None:
    store(catalog, WORDS)
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        assert found.may_hold(names(WORDS)) == names(WORDS)
        assert found.may_hold([]) == []
        assert len(known(found, [f"other {number}" for number in range(500)])) < 10


def test_an_empty_catalog_has_nothing_worth_asking_for(catalog: Catalog, tmp_path: Path) -> None:
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        assert known(found, WORDS) == set()
    assert not (tmp_path / FILE).exists()


def test_chunks_of_this_run_and_of_other_processes_are_taken_in(catalog: Catalog, tmp_path: Path) -> None:
    store(catalog, WORDS[:10])
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        found.add(names(WORDS[10:20]))
        assert known(found, WORDS[:20]) == set(names(WORDS[:20]))
        store(catalog, WORDS[20:], number=2)
        assert known(found, WORDS[20:]) == set()
        found.refresh()
        assert known(found, WORDS) == set(names(WORDS))


def test_it_is_taken_up_again_and_brought_up_to_date(catalog: Catalog, tmp_path: Path) -> None:
    store(catalog, WORDS[:10])
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        found.add(names(["only in memory"]))
    store(catalog, WORDS[10:], number=2)
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        assert known(found, WORDS) == set(names(WORDS))
        assert known(found, ["only in memory"])  # so it was the file, not the rows alone


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "another catalog's", "a folder"])
def test_a_file_that_does_not_fit_is_made_anew(catalog: Catalog, tmp_path: Path, damage: str, clock: FakeClock) -> None:
    store(catalog, WORDS)
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        found.add(names(["only in memory"]))
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-1]
    elif damage == "flipped":
        data[len(data) // 2] ^= 1
    elif damage == "empty":
        data = bytearray()
    elif damage == "another catalog's":
        data[8:40] = b"0" * 32
    path.write_bytes(data)
    if damage == "a folder":
        path.unlink()
        path.mkdir()
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        assert known(found, WORDS) == set(names(WORDS))
        assert known(found, ["only in memory"]) == set()


def test_what_a_killed_process_left_of_it_is_written_over(catalog: Catalog, tmp_path: Path) -> None:
    store(catalog, WORDS)
    (tmp_path / f"{FILE}.new").write_bytes(b"half")
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS):
        pass
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(FILE)] == [FILE]


def test_a_catalog_put_back_from_a_copy_does_not_inherit_a_later_filter(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "catalog.db"
    catalog = open_catalog(f"sqlite:///{path}", clock=clock, create=True)
    store(catalog, WORDS[:10])
    catalog.close()
    copy = path.read_bytes()
    catalog = open_catalog(f"sqlite:///{path}", clock=clock)
    store(catalog, WORDS[10:20], number=2)
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS):
        pass
    catalog.close()
    path.write_bytes(copy)
    catalog = open_catalog(f"sqlite:///{path}", clock=clock)
    store(catalog, WORDS[20:30], number=2)  # under the numbers of those that are gone
    with open_filter(catalog, str(tmp_path), page_rows=PAGE_ROWS) as found:
        assert known(found, WORDS[20:30]) == set(names(WORDS[20:30]))
    catalog.close()


def test_a_folder_that_cannot_be_written_only_costs_time(catalog: Catalog, tmp_path: Path) -> None:
    store(catalog, WORDS)
    for _ in range(2):
        with open_filter(catalog, str(tmp_path / "gone")) as found:
            assert known(found, WORDS) == set(names(WORDS))
