"""gc: nothing goes before its time, on one listing's word, from a store that is not ours, or while anything
needs it.
"""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.jobs.debris import keys, pending, plant, put, state_of
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import Killed, books_balance, items, learn, rows, stored_bytes
from tiering.catalog import accounts, commit, ledger, packs
from tiering.catalog.values import FileState, PackState
from tiering.errors import CatalogBusy, NotOwner, StoreUnavailable
from tiering.jobs.audit import audit
from tiering.jobs.gc import GcPreview, collect, preview
from tiering.jobs.migrate import migrate
from tiering.jobs.release import release
from tiering.jobs.scan import scan_root
from tiering.stores import ownership

DAY_S = 86_400


def stored(lab: Lab, path: str = "a.bin", size: int = 200_000) -> bytes:
    data = os.urandom(size)
    lab.write(path, data)
    learn(lab)
    migrate(lab.context, items(lab, paths=[os.fsencode(path)]))
    return data


def let_go(lab: Lab, path: str = "a.bin") -> None:
    """Part the file from its stored copy, keeping no version: its packs are unreferenced."""
    with lab.catalog.write() as tx:
        row = rows(lab)[os.fsencode(path)]
        commit.supersede(tx, [row.file_id], op_id=f"let-go:{path}", keep_until_ns=None, reason="changed")


def sound(lab: Lab) -> None:
    books_balance(lab)
    assert audit(lab.context).discrepancies == ()


def data_keys(lab: Lab) -> list[str]:
    return keys(lab, "packs/")


def test_what_is_needed_stays(lab: Lab) -> None:
    data = stored(lab)
    report = collect(lab.context)
    assert (report.packs_doomed, report.packs_deleted, report.orphans_doomed) == (0, 0, 0)
    assert stored_bytes(lab, b"a.bin") == data
    sound(lab)


def test_what_nobody_needs_goes_after_its_grace(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", gc={"grace": "72h"}) as lab:
        stored(lab)
        let_go(lab)
        report = collect(lab.context)
        assert (report.packs_doomed, report.packs_deleted, report.packs_waiting) == (2, 0, 2)
        sound(lab)
        lab.clock.advance(71 * 3600)
        assert collect(lab.context).packs_deleted == 0
        lab.clock.advance(3601)
        assert preview(lab.context).packs_deleted == 2
        report = collect(lab.context)
        assert (report.packs_deleted, data_keys(lab), keys(lab, "recipes/")) == (2, [], [])
        assert audit(lab.context).dead_bytes == 0
        sound(lab)


def test_a_chunk_that_is_needed_again_before_the_doom_keeps_its_pack(lab: Lab) -> None:
    data = stored(lab)
    let_go(lab)
    lab.write("again.bin", data)
    learn(lab)
    migrate(lab.context, items(lab, paths=[b"again.bin"]))
    assert len(data_keys(lab)) == 1
    collect(lab.context)
    assert stored_bytes(lab, b"again.bin") == data
    sound(lab)


def test_the_bytes_of_a_doomed_pack_are_stored_anew(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", gc={"grace": "72h"}) as lab:
        data = stored(lab)
        let_go(lab)
        collect(lab.context)
        (doomed,) = data_keys(lab)
        migrate(lab.context, items(lab))
        assert len(data_keys(lab)) == 2
        lab.clock.advance(73 * 3600)
        collect(lab.context)
        assert doomed not in data_keys(lab)
        assert stored_bytes(lab, b"a.bin") == data
        sound(lab)


def test_p5_versions_and_missing_files_are_kept_as_long_as_promised(lab: Lab) -> None:
    data = stored(lab)
    stored(lab, "gone.bin")
    lab.write("a.bin", b"new content")
    os.unlink(lab.root / "gone.bin")
    scan_root(lab.context, lab.context.roots[0], confirm_missing=True)
    lab.clock.advance(29 * DAY_S)
    report = collect(lab.context)
    assert (report.versions_ended, report.files_forgotten, report.packs_deleted) == (0, 0, 0)
    assert audit(lab.context).retained_bytes == 2 * len(data)
    assert preview(lab.context) == GcPreview(0, 0, 0, 0, 0)
    lab.clock.advance(2 * DAY_S)
    assert preview(lab.context) == GcPreview(1, 1, 0, 0, 0), "packs are needed as long as these are there"
    report = collect(lab.context)
    assert (report.versions_ended, report.files_forgotten, report.packs_deleted) == (1, 1, 4)
    assert b"gone.bin" not in rows(lab)
    sound(lab)


def test_p5_missing_files_of_an_unmounted_root_are_kept(lab: Lab) -> None:
    stored(lab, "gone.bin")
    os.unlink(lab.root / "gone.bin")
    scan_root(lab.context, lab.context.roots[0], confirm_missing=True)
    lab.clock.advance(40 * DAY_S)
    os.rename(lab.root, lab.base / "away")
    lab.root.mkdir()
    assert collect(lab.context).files_forgotten == 0
    lab.root.rmdir()
    os.rename(lab.base / "away", lab.root)
    assert collect(lab.context).files_forgotten == 1
    sound(lab)


def test_an_offline_file_is_never_collected(lab: Lab) -> None:
    data = stored(lab)
    release(lab.context, items(lab), wait_parked=True)
    lab.clock.advance(3650 * DAY_S)
    collect(lab.context)
    assert rows(lab)[b"a.bin"].state is FileState.OFFLINE
    assert stored_bytes(lab, b"a.bin") == data
    sound(lab)


def test_nothing_is_deleted_before_the_segment_that_says_so(lab: Lab) -> None:
    stored(lab)
    let_go(lab)

    def no_segments(name: str) -> None:
        if name == "segments.pending":
            raise StoreUnavailable("the store is away")

    with pytest.raises(StoreUnavailable):
        collect(lab.with_steps(no_segments))
    assert len(data_keys(lab)) == 1
    assert collect(lab.context).packs_deleted == 2
    sound(lab)


def test_a_store_that_became_anothers_is_left_alone(lab: Lab) -> None:
    stored(lab)
    let_go(lab)
    taken = False

    def take_over(name: str) -> None:
        nonlocal taken
        if name == "gc.claimed" and not taken:
            taken = True
            raise Killed

    with pytest.raises(Killed):
        collect(lab.with_steps(take_over))
    ownership.take_over(lab.context.tiers["standard"].store, "another-catalog", lab.clock.now_ns())
    with pytest.raises(NotOwner):
        collect(lab.context)
    assert len(data_keys(lab)) == 1


@pytest.mark.parametrize("step", ["gc.claimed", "gc.deleted", "gc.booked", "gc.doom", "gc.versions"])
def test_p4_killed_at_any_step_it_is_run_again(lab: Lab, step: str) -> None:
    stored(lab)
    let_go(lab)

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        collect(lab.with_steps(die))
    collect(lab.context)
    assert (data_keys(lab), keys(lab, "recipes/")) == ([], [])
    assert audit(lab.context).dead_bytes == 0
    sound(lab)


def test_an_object_that_no_row_names_is_doomed_first_and_deleted_later(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", gc={"grace": "72h"}) as lab:
        stored(lab)
        put(lab, "packs/ff/nobody-0123456789abcdef", b"who am I" * 100)
        assert any("in no book" in said for said in audit(lab.context).discrepancies)
        assert collect(lab.context).orphans_doomed == 1
        assert state_of(lab, "packs/ff/nobody-0123456789abcdef") is PackState.DOOMED
        seen = audit(lab.context)
        assert (seen.dead_bytes, seen.discrepancies) == (800, ())
        lab.clock.advance(73 * 3600)
        assert collect(lab.context).packs_deleted == 1
        assert state_of(lab, "packs/ff/nobody-0123456789abcdef") is PackState.DELETED
        sound(lab)


def test_an_upload_that_lands_after_its_process_was_given_up_is_deleted(lab: Lab) -> None:
    plant(lab, "packs/aa/late-0123456789abcdef", b"")
    with lab.catalog.write() as tx:
        row = packs.by_keys(tx, ["packs/aa/late-0123456789abcdef"])["packs/aa/late-0123456789abcdef"]
        packs.doom_pending(tx, [(row.pack_no, 0)], op_id="reconcile:1", reason="its process died")
    collect(lab.context)
    assert data_keys(lab) == []
    sound(lab)


def test_one_gc_at_a_time(lab: Lab) -> None:
    other = replace(lab.context, owner=f"test:{os.getppid()}:boot")

    def second(name: str) -> None:
        if name == "gc.versions":
            collect(other)

    with pytest.raises(CatalogBusy):
        collect(lab.with_steps(second))


def test_deleting_before_the_minimum_stay_is_booked_in_dollars_once(lab: Lab) -> None:
    lab.write("a.bin", os.urandom(5_000_000))
    learn(lab)
    migrate(lab.context, items(lab, tier="archive"))
    let_go(lab)
    packs_before = len(keys(lab, "packs/", tier="archive"))
    tiers = lab.context.config.tiers  # a memory store has no prices; S3 has
    on_s3 = tiers["archive"].model_copy(update={"store": "s3://bucket/prefix"})
    ctx = replace(lab.context, config=lab.context.config.model_copy(update={"tiers": {**tiers, "archive": on_s3}}))
    collect(ctx)
    collect(ctx)
    with lab.catalog.read() as tx:
        booked = [entry for entry in ledger.entries(tx) if entry.kind == "early_delete"]
    assert len(booked) == packs_before > 1
    assert {line.account for entry in booked for line in entry.lines} == {
        accounts.COST_EARLY_DELETE,
        accounts.PAYABLE,
    }
    assert all(entry.price_book for entry in booked)
    sound(lab)


def test_unfinished_uploads_of_the_dead_are_aborted_and_of_the_living_left(tmp_path: Path) -> None:
    tiers = {"standard": {"store": f"file://{tmp_path}/store"}}
    (tmp_path / "store").mkdir()
    with open_lab(tmp_path / "lab", tiers=tiers, gc={"grace": "72h"}) as lab:
        store = lab.context.tiers["standard"].store
        pending(lab, "packs/aa/dead-0123456789abcdef", 10)
        pending(lab, "packs/bb/mine-0123456789abcdef", 10, owner=lab.context.owner)
        for number, key in enumerate(("packs/aa/dead-0123456789abcdef", "packs/bb/mine-0123456789abcdef")):
            leftover = tmp_path / "store" / ".tmp" / f"{number:016x}.{quote(key, safe='')}"
            leftover.parent.mkdir(exist_ok=True)
            leftover.write_bytes(b"half")
        assert len(list(store.list_uploads())) == 2
        assert collect(lab.context).uploads_aborted == 1
        assert [upload.key for upload in store.list_uploads()] == ["packs/bb/mine-0123456789abcdef"]
