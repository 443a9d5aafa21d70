"""Files as scans see them: order, missing and found again, hard links, pins, totals."""

from tests.catalog.rows import Seen, Storage, add_file, add_root, new_file, recipe_of
from tiering.catalog import commit, files, sums
from tiering.catalog.open import Catalog
from tiering.catalog.totals import StateTotal, totals_of
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState, PlacedFile, ScannedFile

LATER = 2_000_000_000_000_000_000


def seen_as(row: FileRow, **other: object) -> ScannedFile:
    """What a scan would report of an unchanged row, but for *other*."""
    found = ScannedFile(
        file_id=row.file_id,
        size=row.size,
        mtime_ns=row.mtime_ns,
        ctime_ns=row.ctime_ns,
        dev=row.dev,
        ino=row.ino,
        nlink=row.nlink,
        mode=row.mode,
        uid=row.uid,
        gid=row.gid,
        last_access_ns=row.last_access_ns,
        access_quality=row.access_quality,
    )
    return found._replace(**other)  # type: ignore[arg-type]  # fields by name


def get(tx: Tx, file_id: int) -> FileRow:
    return files.by_ids(tx, [file_id])[file_id]


def scan(tx: Tx, *found: ScannedFile) -> None:
    files.update_scanned(tx, found, op_id="scan:2:1", keep_until_ns=LATER)


def stored(tx: Tx, path: bytes = b"a") -> int:
    file_id = add_file(tx, add_root(tx), path, Seen(1, 5))
    Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
    return file_id


def test_pages_follow_the_walk_byte_by_byte(catalog: Catalog) -> None:
    paths = [b"z", b"a/b", b"a/b/c", b"a.txt", b"a/\xff", b"\xc3\xa4/x", b"a/B", b"a/b/\x01"]
    with catalog.write() as tx:
        root_id, other = add_root(tx), add_root(tx, "other")
        for number, path in enumerate(paths):
            add_file(tx, root_id, path, Seen(number, 1))
        add_file(tx, other, b"elsewhere", Seen(99, 1))

    with catalog.read() as tx:
        rows = list(files.every(tx, root_id, page_rows=3))
        assert [(row.dir, row.name) for row in rows] == sorted((row.dir, row.name) for row in rows)
        assert sorted(row.path for row in rows) == sorted(paths)
        assert {row.path for row in files.page(tx, root_id, under=b"a/")} == {
            b"a/b",
            b"a/b/c",
            b"a/\xff",
            b"a/B",
            b"a/b/\x01",
        }


def test_rows_are_found_by_their_paths_many_at_once(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id, other = add_root(tx), add_root(tx, "other")
        for number, path in enumerate([b"a", b"d/a", b"d/\xff", b"d/e/a"]):
            add_file(tx, root_id, path, Seen(number, 1))
        add_file(tx, other, b"d/b", Seen(9, 1))

    with catalog.read() as tx:
        wanted = [(b"", b"a"), (b"d/", b"\xff"), (b"d/", b"b"), (b"d/e/", b"a"), (b"gone/", b"a")]
        found = files.at_paths(tx, root_id, wanted)
        assert {place: (row.root_id, row.path) for place, row in found.items()} == {
            (b"", b"a"): (root_id, b"a"),
            (b"d/", b"\xff"): (root_id, b"d/\xff"),
            (b"d/e/", b"a"): (root_id, b"d/e/a"),
        }
        assert all(row == files.get(tx, root_id, *place) for place, row in found.items())


def test_p5_a_missing_file_keeps_its_copy_and_comes_back(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = stored(tx)
        files.mark_missing(tx, [file_id], op_id="scan:1:1")
        gone = get(tx, file_id)
        assert (gone.state, gone.missing_from, gone.missing_since_ns) == (FileState.MISSING, "dual", tx.now_ns)
        assert gone.recipe_no == 1

        scan(tx, seen_as(gone))
        assert get(tx, file_id).state == FileState.DUAL
        assert get(tx, file_id).missing_since_ns is None


def test_a_changed_dual_file_is_regular_and_its_copy_a_version(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = stored(tx)
        scan(tx, seen_as(get(tx, file_id), ctime_ns=77))

        assert (get(tx, file_id).state, get(tx, file_id).recipe_no) == (FileState.REGULAR, None)
        assert sums.differences(tx) == {}


def test_p7_a_file_where_a_placeholder_stood_is_a_new_file(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = stored(tx)
        commit.set_offline(tx, [PlacedFile(file_id, Seen(9, 60))], op_id="r")
        scan(tx, seen_as(get(tx, file_id), size=123))

        row = get(tx, file_id)
        assert (row.state, row.size, row.recipe_no) == (FileState.REGULAR, 123, None)


def test_a_placeholder_at_a_missing_files_path_makes_it_offline(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = stored(tx)
        commit.set_offline(tx, [PlacedFile(file_id, Seen(9, 60))], op_id="r")
        files.mark_missing(tx, [file_id], op_id="scan:1:1")
        scan(tx, seen_as(get(tx, file_id), size=60, ino=10, is_placeholder=True))

        row = get(tx, file_id)
        assert (row.state, row.size, row.ino) == (FileState.OFFLINE, 17, 10)


def test_hard_links_are_counted_once_and_stored_together(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        names = [new_file(root_id, name, Seen(1, 17), nlink=3) for name in (b"a", b"b", b"c")]
        one, two, three = files.add_new(tx, names, op_id="scan:1:1")
        assert [get(tx, n).leader_id for n in (one, two, three)] == [None, one, one]
        assert totals_of(tx)[FileState.REGULAR] == StateTotal(1, 17)

        Storage(tx).store([(one, recipe_of(1, ["x"]))], ["x"])
        assert {row.state for row in files.links_of(tx, one)} == {FileState.DUAL}
        assert {row.recipe_no for row in files.links_of(tx, one)} == {1}

        files.mark_missing(tx, [one], op_id="scan:2:1")
        assert get(tx, two).leader_id is None
        assert (get(tx, two).recipe_no, get(tx, three).leader_id) == (1, two)
        assert get(tx, one).recipe_no is None
        assert sums.differences(tx) == {}


def test_a_link_that_parts_from_its_inode_leads_itself(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        names = [new_file(root_id, name, Seen(1, 17), nlink=2) for name in (b"a", b"b")]
        one, two = files.add_new(tx, names, op_id="scan:1:1")
        Storage(tx).store([(one, recipe_of(1, ["x"]))], ["x"])
        scan(tx, seen_as(get(tx, one), ino=5, nlink=1))  # the leader's name was replaced by rename

        assert (get(tx, one).state, get(tx, one).recipe_no) == (FileState.REGULAR, None)
        assert (get(tx, two).state, get(tx, two).recipe_no, get(tx, two).leader_id) == (FileState.DUAL, 1, None)
        assert sums.differences(tx) == {}


def test_access_evidence_never_goes_back(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        files.note_access(tx, {file_id: 100}, "opens")
        files.note_access(tx, {file_id: 50}, "atime")

        assert (get(tx, file_id).last_access_ns, get(tx, file_id).access_quality) == (100, "opens")


def test_inode_numbers_beyond_63_bits_are_kept_apart(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        huge = (1 << 64) - 2
        file_id = add_file(tx, root_id, b"a", Seen(huge, 5))

        assert [row.file_id for row in files.by_inode(tx, 1, huge)] == [file_id]
        assert files.by_inode(tx, 1, 2) == []
