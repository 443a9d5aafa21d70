"""Commits of migrate and what follows: rejections, idempotency, tiers, versions, placeholders, and packs that
are given up.
"""

import json

import pytest
from sqlalchemy import select

from tests.catalog.rows import FRAMING, Seen, Storage, add_file, add_root, name_of, raw_len, recipe_of
from tiering.catalog import commit, files, ledger, packs, recipes, segments, sums, tables, versions
from tiering.catalog.open import Catalog
from tiering.catalog.transaction import Tx
from tiering.catalog.values import AdoptedFile, FileState, PackState, PlacedFile, StoredBatch
from tiering.clock import NS_PER_DAY


def records_of(tx: Tx) -> list[dict[str, object]]:
    return [json.loads(text) for text in tx.conn.execute(select(tables.outbox.c.record)).scalars()]


def test_two_equal_files_share_their_chunks(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        one, two = add_file(tx, root_id, b"a", Seen(1, 5)), add_file(tx, root_id, b"b", Seen(2, 5))
        storage = Storage(tx)
        storage.store([(one, recipe_of(1, ["x", "yy"])), (two, recipe_of(2, ["x", "yy"]))], ["x", "yy"])

    with catalog.read() as tx:
        raw = raw_len("x") + raw_len("yy")
        assert ledger.balance(tx, "files.dual") == 2 * raw
        assert ledger.balance(tx, "store.dedup_saved") == raw
        assert ledger.balance(tx, "store.live") == raw - 6 + FRAMING
        assert ledger.balance(tx, "bucket.dead") == 0
        assert recipes.stored_bytes(tx, [1, 2]) == {1: (raw - 6, 0), 2: (raw - 6, 0)}


def test_the_same_batch_twice_changes_nothing(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"], op_id="migrate:1")
        before = ledger.all_balances(tx)

    with catalog.write() as tx:
        batch = StoredBatch("migrate:1", "standard", ("standard",), (99,), (), ())
        assert commit.commit_stored(tx, batch) == []
        assert ledger.all_balances(tx) == before


def test_a_recipe_whose_reused_chunk_is_gone_is_rejected(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        rejected = Storage(tx).store([(file_id, recipe_of(1, ["x", "gone"]))], ["x"])

        assert [item.file_id for item in rejected] == [file_id]
        assert "no live pack" in rejected[0].reason
        assert files.by_ids(tx, [file_id])[file_id].state == FileState.REGULAR
        assert ledger.balance(tx, "bucket.dead") == raw_len("x") - 3
        assert sums.differences(tx) == {}


def test_a_colder_tiers_chunks_are_never_reused(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        cold, warm = add_file(tx, root_id, b"a", Seen(1, 5)), add_file(tx, root_id, b"b", Seen(2, 5))
        storage = Storage(tx)
        storage.store([(cold, recipe_of(1, ["x"]))], ["x"], tier="archive", tiers=("standard", "archive"))

        assert packs.lookup(tx, [name_of("x")[0]], ["standard"]) == {}
        assert len(storage.store([(warm, recipe_of(2, ["x"]))], [])) == 1


def test_a_dead_chunk_comes_back_to_life(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        one, two = add_file(tx, root_id, b"a", Seen(1, 5)), add_file(tx, root_id, b"b", Seen(2, 5))
        storage = Storage(tx)
        storage.store([(one, recipe_of(1, ["x"]))], ["x"])
        commit.supersede(tx, [one], op_id="s", keep_until_ns=None, reason="changed")
        assert ledger.balance(tx, "bucket.dead") == raw_len("x") - 3

        assert storage.store([(two, recipe_of(2, ["x"]))], []) == []
        assert ledger.balance(tx, "bucket.dead") == 0
        assert sums.differences(tx) == {}


def test_a_pack_given_up_for_dead_stops_the_commit_with_nothing_done(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        pack_no, _ = Storage(tx).pending(["x"])
        packs.doom_pending(tx, [(pack_no, 120)], op_id="r", reason="its process died")
        seq = len(records_of(tx))

    def attempt() -> None:
        with catalog.write() as tx:
            commit.commit_stored(tx, StoredBatch("m", "standard", ("standard",), (pack_no,), (), ()))

    with pytest.raises(packs.PackGone):
        attempt()
    with catalog.read() as tx:
        assert len(records_of(tx)) == seq
        assert files.by_ids(tx, [file_id])[file_id].state == FileState.REGULAR


def test_p4_an_object_once_doomed_is_never_adopted(catalog: Catalog) -> None:
    """Crash after upload -> orphan -> doomed -> a retry of the same bytes gets a pack and a key of its own."""
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        storage = Storage(tx)
        orphan, _ = storage.pending(["x"])
    with catalog.write() as tx:  # reconcile finds the object of a dead process
        storage.tx = tx
        packs.doom_pending(tx, [(orphan, 100)], op_id="reconcile:1", reason="its process died")
        assert packs.lookup(tx, [name_of("x")[0]], ["standard"]) == {}
        storage.store([(file_id, recipe_of(1, ["x"]))], ["x"])
        (location,) = packs.locate(tx, 1).values()
        assert location.pack_no != orphan
        packs.claim_for_deletion(tx, [orphan], doomed_before_ns=tx.now_ns)
        packs.mark_deleted(tx, [orphan], op_id="gc:1", reason="grace over")

    with catalog.read() as tx:
        assert packs.by_numbers(tx, [orphan])[orphan].state == PackState.DELETED
        assert len(packs.locate(tx, 1)) == 1
        assert sums.differences(tx) == {}


def test_a_pack_in_use_is_neither_doomed_nor_claimed(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])

        assert packs.unreferenced(tx, created_before_ns=tx.now_ns + 1) == []
        assert packs.doom(tx, [1, 2], op_id="gc", reason="") == []
        assert packs.claim_for_deletion(tx, [1, 2], doomed_before_ns=tx.now_ns) == []


def test_a_changed_file_leaves_a_version_that_can_be_asked_for_by_time(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        file_id = add_file(tx, root_id, b"d/a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        stored_ns = tx.now_ns
        keep = stored_ns + 30 * NS_PER_DAY
        commit.supersede(tx, [file_id], op_id="s", keep_until_ns=keep, reason="changed")

        (row,) = versions.of_path(tx, root_id, b"d/", b"a")
        assert (row.from_ns, row.superseded_ns, row.keep_until_ns) == (stored_ns, stored_ns, keep)
        assert ledger.balance(tx, "held.retained") == -raw_len("x")
        assert versions.expired(tx, before_ns=keep - 1) == []
        commit.drop_versions(tx, versions.expired(tx, before_ns=keep), op_id="gc", reason="retention over")
        assert recipes.by_numbers(tx, [1])[1].state == "doomed"
        assert ledger.balance(tx, "held.retained") == 0


def test_release_and_recall_move_the_bytes_between_accounts_once(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        placed = [PlacedFile(file_id, Seen(50, 7))]

        assert commit.set_offline(tx, placed, op_id="release:1") == [file_id]
        assert commit.set_offline(tx, placed, op_id="release:1") == []
        assert ledger.balance(tx, "files.offline") == raw_len("x")
        assert commit.set_dual(tx, placed, op_id="recall:1") == [file_id]
        row = files.by_ids(tx, [file_id])[file_id]
        assert (row.state, row.ino, row.size, row.recalled_ns) == (FileState.DUAL, 50, raw_len("x"), tx.now_ns)


def test_a_copied_placeholder_is_one_more_holder(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        file_id = add_file(tx, root_id, b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        commit.set_offline(tx, [PlacedFile(file_id, Seen(50, 7))], op_id="r")
        copy = AdoptedFile(root_id, b"c/", b"a", 1, Seen(51, 7), 0o100600, 1000, 1000)

        (adopted,) = commit.adopt(tx, [copy], op_id="scan:1")
        assert commit.adopt(tx, [copy], op_id="scan:2") == []
        assert ledger.balance(tx, "store.dedup_saved") == raw_len("x")
        files.mark_missing(tx, [file_id], op_id="scan:3")
        commit.delete_files(tx, [file_id], op_id="gc:1", reason="retention over")
        assert recipes.by_numbers(tx, [1])[1].state == "live"
        assert files.by_ids(tx, [adopted])[adopted].state == FileState.OFFLINE
        assert sums.differences(tx) == {}


def test_release_waits_for_the_segment_that_holds_the_commit(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        row = files.by_ids(tx, [file_id])[file_id]
        assert row.stored_seq is not None
        assert row.stored_seq > segments.durable_through(tx)
        batch = segments.next_batch(tx)
        assert batch is not None
        segments.mark_pending(tx, batch, key="segments/1", size=10, hash="h1")
        assert row.stored_seq > segments.durable_through(tx)
        segments.mark_durable(tx, 1, tier="standard")
        assert row.stored_seq <= segments.durable_through(tx)


def test_records_carry_what_rebuild_needs(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        file_id = add_file(tx, root_id, b"d/\xff\xfe", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        files.set_pinned(tx, [file_id], True)
        found = {str(record["record"]): record for record in records_of(tx)}

    assert set(found) == {"root", "pack", "recipe", "file", "pin", "ledger"}
    assert found["file"]["path"] == "d/\udcff\udcfe"
    assert found["file"]["recipe"] == found["recipe"]["recipe"]
    assert found["pin"]["pinned"] is True
    assert {"key", "kind", "tier", "storage_class", "state", "size", "framing", "checksum"} <= set(found["pack"])


def test_a_regular_file_needs_no_record(catalog: Catalog) -> None:
    with catalog.write() as tx:
        add_file(tx, add_root(tx), b"a", Seen(1, 5))

        assert {record["record"] for record in records_of(tx)} == {"root", "ledger"}
