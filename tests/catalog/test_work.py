"""The journal, leases, runs, tickets, access history and segments: who works on what, and what waits."""

import pytest

from tests.catalog.rows import Seen, Storage, add_file, add_root, recipe_of
from tiering.catalog import access, commit, files, hardlinks, journal, leases, runs, segments, tickets
from tiering.catalog.access import AccessDay
from tiering.catalog.journal import Claim
from tiering.catalog.open import Catalog
from tiering.catalog.tickets import NewTicket
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileState, JournalKind, PlacedFile
from tiering.clock import FakeClock
from tiering.errors import CatalogBusy


def test_a_file_is_claimed_by_one_process(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        first = Claim("m:1", JournalKind.MIGRATE, file_id, "begun")
        assert journal.claim(tx, [first], owner="one", until_ns=tx.now_ns) == [first]
        again = Claim("m:2", JournalKind.MIGRATE, file_id, "begun")
        assert journal.claim(tx, [again], owner="two", until_ns=tx.now_ns) == []
        assert files.by_ids(tx, [file_id])[file_id].state == FileState.MIGRATING

        assert journal.extend(tx, ["m:1"], owner="two", until_ns=9) == 0
        assert journal.take_over(tx, "m:1", owner="two", until_ns=tx.now_ns + 9)
        assert journal.extend(tx, ["m:1"], owner="one", until_ns=9) == 0
        journal.finish(tx, ["m:1"])
        assert journal.every(tx) == []
        assert files.by_ids(tx, [file_id])[file_id].state == FileState.REGULAR


def test_a_batch_claims_what_nobody_has(catalog: Catalog) -> None:
    with catalog.write() as tx:
        ids = _regular(tx, 7)
        for number, (kind, file_id) in enumerate([(JournalKind.MIGRATE, ids[0]), (JournalKind.RELEASE, ids[2])]):
            if kind is JournalKind.RELEASE:
                Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
            claim = Claim(f"m:{number}", kind, file_id, "begun")
            assert journal.claim(tx, [claim], owner="two", until_ns=tx.now_ns) == [claim]
        files.mark_missing(tx, [ids[1]], op_id="gone")
        free = {ids[3], ids[4], ids[6]}

        assert journal.claim_batch(tx, "m:2", [*ids[:5], ids[6]], owner="one", until_ns=9) == free
        assert journal.claim_batch(tx, "m:3", ids[:5], owner="one", until_ns=9) == set()
        assert journal.files_at_work(tx) == free | {ids[0], ids[2]}
        row = journal.get(tx, "m:2")
        assert row is not None
        assert (row.kind, row.file_id, row.step) == (JournalKind.MIGRATE, None, "claimed")
        assert (row.owner, row.lease_until_ns, row.created_ns) == ("one", 9, tx.now_ns)
        assert row.detail == f"[[{ids[3]},2],[{ids[6]},1]]"


def test_a_batch_gives_files_up_and_ends(catalog: Catalog) -> None:
    with catalog.write() as tx:
        ids = _regular(tx, 4)
        journal.claim_batch(tx, "m:1", ids, owner="one", until_ns=9)
        journal.give_up(tx, "m:1", [ids[1], 99])
        assert set(journal.of_batch(tx, "m:1", {*ids}, owner="one")) == {ids[0], *ids[2:]}
        assert journal.claim_batch(tx, "m:2", ids, owner="two", until_ns=9) == {ids[1]}
        journal.give_up(tx, "m:1", [ids[1]])
        assert _states(tx, ids) == [FileState.MIGRATING] * 4

        assert journal.extend(tx, ["m:1"], owner="one", until_ns=99) == 1
        assert journal.take_over(tx, "m:1", owner="two", until_ns=9)
        assert set(journal.of_batch(tx, "m:1", ids[2:], owner="one")) == set()
        journal.finish(tx, ["m:1"])
        assert _states(tx, ids) == [FileState.REGULAR, FileState.MIGRATING, FileState.REGULAR, FileState.REGULAR]
        assert set(journal.of_batch(tx, "m:1", ids[2:], owner="two")) == set()
        journal.end_batch(tx, "m:2")
        assert journal.every(tx) == []
        assert _states(tx, ids)[1] == FileState.MIGRATING


def test_a_batch_that_gives_all_its_files_up_is_over(catalog: Catalog) -> None:
    with catalog.write() as tx:
        ids = _regular(tx, 2)
        journal.claim_batch(tx, "m:1", ids, owner="one", until_ns=9)
        journal.give_up(tx, "m:1", ids)
        assert journal.every(tx) == []
        assert _states(tx, ids) == [FileState.REGULAR] * 2


def test_a_batch_does_not_hold_a_file_that_was_forgotten(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        ids = [add_file(tx, root_id, b"%d" % number, Seen(number, 5)) for number in range(1, 4)]
        journal.claim_batch(tx, "m:1", ids, owner="one", until_ns=9)
        hardlinks.forget(tx, [ids[2]])
        again = add_file(tx, root_id, b"new", Seen(9, 5))
        assert set(journal.of_batch(tx, "m:1", ids, owner="one")) == {*ids[:2]}
        assert again not in journal.files_at_work(tx)
        hardlinks.forget(tx, ids[:2])
        assert journal.every(tx) == []


def _regular(tx: Tx, count: int) -> list[int]:
    root_id = add_root(tx)
    return [add_file(tx, root_id, b"%d" % number, Seen(number, 5)) for number in range(1, count + 1)]


def _states(tx: Tx, ids: list[int]) -> list[FileState]:
    rows = files.by_ids(tx, ids)
    return [rows[file_id].state for file_id in ids]


def test_a_claim_needs_a_fitting_state(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        for kind in (JournalKind.RELEASE, JournalKind.RECALL):
            assert journal.claim(tx, [Claim("x", kind, file_id, "begun")], owner="one", until_ns=0) == []


def test_a_finished_recall_leaves_the_state_its_commit_set(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        Storage(tx).store([(file_id, recipe_of(1, ["x"]))], ["x"])
        placed = [PlacedFile(file_id, Seen(3, 7))]
        commit.set_offline(tx, placed, op_id="r")
        for op_id, commits, state in (("1", False, FileState.OFFLINE), ("2", True, FileState.DUAL)):
            claim = Claim(op_id, JournalKind.RECALL, file_id, "begun")
            assert journal.claim(tx, [claim], owner="one", until_ns=0) == [claim]
            journal.advance(tx, op_id, step="fetched", detail='{"temp": "x"}')
            found = journal.get(tx, op_id)
            assert found is not None
            assert (found.step, found.detail) == ("fetched", '{"temp": "x"}')
            if commits:
                commit.set_dual(tx, placed, op_id="recall:2")
            journal.finish(tx, [op_id])
            assert files.by_ids(tx, [file_id])[file_id].state == state


def test_a_lease_has_one_owner_until_it_runs_out(catalog: Catalog, clock: FakeClock) -> None:
    def hold(owner: str) -> None:
        with leases.held(catalog, "gc", owner=owner, seconds=60):
            pass

    with leases.held(catalog, "gc", owner="one", seconds=60):
        with pytest.raises(CatalogBusy, match="one"):
            hold("two")
        clock.advance(61)
        hold("two")
    hold("three")
    with catalog.read() as tx:
        assert leases.every(tx) == {}


def test_runs_are_remembered_and_dead_ones_marked(catalog: Catalog, clock: FakeClock) -> None:
    with catalog.write() as tx:
        done = runs.start(tx, "scan", owner="host:1:boot")
        runs.finish(tx, done, outcome="done", detail="{}")
        clock.advance(1)
    with catalog.write() as tx:
        dead = runs.start(tx, "scan", owner="host:2:boot")
        assert runs.running(tx) == {dead: "host:2:boot"}
        runs.abandon(tx, [done, dead])
        newest, best = runs.last(tx, "scan"), runs.last(tx, "scan", outcome="done")
        assert newest is not None
        assert best is not None
        assert (newest.outcome, best.run_id) == ("failed", done)


def test_access_days_keep_the_larger_count(catalog: Catalog) -> None:
    with catalog.write() as tx:
        file_id = add_file(tx, add_root(tx), b"a", Seen(1, 5))
        for opens in (3, 1):
            access.add(tx, [AccessDay(file_id, 100, "opens", opens), AccessDay(file_id, 90, "atime")])

        assert access.days_of(tx, [file_id], since_day=95) == {file_id: [AccessDay(file_id, 100, "opens", 3)]}
        assert access.forget(tx, before_day=95) == 1


def test_tickets_share_the_restore_of_a_pack(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        one, two = add_file(tx, root_id, b"a", Seen(1, 5)), add_file(tx, root_id, b"b", Seen(2, 5))
        pack_no, _ = Storage(tx).pending(["x"])
        numbers = [
            tickets.open_ticket(tx, NewTicket("bulk", "why", "me", None, "{}", (file_id,), (pack_no,)))
            for file_id in (one, two)
        ]
        assert [row.state for row in tickets.restores_in(tx, ["wanted"])] == ["wanted"]
        tickets.note_restore(tx, pack_no, state="warming", requested_ns=5)
        assert tickets.waiting_on_file(tx, two) == [numbers[1]]

        tickets.close_files(tx, numbers[0], [(one, "done", "")])
        tickets.close_ticket(tx, numbers[0], state="done")
        assert tickets.packs_of(tx, numbers[1])[0].state == "warming"
        tickets.close_ticket(tx, numbers[1], state="cancelled")
        assert tickets.packs_of(tx, numbers[1])[0].state == "done"
        assert tickets.count_waiting(tx, numbers[0]) == 0


def test_a_pending_segment_is_resumed_with_its_records(catalog: Catalog) -> None:
    with catalog.write() as tx:
        root_id = add_root(tx)
        add_file(tx, root_id, b"a", Seen(1, 5))
        first = segments.next_batch(tx)
        assert first is not None
        segments.mark_pending(tx, first, key="k1", size=5, hash="h1")
        add_file(tx, root_id, b"b", Seen(2, 5))

        assert segments.next_batch(tx) == first
        segments.mark_durable(tx, 1, tier="standard")
        second = segments.next_batch(tx)
        assert second is not None
        assert (second.number, second.prev_hash) == (2, "h1")
        assert segments.waiting(tx) == len(second.records)


def test_a_segments_own_booking_does_not_call_for_another(catalog: Catalog) -> None:
    with catalog.write() as tx:
        add_root(tx)
        batch = segments.next_batch(tx)
        assert batch is not None
        segments.mark_pending(tx, batch, key="k1", size=5, hash="h1")
        segments.mark_durable(tx, 1, tier="standard")

        assert segments.waiting(tx) == 1
        assert segments.next_batch(tx) is None
