"""reconcile: whatever step a process died at, the next start finishes or undoes it, and the books balance."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from tests.jobs.debris import DEAD, pending, plant, put
from tests.jobs.lab import Lab
from tests.jobs.outbound import Killed, books_balance, items, learn, rows, stored_bytes
from tiering.catalog import journal, leases, packs, runs, scans
from tiering.catalog.values import FileState, JournalKind, PackState
from tiering.jobs import segments
from tiering.jobs.audit import audit
from tiering.jobs.context import Context
from tiering.jobs.gc import collect
from tiering.jobs.migrate import migrate
from tiering.jobs.processes import is_alive, is_dead, start_time
from tiering.jobs.recall import recall
from tiering.jobs.reconcile import reconcile
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root

BOOT = "boot"
CONTENT = os.urandom(200_000)


def as_dead(lab: Lab, step: Callable[[str], None]) -> Context:
    """The context of a process that will be found dead: its pid is beyond any there is."""
    return replace(lab.context, owner=DEAD, step=step)


def dies_at(wanted: str) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name == wanted:
            raise Killed

    return step


def crash(lab: Lab, wanted: str, act: Callable[[Context], object]) -> None:
    """Let *act* die at a step as a killed process would: what an exception handler tidies up stays untidied."""
    dead = as_dead(lab, dies_at(wanted))
    with pytest.raises(Killed):
        act(dead)


def settled(lab: Lab) -> None:
    """Nothing is under way, the books balance, and everything agrees with everything."""
    with lab.catalog.read() as tx:
        assert journal.every(tx) == []
        assert packs.in_state(tx, PackState.PENDING) == []
    books_balance(lab)
    assert audit(lab.context).discrepancies == ()


def stored(lab: Lab) -> None:
    lab.write("a.bin", CONTENT)
    learn(lab)
    migrate(lab.context, items(lab))


@pytest.mark.parametrize(
    "step", ["release.intent", "release.exchanged", "release.parked", "release.unlinking", "release.unlinked"]
)
def test_p4_a_release_that_died_is_finished_or_undone(lab: Lab, step: str) -> None:
    stored(lab)
    crash(lab, step, lambda ctx: release(ctx, items(lab), wait_parked=True))
    report = reconcile(lab.context)
    assert report.skipped == []
    assert report.finished + report.undone == 1
    scan_root(lab.context, lab.context.roots[0])
    settled(lab)
    assert rows(lab)[b"a.bin"].state in {FileState.OFFLINE, FileState.DUAL, FileState.REGULAR}
    if rows(lab)[b"a.bin"].state is FileState.OFFLINE:
        assert stored_bytes(lab, b"a.bin") == CONTENT
    else:
        assert (lab.root / "a.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("step", ["recall.claimed", "recall.assembled", "recall.swapped", "recall.committed"])
def test_p4_a_recall_that_died_is_finished_or_undone(lab: Lab, step: str) -> None:
    stored(lab)
    release(lab.context, items(lab), wait_parked=True)
    crash(lab, step, lambda ctx: recall(ctx, items(lab), reason="test"))
    reconcile(lab.context)
    settled(lab)
    assert not [name for name in os.listdir(lab.root) if name.startswith(".frostline-new")]
    recall(lab.context, items(lab), reason="test")
    assert (lab.root / "a.bin").read_bytes() == CONTENT
    settled(lab)


def test_a_dead_migrates_claims_are_given_back(lab: Lab) -> None:
    lab.write("a.bin", CONTENT)
    learn(lab)
    with lab.catalog.write() as tx:
        row = rows(lab)[b"a.bin"]
        claim = journal.Claim("migrate:dead:1", JournalKind.MIGRATE, row.file_id, "claimed")
        journal.claim(tx, [claim], owner=DEAD, until_ns=tx.now_ns + 10**15)
    assert reconcile(lab.context).undone == 1
    assert rows(lab)[b"a.bin"].state is FileState.REGULAR
    settled(lab)


def test_a_living_processs_work_is_left_alone(lab: Lab) -> None:
    lab.write("a.bin", CONTENT)
    learn(lab)
    living = f"test:{os.getppid()}:{BOOT}"
    with lab.catalog.write() as tx:
        claim = journal.Claim("m:1", JournalKind.MIGRATE, rows(lab)[b"a.bin"].file_id, "claimed")
        journal.claim(tx, [claim], owner=living, until_ns=tx.now_ns + 10**12)
        assert leases.acquire(tx, "gc", owner=living, until_ns=tx.now_ns + 10**12)
    report = reconcile(lab.context)
    assert (report.undone, report.leases_freed) == (0, 0)
    lab.clock.advance(10**4)  # but a lease that has run out has run out
    assert reconcile(lab.context).undone == 1


def test_leases_and_scans_of_the_dead_are_closed(lab: Lab) -> None:
    with lab.catalog.write() as tx:
        assert leases.acquire(tx, "cycle", owner=DEAD, until_ns=tx.now_ns + 10**15)
        scans.start(tx, lab.context.roots[0].root_id, access_quality="none")
    assert reconcile(lab.context).leases_freed == 1
    with lab.catalog.read() as tx:
        assert leases.every(tx) == {}
        last = scans.last(tx, lab.context.roots[0].root_id)
        assert last is not None
        assert last.state == "refused"


def test_an_unmounted_root_waits_and_is_reported(lab: Lab) -> None:
    stored(lab)
    crash(lab, "release.parked", lambda ctx: release(ctx, items(lab), wait_parked=True))
    os.rename(lab.root, lab.base / "away")
    lab.root.mkdir()
    report = reconcile(lab.context)
    assert report.exit_code == 3
    assert report.notes
    lab.root.rmdir()
    os.rename(lab.base / "away", lab.root)
    assert reconcile(lab.context).finished == 1
    settled(lab)


def test_a_pending_segment_is_written(lab: Lab) -> None:
    lab.write("a.bin", CONTENT)
    learn(lab)
    for step in ("segments.pending", "segments.uploaded"):
        crash(lab, step, segments.flush)
    assert reconcile(lab.context).exit_code == 0
    settled(lab)
    assert len(list(lab.context.metadata.store.list("segments/"))) == 1


def test_reconcile_twice_does_nothing_more(lab: Lab) -> None:
    stored(lab)
    crash(lab, "release.parked", lambda ctx: release(ctx, items(lab), wait_parked=True))
    reconcile(lab.context)
    again = reconcile(lab.context)
    assert (again.finished, again.undone, again.packs_doomed, again.exit_code) == (0, 0, 0, 0)


def test_p4_crash_after_upload_then_the_same_bytes_again(lab: Lab) -> None:
    """Orphan -> doomed -> retry of the same bytes: the doomed object is never adopted, and its deletion harms
    nobody.
    """
    lab.write("a.bin", CONTENT)
    learn(lab)
    migrate(lab.context, items(lab))
    with lab.catalog.read() as tx:
        (first,) = [row for row in packs.in_state(tx, PackState.LIVE) if row.kind == "data"]
    body = lab.context.tiers["standard"].store.get(first.key)
    orphan_key = first.key[:-16] + "0123456789abcdef"
    forget(lab)
    plant(lab, orphan_key, body)

    assert reconcile(lab.context).packs_doomed == 1
    report = migrate(lab.context, items(lab))
    assert report.files_done == 1
    with lab.catalog.read() as tx:
        by_key = packs.by_keys(tx, [orphan_key])
        assert by_key[orphan_key].state is PackState.DOOMED
        live = {row.key for row in packs.in_state(tx, PackState.LIVE)}
    assert orphan_key not in live
    collect(lab.context)
    assert orphan_key not in {info.key for info in lab.context.tiers["standard"].store.list("packs/")}
    assert stored_bytes(lab, b"a.bin") == CONTENT
    settled(lab)


def forget(lab: Lab) -> None:
    """Make the stored file regular again and collect its objects, as if it had never been stored."""
    lab.write("a.bin", CONTENT)
    os.utime(lab.root / "a.bin", ns=(5, 5))
    scan_root(lab.context, lab.context.roots[0])
    lab.clock.advance(86_400 * 31)
    collect(lab.context)
    with lab.catalog.read() as tx:
        assert packs.in_state(tx, PackState.LIVE) == []


def test_a_dead_uploads_pack_is_doomed_with_what_stands_of_it(lab: Lab) -> None:
    plant(lab, "packs/aa/there-0123456789abcdef", b"x" * 500)
    pending(lab, "packs/bb/absent-0123456789abcdef", 900)
    report = reconcile(lab.context)
    assert report.packs_doomed == 2
    seen = audit(lab.context)
    assert (seen.dead_bytes, seen.discrepancies) == (500, ())
    assert collect(lab.context).packs_deleted == 2
    assert audit(lab.context).dead_bytes == 0


def test_a_living_uploads_pack_is_in_flight(lab: Lab) -> None:
    pending(lab, "packs/aa/mine-0123456789abcdef", 500, owner=lab.context.owner)
    put(lab, "packs/aa/mine-0123456789abcdef", b"x" * 500)
    assert reconcile(lab.context).packs_doomed == 0
    collect(lab.context)
    seen = audit(lab.context)
    assert (seen.in_flight_bytes, seen.discrepancies) == (500, ())


@pytest.mark.parametrize("host", ["test", "elsewhere"])
def test_packs_of_a_process_that_lives_here_wait_for_days(lab: Lab, host: str) -> None:
    """A file of many terabytes is committed when its last pack is stored; who is on another host cannot be asked."""
    other = os.getppid()
    pending(lab, "packs/aa/theirs-0123456789abcdef", 500, owner=f"{host}:{other}:boot:{start_time(other)}")
    put(lab, "packs/aa/theirs-0123456789abcdef", b"x" * 500)
    lab.clock.advance(3 * 86_400)
    assert reconcile(lab.context).packs_doomed == (1 if host == "elsewhere" else 0)


def test_the_dead_are_told_from_the_living() -> None:
    mine = f"host:{os.getpid()}:boot"
    assert not is_dead(mine, mine=mine)
    assert is_dead("host:99999999:boot", mine=mine)
    assert is_dead(f"host:{os.getpid()}:earlier-boot", mine=mine)
    assert not is_dead(f"host:{os.getppid()}:boot", mine=mine)
    assert not is_dead("elsewhere:99999999:boot", mine=mine)
    assert not is_dead("nonsense", mine=mine)
    started = start_time(os.getppid())
    assert not is_dead(f"host:{os.getppid()}:boot:{started}", mine=mine)
    assert is_dead(f"host:{os.getppid()}:boot:{int(started) - 1}", mine=mine)
    assert is_alive(mine, mine=mine)
    assert is_alive(f"host:{os.getppid()}:boot:{started}", mine=mine)
    for unknown in (f"boot:{int(started) - 1}", "boot", f"earlier-boot:{started}"):
        assert not is_alive(f"host:{os.getppid()}:{unknown}", mine=mine)
    assert not is_alive(f"elsewhere:{os.getppid()}:boot:{started}", mine=mine)
    assert not is_alive("nonsense", mine=mine)


def test_runs_of_dead_processes_are_closed_and_those_of_living_ones_are_not(lab: Lab) -> None:
    with lab.catalog.write() as tx:
        dead = runs.start(tx, "gc", owner=DEAD)
        living = runs.start(tx, "scan", owner=lab.context.owner)
    reconcile(lab.context)
    with lab.catalog.read() as tx:
        assert runs.running(tx) == {living: lab.context.owner}
        closed = runs.last(tx, "gc")
    assert closed is not None
    assert (closed.run_id, closed.outcome) == (dead, "failed")


@pytest.mark.parametrize("by_reconcile", [True, False])
def test_a_root_whose_device_was_numbered_anew_is_followed(lab: Lab, by_reconcile: bool) -> None:
    stored(lab)
    with lab.catalog.write() as tx:  # as if the rows had been written before a reboot
        tx.conn.execute(text("UPDATE files SET dev = dev + 1000"))
    if by_reconcile:
        reconcile(lab.context)
    scan_root(lab.context, lab.context.roots[0])
    assert rows(lab)[b"a.bin"].state is FileState.DUAL
    settled(lab)
