"""Commits of migrate and what follows: rejections, idempotency, tiers, versions, placeholders, and packs that
are given up.
"""

import json

import pytest
from sqlalchemy import select

from dedup.segment import encode_segment
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
        batch = StoredBatch("migrate:1", "standard", ("standard",), (99,), (), (), ())
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
            commit.commit_stored(tx, StoredBatch("m", "standard", ("standard",), (pack_no,), (), (), ()))

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
        assert location.block.pack_no != orphan
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

    assert set(found) == {"root", "pack", "recipes", "file", "pin", "ledger"}
    assert found["file"]["path"] == "d/\udcff\udcfe"
    assert found["recipes"]["recipes"] == [[0, 1]]
    assert found["pin"]["pinned"] is True
    assert {"key", "kind", "tier", "storage_class", "state", "size", "framing", "checksum"} <= set(found["pack"])


def test_a_file_whose_recipe_says_it_all_costs_few_bytes_in_a_segment(catalog: Catalog) -> None:
    """What does not compress: issue 4 counts every byte."""
    with catalog.write() as tx:
        root_id = add_root(tx)
        items = []
        for number in range(1, 501):
            path = b"some/folder/%d.json" % (number * 7919 % 100_000)
            recipe = recipe_of(number, [f"word {number}"], path=path)
            items.append((add_file(tx, root_id, path, Seen(number * 3, recipe.size)), recipe))
        before = len(records_of(tx))
        Storage(tx).store(items, [f"word {number}" for number in range(1, 501)])
        texts = [json.dumps(record) for record in records_of(tx)[before:]]

    assert len(texts) == 4  # two packs, what is stored, one ledger entry
    assert len(encode_segment(1, "", texts)) / 500 < 10


def test_a_released_file_costs_only_what_changed(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 17))
        Storage(tx).store([(file_id, recipe_of(1, ["x"], path=b"a"))], ["x"])
        commit.set_offline(tx, [PlacedFile(file_id, Seen(9, 40, 7, 8))], op_id="r")
        changed = [record for record in records_of(tx) if record["record"] == "file_changed"]

    assert changed == [
        {
            "record": "file_changed",
            "root": "data",
            "path": "a",
            "state": "offline",
            "mtime_ns": 7,
            "ctime_ns": 8,
            "ino": 9,
        }
    ]


def test_a_recipe_refers_to_what_its_chunks_are_coded_against(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        base = add_file(tx, root_id, b"base", Seen(1, 5))
        storage.store([(base, recipe_of(1, ["b"]))], ["b"])
        coded = add_file(tx, root_id, b"coded", Seen(2, 5))
        assert storage.store([(coded, recipe_of(2, ["c<a<b"]))], ["c<a<b", "a<b"]) == []

        found = packs.locate(tx, 2)
        assert set(found) == {name_of(word)[1] for word in ("c<a<b", "a<b", "b")}
        assert found[name_of("c<a<b")[1]].block.base == name_of("a<b")[1]
        times = tx.conn.execute(select(tables.refs.c.times).where(tables.refs.c.recipe_no == 2)).scalars().all()
        assert sorted(times) == [0, 0, 1]
        assert ledger.balance(tx, "store.overhead") == -(2 * FRAMING + raw_len("a<b") - 3)


def test_a_base_outlives_its_own_file_while_something_is_coded_against_it(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        base, coded = (add_file(tx, root_id, name, Seen(ino, 5)) for ino, name in enumerate((b"base", b"coded"), 1))
        storage.store([(base, recipe_of(1, ["b"]))], ["b"])
        storage.store([(coded, recipe_of(2, ["a<b"]))], ["a<b"])
        commit.supersede(tx, [base], op_id="s", keep_until_ns=None, reason="changed")

        assert [row.kind for row in packs.unreferenced(tx, created_before_ns=tx.now_ns + 1)] == ["recipes"]
        assert sums.differences(tx) == {}
        commit.supersede(tx, [coded], op_id="s", keep_until_ns=None, reason="changed")
        assert len(packs.unreferenced(tx, created_before_ns=tx.now_ns + 1)) == 4


def test_what_is_coded_against_a_doomed_chunk_is_never_found_again(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        base, coded = (add_file(tx, root_id, name, Seen(ino, 5)) for ino, name in enumerate((b"base", b"coded"), 1))
        storage.store([(base, recipe_of(1, ["b"]))], ["b"])
        storage.store([(coded, recipe_of(2, ["a<b", "kept"]))], ["a<b", "kept"])
        other = add_file(tx, root_id, b"other", Seen(3, 5))
        storage.store([(other, recipe_of(3, ["kept"]))], [])
        commit.supersede(tx, [base, coded], op_id="s", keep_until_ns=None, reason="changed")
        doomed = packs.doom(tx, [1], op_id="gc", reason="nothing refers to it")

        assert [row.pack_no for row in doomed] == [1]
        assert packs.lookup(tx, [name_of("a<b")[0], name_of("kept")[0]], ["standard"]).keys() == {name_of("kept")[0]}
        assert sums.differences(tx) == {}


def test_what_was_coded_against_a_file_goes_over_to_its_new_coding(catalog: Catalog) -> None:
    """c11 against c12; then c12, alone until now, against the newer c13: its old chunk dies, c11 is readable."""
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        ids = [add_file(tx, root_id, name, Seen(ino, 5)) for ino, name in enumerate((b"c11", b"c12", b"c13"), 1)]
        storage.store([(ids[1], recipe_of(1, ["c12"]))], ["c12"])
        storage.store([(ids[0], recipe_of(2, ["c11<c12"]))], ["c11<c12"])
        storage.store([(ids[2], recipe_of(3, ["c13"]))], ["c13"])
        (old,) = {at.block.pack_no for at in packs.locate(tx, 1).values()}

        assert storage.store([(ids[1], recipe_of(4, ["c12"]))], ["c12"], coded={"c12": "c13"}) == []

        found = packs.locate(tx, 2)
        assert set(found) == {name_of(word)[1] for word in ("c11<c12", "c12", "c13")}
        assert found[name_of("c12")[1]].block.base == name_of("c13")[1]
        assert old in [row.pack_no for row in packs.unreferenced(tx, created_before_ns=tx.now_ns + 1)]
        assert list(versions.of_path(tx, root_id, b"", b"c12")) == []
        assert sums.differences(tx) == {}
        packs.doom(tx, [old], op_id="gc", reason="nothing refers to it")
        assert set(packs.locate(tx, 2)) == set(found)
        assert sums.differences(tx) == {}


def test_a_chunk_that_another_file_contains_keeps_its_dependants(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        ids = [add_file(tx, root_id, name, Seen(ino, 5)) for ino, name in enumerate((b"a", b"b", b"copy", b"new"), 1)]
        storage.store([(ids[1], recipe_of(1, ["b"])), (ids[2], recipe_of(2, ["b"]))], ["b"])
        storage.store([(ids[0], recipe_of(3, ["a<b"]))], ["a<b"])
        storage.store([(ids[3], recipe_of(4, ["new"]))], ["new"])
        before = packs.locate(tx, 3)[name_of("b")[1]]
        assert storage.store([(ids[1], recipe_of(5, ["b"]))], ["b"], coded={"b": "new"}) == []
        assert packs.locate(tx, 3)[name_of("b")[1]] == before
        assert sums.differences(tx) == {}


def test_a_chunk_never_becomes_its_own_base(catalog: Catalog) -> None:
    """c13 is coded against c12; then c12 comes again, coded against c13."""
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        older, newer = (add_file(tx, root_id, name, Seen(ino, 5)) for ino, name in enumerate((b"c12", b"c13"), 1))
        storage.store([(older, recipe_of(1, ["c12"]))], ["c12"])
        storage.store([(newer, recipe_of(2, ["c13<c12"]))], ["c13<c12"])
        assert storage.store([(older, recipe_of(3, ["c12"]))], ["c12"], coded={"c12": "c13<c12"}) == []
        assert packs.locate(tx, 2)[name_of("c12")[1]].block.base is None
        assert sums.differences(tx) == {}


@pytest.mark.parametrize(
    ("tier", "words"),
    [
        ("standard", ["a<nowhere"]),
        ("standard", ["a<cold"]),  # stored, but in a colder tier than the file's
        ("standard", ["<".join("hgfedcba"[number:]) for number in range(8)]),  # seven bases behind the first
    ],
)
def test_a_chunk_whose_base_may_not_serve_is_not_stored(catalog: Catalog, tier: str, words: list[str]) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        storage = Storage(tx)
        cold, coded = (add_file(tx, root_id, name, Seen(ino, 5)) for ino, name in enumerate((b"cold", b"coded"), 1))
        storage.store([(cold, recipe_of(1, ["cold"]))], ["cold"], tier="archive", tiers=("standard", "archive"))
        rejected = storage.store([(coded, recipe_of(2, words[:1]))], words, tier=tier, tiers=(tier,))

        assert [item.file_id for item in rejected] == [coded]
        assert packs.lookup(tx, [name_of(words[0])[0]], ["standard", "archive"]) == {}
        assert sums.differences(tx) == {}


def test_a_regular_file_needs_no_record(catalog: Catalog) -> None:
    with catalog.write() as tx:
        add_file(tx, add_root(tx), b"a", Seen(1, 5))

        assert {record["record"] for record in records_of(tx)} == {"root", "ledger"}
