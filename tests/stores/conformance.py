"""The contract of tiering.stores.base as tests. Every provider, bare and wrapped, passes the same ones.

A test file names its provider by a fixture `bench` and collects these by subclassing StoreConformance.
"""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from dedup.values import Span
from tests.stores.bench import Bench
from tiering.errors import (
    ChecksumRefused,
    IntegrityError,
    NotOwner,
    ObjectExists,
    ObjectMissing,
    StoreDenied,
)
from tiering.stores import ownership
from tiering.stores.base import ObjectInfo, Readability, Store
from tiering.stores.checksum import checksum_of
from tiering.stores.probe import probe
from tiering.stores.verified import put_verified

BODY = bytes(range(256)) * 40


def put(store: Store, key: str, body: bytes = BODY, *, if_absent: bool = True, checksum: str = "") -> ObjectInfo:
    """Put *body* under *key* as STANDARD."""
    return store.put(
        key,
        io.BytesIO(body),
        size_bytes=len(body),
        checksum=checksum or checksum_of(body),
        storage_class="STANDARD",
        if_absent=if_absent,
    )


class StoreConformance:
    """See the module docstring."""

    def test_what_is_put_is_what_the_provider_holds_and_what_get_returns(self, bench: Bench) -> None:
        put(bench.store, "packs/ab/one")

        assert bench.raw.read("packs/ab/one") == BODY
        assert bench.store.get("packs/ab/one") == BODY

    def test_an_object_written_behind_the_stores_back_is_read(self, bench: Bench) -> None:
        bench.raw.write("packs/cd/raw", b"put there by another program")

        assert bench.store.get("packs/cd/raw") == b"put there by another program"
        assert bench.store.head("packs/cd/raw").size_bytes == 28

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 1), (0, len(BODY)), (5, 300), (len(BODY) - 1, 1), (7, 0), (len(BODY), 0)]
    )
    def test_a_span_is_returned_exactly(self, bench: Bench, start: int, length: int) -> None:
        put(bench.store, "span")

        assert bench.store.get("span", Span(start, length)) == BODY[start : start + length]

    @pytest.mark.parametrize("span", [Span(len(BODY) - 2, 3), Span(len(BODY) + 10, 1)])
    def test_a_span_that_the_object_does_not_have_is_an_integrity_error(self, bench: Bench, span: Span) -> None:
        put(bench.store, "span")

        with pytest.raises(IntegrityError):
            bench.store.get("span", span)

    def test_an_empty_object_is_an_object(self, bench: Bench) -> None:
        put(bench.store, "empty", b"")

        assert bench.store.get("empty") == b""
        assert bench.store.head("empty").size_bytes == 0

    def test_only_size_bytes_from_the_current_position_are_put(self, bench: Bench) -> None:
        body = io.BytesIO(b"before|object|after")
        body.seek(7)

        bench.store.put("window", body, size_bytes=6, checksum=checksum_of(b"object"), storage_class="STANDARD")

        assert bench.raw.read("window") == b"object"

    def test_a_body_that_ends_early_is_refused_and_leaves_nothing(self, bench: Bench) -> None:
        with pytest.raises(ChecksumRefused):
            bench.store.put(
                "short", io.BytesIO(b"abc"), size_bytes=10, checksum=checksum_of(b"abc"), storage_class="STANDARD"
            )

        assert bench.raw.keys() == []
        assert bench.raw.uploads() == 0

    def test_put_and_head_say_the_same(self, bench: Bench) -> None:
        stored = put(bench.store, "packs/ef/two")
        seen = bench.store.head("packs/ef/two")

        assert (seen.key, seen.size_bytes, seen.storage_class, seen.etag) == (
            "packs/ef/two",
            len(BODY),
            "STANDARD",
            stored.etag,
        )
        assert seen.readability is Readability.INSTANT
        assert seen.checksum in {"", checksum_of(BODY)}
        assert seen.modified_ns > 0

    def test_an_absent_object_is_missing(self, bench: Bench) -> None:
        put(bench.store, "there")

        with pytest.raises(ObjectMissing):
            bench.store.get("absent")
        with pytest.raises(ObjectMissing):
            bench.store.get("absent", Span(0, 1))
        with pytest.raises(ObjectMissing):
            bench.store.head("absent")
        with pytest.raises(ObjectMissing):
            bench.store.get("there/below")

    def test_a_taken_key_is_never_replaced(self, bench: Bench) -> None:
        put(bench.store, "once", b"first")

        with pytest.raises(ObjectExists):
            put(bench.store, "once", b"second")

        assert bench.raw.read("once") == b"first"

    def test_of_many_creating_one_key_exactly_one_wins(self, bench: Bench) -> None:
        def attempt(number: int) -> bool:
            try:
                put(bench.store, "race", b"%03d" % number * 100)
            except ObjectExists:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(attempt, range(16)))

        assert sum(won) == 1
        assert bench.raw.read("race") == b"%03d" % won.index(True) * 100

    def test_a_put_may_replace_when_told_so(self, bench: Bench) -> None:
        put(bench.store, "record", b"old")
        put(bench.store, "record", b"newer", if_absent=False)

        assert bench.raw.read("record") == b"newer"

    def test_p1_bytes_other_than_announced_are_not_taken_for_proven(self, bench: Bench) -> None:
        capabilities = probe(bench.store, storage_classes=["STANDARD"], nonce="n1")
        wrong = checksum_of(b"other bytes")

        with pytest.raises(ChecksumRefused):
            put_verified(
                bench.store,
                capabilities,
                "packs/wrong",
                io.BytesIO(BODY),
                size_bytes=len(BODY),
                checksum=wrong,
                storage_class="STANDARD",
            )

        assert "packs/wrong" not in bench.raw.keys()  # noqa: SIM118  # Raw is no mapping

    def test_listing_is_in_key_order_and_complete(self, bench: Bench) -> None:
        keys = ["a/b", "a-c", "a/ä é+&=%41", "b/2", "b/10", "c"]
        for key in keys:
            bench.raw.write(key, key.encode())

        listed = list(bench.store.list())

        # SeaweedFS sorts by component ("a/b" before "a-c"); frostline's own keys come in the same order either way.
        in_order = sorted(keys, key=str.encode)
        if bench.orders_by_component:
            in_order = sorted(keys, key=lambda key: [part.encode() for part in key.split("/")])
        assert [item.key for item in listed] == in_order
        assert [item.size_bytes for item in listed] == [len(key.encode()) for key in in_order]

    def test_a_listing_can_be_limited_to_a_prefix_and_resumed(self, bench: Bench) -> None:
        for key in ("packs/00/a", "packs/00/b", "packs/01/a", "packs/02/a", "recipes/00/a"):
            bench.raw.write(key, b"x")

        def listed(prefix: str, start_after: str = "") -> list[str]:
            return [item.key for item in bench.store.list(prefix, start_after=start_after)]

        assert listed("packs/0") == ["packs/00/a", "packs/00/b", "packs/01/a", "packs/02/a"]
        assert listed("packs/00/") == ["packs/00/a", "packs/00/b"]
        assert listed("packs/", "packs/00/b") == ["packs/01/a", "packs/02/a"]
        assert listed("packs/", "packs/00/zz") == ["packs/01/a", "packs/02/a"]
        assert listed("packs/00/a") == ["packs/00/a"]
        assert listed("nothing/") == []

    def test_a_deleted_object_is_gone_and_deleting_again_is_fine(self, bench: Bench) -> None:
        put(bench.store, "packs/gone")

        bench.store.delete("packs/gone")
        bench.store.delete("packs/gone")
        bench.store.delete("never/was/there")

        assert bench.raw.keys() == []

    def test_a_conditional_delete_spares_another_version(self, bench: Bench) -> None:
        stored = put(bench.store, "packs/v", b"one")

        with pytest.raises(ObjectExists):
            bench.store.delete("packs/v", etag='"0123456789abcdef0123456789abcdef"')
        assert bench.raw.read("packs/v") == b"one"

        bench.store.delete("packs/v", etag=stored.etag)
        bench.store.delete("packs/v", etag=stored.etag)
        assert bench.raw.keys() == []

    @pytest.mark.parametrize(
        "key", ["", "/etc/passwd", "../up", "a/../../b", "a//b", "a/./b", "a/", "a\0b", "x" * 256, "\udc80", ".tmp/x"]
    )
    def test_a_key_that_could_leave_the_store_is_refused(self, bench: Bench, key: str) -> None:
        with pytest.raises(StoreDenied):
            put(bench.store, key)
        with pytest.raises(StoreDenied):
            bench.store.get(key)
        with pytest.raises(StoreDenied):
            bench.store.delete(key)

        assert bench.raw.keys() == []

    def test_unfinished_uploads_are_listed_and_can_be_aborted(self, bench: Bench) -> None:
        put(bench.store, "packs/finished")
        bench.raw.begin_upload("packs/half")
        assert [upload.key for upload in bench.store.list_uploads()] == ["packs/half"]
        assert [upload.key for upload in bench.store.list_uploads("recipes/")] == []
        (upload,) = bench.store.list_uploads("packs/")

        bench.store.abort_upload(upload)
        bench.store.abort_upload(upload)

        assert bench.raw.uploads() == 0
        assert bench.raw.keys() == ["packs/finished"]

    def test_many_threads_may_use_one_store(self, bench: Bench) -> None:
        def there_and_back(number: int) -> bytes:
            put(bench.store, f"packs/{number:02x}/t", b"%d" % number * 500)
            return bench.store.get(f"packs/{number:02x}/t")

        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(there_and_back, range(24)))

        assert got == [b"%d" % number * 500 for number in range(24)]

    def test_the_probe_finds_what_the_store_does_and_leaves_nothing(self, bench: Bench) -> None:
        classes = ["STANDARD", "GLACIER"] if bench.archives else ["STANDARD"]

        capabilities = probe(bench.store, storage_classes=classes, nonce="n2")

        assert capabilities.conditional_put
        assert capabilities.verifies_checksum == bench.verifies_checksum
        assert capabilities.keeps_class
        assert capabilities.archives == bench.archives
        assert bench.raw.keys() == []
        assert bench.raw.uploads() == 0

    def test_a_store_has_one_owner(self, bench: Bench) -> None:
        first = ownership.claim(bench.store, "catalog-a", "store-01", 1_700_000_000 * 10**9)

        assert ownership.claim(bench.store, "catalog-a", "store-99", 1) == first
        with pytest.raises(NotOwner, match="catalog-a"):
            ownership.claim(bench.store, "catalog-b", "store-02", 1)
        assert ownership.check(bench.store, "catalog-a", 1) == first

    def test_a_rebuilt_catalog_takes_over_and_the_old_one_is_refused(self, bench: Bench) -> None:
        ownership.claim(bench.store, "old", "store-01", 1)

        taken = ownership.take_over(bench.store, "new", 2)

        assert (taken.store_id, taken.epoch) == ("store-01", 2)
        with pytest.raises(NotOwner):
            ownership.check(bench.store, "old", 1)
        assert ownership.check(bench.store, "new", 2) == taken

    def test_p5_a_store_without_its_record_is_nobodys(self, bench: Bench) -> None:
        with pytest.raises(NotOwner, match=r"frostline\.json"):
            ownership.check(bench.store, "catalog-a", 1)
