"""Scan: what it concludes from a tree, and what it refuses to conclude."""

import os
import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.debris import DEAD
from tests.jobs.lab import Lab, open_lab
from tests.jobs.scanning import balance, fill, rows, scan, states
from tests.jobs.stored import row_of, store
from tiering.catalog import files, journal, leases, scans, versions
from tiering.catalog.values import FileRow, FileState, JournalKind
from tiering.errors import CatalogBusy, NoSpace, RootMissing
from tiering.hot import names
from tiering.jobs.context import Context
from tiering.jobs.scan import scan_root


def test_a_first_scan_books_every_file_once(lab: Lab) -> None:
    lab.write("a.txt", b"12345")
    lab.write("sub/deep/b", b"")
    lab.write(b"odd/\xff\n name", b"123")
    os.symlink("a.txt", lab.root / "link")
    os.mkfifo(lab.root / "fifo")
    os.makedirs(lab.root / ".snapshot/x")
    lab.write(".snapshot/x/y", b"zz")
    report = scan(lab)

    assert (report.state, report.files, report.new, report.bytes) == ("complete", 3, 3, 8)
    assert set(rows(lab)) == {"a.txt", "sub/deep/b", "odd/\udcff\n name"}
    assert balance(lab, "files.hot_only") == 8
    assert balance(lab, "files.logical") == -8


def test_a_second_scan_of_an_unchanged_tree_writes_nothing(lab: Lab) -> None:
    fill(lab, 20)
    scan(lab)
    before = rows(lab)
    report = scan(lab)

    assert (report.new, report.changed, report.moved, report.missing) == (0, 0, 0, 0)
    assert rows(lab) == before


def test_p5_a_root_without_its_marker_is_refused_and_nothing_goes_missing(lab: Lab) -> None:
    fill(lab, 20)
    scan(lab)
    (lab.root / os.fsdecode(names.ROOT_MARKER)).unlink()
    with pytest.raises(RootMissing):
        scan(lab)

    assert set(states(lab).values()) == {"regular"}
    with lab.catalog.read() as tx:
        last = scans.last(tx, lab.context.roots[0].root_id)
    assert last is not None
    assert last.state == "refused"


def test_p5_a_root_that_vanishes_during_the_walk_marks_nothing(lab: Lab) -> None:
    paths = fill(lab, 8)
    scan(lab)
    paths[0].write_bytes(b"changed")
    paths[1].unlink()

    def unmount(step: str) -> None:
        if step == "scan.batch":
            (lab.root / os.fsdecode(names.ROOT_MARKER)).unlink()

    with pytest.raises(RootMissing):
        scan_root(lab.with_steps(unmount), lab.context.roots[0])
    assert set(states(lab).values()) == {"regular"}


def test_a_missing_file_keeps_its_row_and_its_copy_and_comes_back(lab: Lab) -> None:
    fill(lab, 20)
    scan(lab)
    store(lab, "d0/f000")
    aside = lab.base / "aside"
    os.rename(lab.root / "d0/f000", aside)
    report = scan(lab)
    gone = rows(lab)["d0/f000"]

    assert report.missing == 1
    assert (gone.state, gone.missing_from) == (FileState.MISSING, "dual")
    assert gone.recipe_no is not None
    assert balance(lab, "held.retained") == -1
    os.rename(aside, lab.root / "d0/f000")
    scan(lab)
    back = rows(lab)["d0/f000"]
    assert back.state in {FileState.DUAL, FileState.REGULAR}  # a rename may or may not move ctime
    assert balance(lab, "files.logical") == -sum(i + 1 for i in range(20))


def test_p5_mass_disappearance_changes_nothing_until_confirmed(lab: Lab) -> None:
    paths = fill(lab, 40)
    scan(lab)
    for path in paths[:10]:
        path.unlink()
    report = scan(lab)

    assert report.state == "awaiting_confirmation"
    assert report.missing == 10
    assert report.exit_code == 3
    assert "--confirm-missing" in report.note
    assert set(states(lab).values()) == {"regular"}
    assert scan(lab, confirm_missing=True).missing == 10
    assert list(states(lab).values()).count("missing") == 10


def test_few_files_may_go_missing_without_asking(lab: Lab) -> None:
    paths = fill(lab, 8)
    scan(lab)
    for path in paths[:3]:
        path.unlink()

    assert scan(lab).missing == 3


@pytest.mark.root
def test_p5_a_folder_under_another_mount_is_unknown_not_gone(lab: Lab) -> None:
    fill(lab, 20)
    scan(lab)
    hidden = lab.root / "d3"
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(hidden)], capture_output=True, check=False).returncode:
        pytest.skip("needs root to mount a tmpfs")
    try:
        report = scan(lab)
    finally:
        subprocess.run(["umount", str(hidden)], check=True)

    assert (report.state, report.missing, report.problem_count) == ("complete", 0, 0)
    assert set(states(lab).values()) == {"regular"}


def test_a_changed_file_parts_from_its_stored_copy_which_is_kept_as_a_version(lab: Lab) -> None:
    lab.write("a", b"old")
    scan(lab)
    store(lab, "a")
    assert rows(lab)["a"].state is FileState.DUAL
    (lab.root / "a").write_bytes(b"newer")
    report = scan(lab)
    row = rows(lab)["a"]

    assert report.changed == 1
    assert (row.state, row.recipe_no, row.size) == (FileState.REGULAR, None, 5)
    with lab.catalog.read() as tx:
        kept = versions.of_path(tx, row.root_id, b"", b"a")
    assert [version.reason for version in kept] == ["changed"]
    assert balance(lab, "held.retained") == -3


def test_a_renamed_file_keeps_its_row_and_its_pin(lab: Lab) -> None:
    lab.write("a", b"data")
    lab.write("b", b"stay")
    scan(lab)
    store(lab, "a")
    before = rows(lab)["a"]
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [before.file_id], pinned=True)
    os.rename(lab.root / "a", lab.root / "c")
    report = scan(lab)
    after = rows(lab)

    assert (report.moved, report.new, report.missing) == (1, 0, 0)
    assert set(after) == {"b", "c"}
    assert (after["c"].file_id, after["c"].pinned) == (before.file_id, True)
    assert after["c"].first_seen_ns == before.first_seen_ns
    # rename moved the ctime: P1 wants the copy proven again, and the old one is a version meanwhile
    assert after["c"].state in {FileState.REGULAR, FileState.DUAL}
    assert balance(lab, "files.logical") == -8


def test_a_renamed_folder_keeps_its_files_dual(lab: Lab) -> None:
    paths = fill(lab, 30)
    scan(lab)
    for path in paths[:2]:
        store(lab, str(path.relative_to(lab.root)))
    os.rename(lab.root / "d0", lab.root / "a0")
    os.rename(lab.root / "d1", lab.root / "z1")
    report = scan(lab)

    assert (report.moved, report.new, report.missing, report.state) == (10, 0, 0, "complete")
    assert states(lab)["a0/f000"] == "dual"
    assert states(lab)["z1/f001"] == "dual"
    assert scan(lab).changed == 0


def test_a_copy_with_the_old_file_in_place_is_new_not_moved(lab: Lab) -> None:
    lab.write("a", b"data")
    scan(lab)
    lab.write("b", b"data")
    report = scan(lab)

    assert (report.moved, report.new) == (0, 1)


def test_hard_links_are_one_inode_counted_once(lab: Lab) -> None:
    lab.write("a", b"12345")
    os.makedirs(lab.root / "sub")
    os.link(lab.root / "a", lab.root / "sub/b")
    report = scan(lab)
    found = rows(lab)

    assert report.files == 2
    assert balance(lab, "files.logical") == -5
    assert found["sub/b"].leader_id == found["a"].file_id
    os.link(lab.root / "a", lab.root / "c")
    scan(lab)
    assert balance(lab, "files.logical") == -5
    (lab.root / "a").unlink()
    scan(lab)
    assert balance(lab, "files.logical") == -5
    assert states(lab)["a"] == "missing"


def test_a_scan_that_is_stopped_marks_nothing(lab: Lab) -> None:
    paths = fill(lab, 8)
    scan(lab)
    paths[0].unlink()
    lab.context.stop.set()
    report = scan(lab)

    assert report.state == "refused"
    assert set(states(lab).values()) == {"regular"}
    lab.context.stop.clear()
    assert scan(lab).missing == 1


@pytest.mark.parametrize("step", ["scan.batch", "scan.missing", "scan.finish"])
def test_p4_a_scan_killed_at_any_step_is_made_good_by_the_next(lab: Lab, step: str) -> None:
    paths = fill(lab, 30)
    scan(lab)
    store(lab, str(paths[3].relative_to(lab.root)))
    paths[3].write_bytes(b"changed")
    paths[4].unlink()
    lab.write("new", b"new")

    class Killed(Exception):
        pass

    def kill(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        scan_root(lab.with_steps(kill), lab.context.roots[0])
    scan(lab)

    found = states(lab)
    assert found["new"] == "regular"
    assert found[str(paths[4].relative_to(lab.root))] == "missing"
    on_disk = sum(path.stat().st_size for path in lab.root.rglob("f*")) + 3
    assert balance(lab, "files.logical") == -on_disk
    assert balance(lab, "held.retained") == -4


def test_rows_under_an_operation_are_left_alone(lab: Lab) -> None:
    from_before = lab.write("a", b"data")
    scan(lab)
    row = row_of(lab, "a")
    assert row is not None
    _claim(lab, row)
    from_before.write_bytes(b"changed meanwhile")
    scan(lab)

    assert rows(lab)["a"].size == 4


def _claim(lab: Lab, row: FileRow) -> None:
    from_ns = lab.clock.now_ns()
    with lab.catalog.write() as tx:
        assert journal.claim(
            tx, [journal.Claim("migrate:1", JournalKind.MIGRATE, row.file_id, "claimed")], owner="x", until_ns=from_ns
        )


def test_only_one_process_scans_a_root_at_a_time(lab: Lab) -> None:
    with leases.held(lab.catalog, "scan:1", owner="other:1:boot", seconds=60), pytest.raises(CatalogBusy):
        scan_root(replace(lab.context, owner="me:2:boot"), lab.context.roots[0])


def test_p4_the_hold_of_a_scan_that_was_killed_counts_for_nothing(lab: Lab) -> None:
    fill(lab, 3)
    with lab.catalog.write() as tx:
        assert leases.acquire(tx, "scan:1", owner=DEAD, until_ns=tx.now_ns + 10**12)
    assert scan(lab).new == 3
    with lab.catalog.read() as tx:
        assert leases.holder(tx, "scan:1") is None


def test_a_read_only_root_needs_no_marker_and_loses_no_stored_copy(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab") as lab:
        paths = fill(lab, 3)
        scan(lab)
        store(lab, "d0/f000")
        look = _read_only(lab)
        (lab.root / os.fsdecode(names.ROOT_MARKER)).unlink()
        for path in paths:
            path.unlink()
        scan_root(look, look.roots[0])

        assert states(lab) == {"d0/f000": "dual", "d1/f001": "missing", "d2/f002": "missing"}


def _read_only(lab: Lab) -> Context:
    settings = lab.context.config.roots[0].model_copy(update={"read_only": True})
    config = lab.context.config.model_copy(update={"roots": (settings,)})
    return replace(lab.context, config=config, roots=(replace(lab.context.roots[0], marker=""),))


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_root(lab: Lab) -> None:
    peaks = []
    for count in (10_000, 20_000, 50_000):  # the first scan looks for no moved files, and needs less
        for i in range(count):
            folder = lab.root / f"{i // 500:05d}"
            folder.mkdir(exist_ok=True)
            (folder / f"{i:07d}").touch()
        tracemalloc.start()
        assert scan(lab).files == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert peaks[2] < peaks[1] * 1.2, peaks


def test_a_full_disk_for_its_notes_gets_a_sentence(lab: Lab) -> None:
    lab.write("a", b"data")
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    spool = Path(lab.context.config.spool_dir)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(spool)], check=False)
    if mounted.returncode:
        pytest.skip("needs root to mount a tmpfs")
    try:
        scan(lab)
        for i in range(2000):
            (lab.root / f"{'long' * 40}{i}").touch()
        scan(lab)
        for i in range(2000):
            (lab.root / f"{'long' * 40}{i}").unlink()
        with pytest.raises(NoSpace) as full:
            scan(lab)
    finally:
        subprocess.run(["umount", "-l", str(spool)], check=True)

    assert "nothing was marked missing" in full.value.sentence()
    assert "missing" not in set(states(lab).values())
