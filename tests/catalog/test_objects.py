"""Objects of buckets under care, on both engines: scans, access, claims, and what moved objects weigh together."""

from tiering.catalog import object_moves, objects
from tiering.catalog.object_moves import Moved, MoveRow
from tiering.catalog.objects import CLASS_NO, Seen, packed_etag
from tiering.catalog.open import Catalog
from tiering.catalog.transaction import Tx
from tiering.clock import FakeClock

STANDARD, IA, INT = CLASS_NO["STANDARD"], CLASS_NO["STANDARD_IA"], CLASS_NO["INTELLIGENT_TIERING"]
ETAG = packed_etag("9e107d9d372bb6826bd81d3542a419d6")
NEVER = 1 << 62


def seen(key: str, size: int = 100, class_no: int = STANDARD, *, modified_s: int = 1000) -> Seen:
    """Return what a scan saw."""
    return key.encode(), size, class_no, ETAG, modified_s, None, 0


def scan(tx: Tx, *found: Seen) -> int:
    """Write one whole scan; return the bucket's id."""
    row = objects.ensure(tx, "lake", "s3://lake")
    number = objects.begin_scan(tx, row.bucket_id)
    objects.write_page(tx, row.bucket_id, found, scan_no=number, as_of_s=NEVER)
    objects.forget_unseen(tx, row.bucket_id, scan_no=number, as_of_s=NEVER, limit=100)
    objects.end_scan(tx, row.bucket_id)
    return row.bucket_id


def keys(tx: Tx, bucket_id: int) -> list[bytes]:
    """Return the keys there are, in the catalog's order."""
    return [facts[0] for page in objects.pages(tx, bucket_id, rows=2) for facts in page]


def test_objects_stand_in_the_order_in_which_s3_lists(catalog: Catalog) -> None:
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("b"), seen("a/ü"), seen("B"), seen("a/u"), seen("a"))
    with catalog.read() as tx:
        assert keys(tx, bucket_id) == [b"B", b"a", b"a/u", "a/ü".encode(), b"b"]
        assert objects.by_class(tx, bucket_id) == {"STANDARD": (5, 500)}


def test_a_scan_refreshes_adds_and_forgets(catalog: Catalog) -> None:
    with catalog.write() as tx:
        scan(tx, seen("a"), seen("b"))
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("b", 7, modified_s=2000), seen("c"))
        row = objects.find(tx, "lake")
        assert keys(tx, bucket_id) == [b"b", b"c"]
        assert objects.get(tx, bucket_id, b"b") == (b"b", 7, STANDARD, ETAG, 2000, 2000, None, 0)
        assert row is not None
        assert (row.scan_no, row.scanned_ns) == (2, tx.now_ns)


def test_an_object_that_stands_in_packs_alone_keeps_its_row_until_something_stands_there_again(
    catalog: Catalog,
) -> None:
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("a"), seen("b"))
        objects.note_stored(tx, bucket_id, [(b"a", STANDARD)])
        scan(tx, seen("b"))
        assert objects.by_class(tx, bucket_id) == {"STANDARD": (1, 100), "FROSTLINE": (1, 100)}
        objects.write_page(tx, bucket_id, [seen("a")], scan_no=1, as_of_s=2000)  # an inventory from before
        assert set(objects.at_keys(tx, bucket_id, [b"a", b"none"])) == {b"a"}
        assert objects.at_keys(tx, bucket_id, [b"a"])[b"a"][2] == CLASS_NO[objects.STORED]
        objects.note_returned(tx, bucket_id, b"a", size=100, etag=ETAG, class_no=IA, modified_s=3000)
        assert objects.by_class(tx, bucket_id) == {"STANDARD": (1, 100), "STANDARD_IA": (1, 100)}
        objects.insert_stored(tx, bucket_id, [(b"c", 7, ETAG, IA)])
        standing = object_moves.standing(tx, bucket_id, now_s=9999, idle_days=(), small_bytes=0)
        assert [object_moves.pair(it) for it in standing] == [("STANDARD_IA", "FROSTLINE")]


def test_reads_only_ever_come_nearer_and_survive_scans(catalog: Catalog) -> None:
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("a"))
        objects.note_access(tx, bucket_id, [(b"a", 500), (b"a", 400), (b"unknown", 1)])
        scan(tx, seen("a"))
        facts = objects.get(tx, bucket_id, b"a")
    assert facts is not None
    assert facts[6] == 500


def test_a_bucket_under_another_url_begins_anew(catalog: Catalog) -> None:
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("a"))
        row = objects.ensure(tx, "lake", "s3://pond")
        assert (row.bucket_id, row.scanned_ns) == (bucket_id, None)
        assert keys(tx, bucket_id) == []


def test_a_change_remembers_where_the_object_was_first(catalog: Catalog, clock: FakeClock) -> None:
    now_s = clock.now_ns() // 10**9
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("a", 100), seen("b", 300_000), seen("c"))
        claims = [MoveRow(bucket_id, key, INT, "run:0", now_s, "rule") for key in (b"a", b"b", b"c")]
        object_moves.claim(tx, claims)
        assert object_moves.under_way(tx, bucket_id) == claims
        moved = [Moved(key, STANDARD, INT, ETAG, now_s) for key in (b"a", b"b")]
        object_moves.settle(tx, bucket_id, [b"a", b"b", b"c"], moved)
        assert object_moves.under_way(tx, bucket_id) == []
        object_moves.settle(tx, bucket_id, [], [Moved(b"b", INT, IA, ETAG, now_s)])
        standing = list(object_moves.standing(tx, bucket_id, now_s=now_s, idle_days=[], small_bytes=128 * 1024))
    assert [(it.was_no, it.class_no, it.count, it.size, it.small) for it in standing] == [
        (STANDARD, INT, 1, 100, 1),
        (STANDARD, IA, 1, 300_000, 0),
    ]


def test_moved_objects_are_told_apart_by_how_long_nobody_read_them(catalog: Catalog, clock: FakeClock) -> None:
    now_s = clock.now_ns() // 10**9
    later_s = now_s + 40 * 86_400
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("a"), seen("b"))
        moved = [Moved(key, STANDARD, INT, ETAG, now_s) for key in (b"a", b"b")]
        object_moves.settle(tx, bucket_id, [], moved)
        objects.note_access(tx, bucket_id, [(b"b", later_s - 86_400)])
        steps = list(object_moves.standing(tx, bucket_id, now_s=later_s, idle_days=[30, 90], small_bytes=10))
    assert [(it.idle_step, it.count) for it in steps] == [(0, 1), (1, 1)]


def test_an_object_that_went_back_or_changed_saves_nothing(catalog: Catalog, clock: FakeClock) -> None:
    now_s = clock.now_ns() // 10**9
    with catalog.write() as tx:
        bucket_id = scan(tx, seen("a"), seen("b"))
        object_moves.settle(tx, bucket_id, [], [Moved(key, STANDARD, IA, ETAG, now_s) for key in (b"a", b"b")])
        object_moves.settle(tx, bucket_id, [], [Moved(b"a", IA, STANDARD, ETAG, now_s)])
        scan(tx, seen("a", modified_s=now_s), (b"b", 100, IA, packed_etag("another"), now_s + 9, None, 0))
        assert list(object_moves.standing(tx, bucket_id, now_s=now_s, idle_days=[], small_bytes=0)) == []
