"""Where the chunks of many files are: each file's as if it were asked about alone."""

from tests.catalog.rows import Seen, Storage, add_file, add_root, name_of, recipe_of
from tiering.catalog import packs
from tiering.catalog.located import locate_together
from tiering.catalog.open import Catalog

WORDS = {1: ["a", "bb"], 2: ["bb", "ccc", "a"], 3: ["dddd"], 4: ["a<dddd", "bb"]}


def _store(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        known: set[str] = set()
        for number, words in WORDS.items():
            file_id = add_file(tx, root_id, b"%d" % number, Seen(number, 5))
            new = [word for word in words if word not in known]
            assert storage.store([(file_id, recipe_of(number, words))], new) == []
            known.update(words)


def test_files_that_share_chunks_find_them_in_one_place(catalog: Catalog) -> None:
    _store(catalog)
    with catalog.read() as tx:
        together = locate_together(tx, [1, 2, 3, 4])
        assert together.keys() == {1, 2, 3, 4}
        for number in WORDS:
            alone = packs.locate(tx, number)
            assert alone.items() <= together[number].items()
            assert locate_together(tx, [number]) == {number: alone}
        assert {name_of(word)[1] for word in ("a<dddd", "bb", "dddd")} <= together[4].keys()
        assert locate_together(tx, []) == {}


def test_a_file_without_chunks_has_no_places(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"empty", Seen(1, 0))
        assert Storage(tx).store([(file_id, recipe_of(1, []))], []) == []
    with catalog.read() as tx:
        assert locate_together(tx, [1]) == {1: {}}


def test_where_a_digest_stands_twice_each_file_reads_its_own_copy(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        cold, warm, other = (add_file(tx, root_id, b"%d" % ino, Seen(ino, 5)) for ino in (1, 2, 3))
        storage.store([(cold, recipe_of(1, ["x"]))], ["x"], tier="archive", tiers=("standard", "archive"))
        storage.store([(warm, recipe_of(2, ["x"]))], ["x"])
        storage.store([(other, recipe_of(3, ["y"]))], ["y"])
        together = locate_together(tx, [1, 2, 3])
        assert together == packs.locate_all(tx, [1, 2, 3])
        assert [together[number][name_of("x")[1]].block.tier for number in (1, 2)] == ["archive", "standard"]
