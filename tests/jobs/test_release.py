"""release frees bytes only behind the verdict, in steps that can be finished or undone from wherever they stopped."""

import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hot.waiting import until_an_open_waits
from tests.jobs.lab import Lab, open_lab
from tests.jobs.outbound import (
    CONTENT,
    Killed,
    StopAt,
    books_balance,
    content,
    hidden,
    items,
    learn,
    rows,
    states,
    store,
    under_way,
)
from tiering.catalog import files, journal
from tiering.catalog.values import FileState, JournalKind
from tiering.errors import RootMissing
from tiering.hot import lease as lease_module
from tiering.hot import syscalls
from tiering.hot.placeholder import parse_target
from tiering.jobs import candidates as candidates_module
from tiering.jobs.migrate import migrate
from tiering.jobs.release import finish_parked, release, resume
from tiering.jobs.reports import JobReport, Skip


def _release(lab: Lab, *, wait: bool = True) -> JobReport:
    return release(lab.context, items(lab), wait_parked=wait)


def test_the_bytes_go_and_a_placeholder_stays(lab: Lab) -> None:
    store(lab, "a/model.bin", "b.bin")
    report = _release(lab)
    assert report.files_skipped == ()
    assert (report.files_done, report.bytes_freed) == (2, sum(row.size for row in rows(lab).values()))
    for path in ("a/model.bin", "b.bin"):
        parsed = parse_target(os.readlink(os.fsencode(lab.root / path)))
        assert parsed is not None
        assert parsed.name == os.path.basename(path).encode()
    assert set(states(lab).values()) == {FileState.OFFLINE}
    assert (hidden(lab), under_way(lab)) == ([], [])
    books_balance(lab)


def test_running_it_again_changes_nothing(lab: Lab) -> None:
    store(lab, "a")
    _release(lab)
    again = _release(lab)
    assert (again.files_done, again.files_skipped) == (1, ())
    books_balance(lab)


def test_p1_a_file_without_a_stored_copy_stays(lab: Lab) -> None:
    lab.write("a", CONTENT)
    learn(lab)
    report = _release(lab)
    assert "no stored copy" in report.files_skipped[0].reason
    assert (lab.root / "a").read_bytes() == CONTENT


def test_p1_a_file_changed_since_it_was_stored_stays(lab: Lab) -> None:
    store(lab, "a")
    (lab.root / "a").write_bytes(b"something newer")
    report = _release(lab)
    assert "changed since" in report.files_skipped[0].reason
    assert (lab.root / "a").read_bytes() == b"something newer"
    assert under_way(lab) == []


@pytest.mark.parametrize("mode", ["rb", "r+b"])
def test_p1_an_open_file_stays(lab: Lab, mode: str) -> None:
    store(lab, "a")
    with (lab.root / "a").open(mode):
        report = _release(lab)
    assert report.files_done == 0
    assert not (lab.root / "a").is_symlink()


def test_p1_the_segment_is_written_before_the_bytes_go(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if migrate's own flush never ran."""
    lab.write("a", CONTENT)
    learn(lab)
    with pytest.raises(Killed):
        migrate(lab.with_steps(StopAt("segments.pending")), items(lab))
    row = rows(lab)[b"a"]
    assert row.state == FileState.DUAL
    assert list(lab.context.metadata.store.list("segments/")) == []
    report = _release(lab)
    assert report.files_skipped == ()
    assert list(lab.context.metadata.store.list("segments/")) != []


def test_p1_nothing_is_released_while_the_segment_cannot_be_written(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.write("a", CONTENT)
    learn(lab)
    with pytest.raises(Killed):
        migrate(lab.with_steps(StopAt("segments.pending")), items(lab))
    monkeypatch.setattr(candidates_module, "flush", lambda ctx: 0)
    report = _release(lab)
    assert "not durable in the store yet" in report.files_skipped[0].reason
    assert (lab.root / "a").read_bytes() == CONTENT


def test_p1_a_pinned_file_stays(lab: Lab) -> None:
    store(lab, "a")
    with lab.catalog.write() as tx:
        files.set_pinned(tx, [rows(lab)[b"a"].file_id], True)
    assert "pinned" in _release(lab).files_skipped[0].reason


def test_small_files_stay(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", release={"park_s": 0, "min_size": "64KiB"}) as lab:
        store(lab, "a")
        assert "min_size" in _release(lab).files_skipped[0].reason


def test_an_unmounted_root_is_left_alone(lab: Lab) -> None:
    store(lab, "a")
    wanted = items(lab)
    (lab.root / ".frostline-root").unlink()
    with pytest.raises(RootMissing):
        release(lab.context, wanted, wait_parked=True)
    assert not (lab.root / "a").is_symlink()


def test_parked_files_wait_for_the_next_pass(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, "a", "b")
        report = _release(lab, wait=False)
        assert report.files_done == 0
        assert "parked" in report.notes[0]
        assert len(hidden(lab)) == 2
        assert set(states(lab).values()) == {FileState.DUAL}
        other = replace(lab.context, owner="other:1:boot")
        assert finish_parked(other).files_done == 0, "before its time"
        lab.clock.advance(61)
        assert finish_parked(other).files_done == 2, "by another process, once the time is over"
        assert set(states(lab).values()) == {FileState.OFFLINE}
        assert (hidden(lab), under_way(lab)) == ([], [])
        books_balance(lab)


def test_p1_a_change_while_parked_brings_the_file_back(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, "a")
        _release(lab, wait=False)
        with (lab.root / hidden(lab)[0]).open("ab") as late:
            late.write(b"late bytes")
        lab.clock.advance(61)
        report = finish_parked(lab.context)
        assert "put back" in report.files_skipped[0].reason
        assert (lab.root / "a").read_bytes() == content("a") + b"late bytes"
        assert (hidden(lab), under_way(lab)) == ([], [])


def test_p1_a_conflict_keeps_both(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, "a")
        _release(lab, wait=False)
        with (lab.root / hidden(lab)[0]).open("ab") as late:
            late.write(b"late bytes")
        (lab.root / "a").unlink()
        (lab.root / "a").write_bytes(b"new")
        lab.clock.advance(61)
        report = finish_parked(lab.context)
        assert "it is kept as a.frostline-conflict-" in report.notes[0]
        assert (lab.root / "a").read_bytes() == b"new"
        (kept,) = lab.root.glob("a.frostline-conflict-*")
        assert kept.read_bytes() == content("a") + b"late bytes"


@pytest.mark.parametrize("has_right", [True, False])
def test_a_folder_renamed_while_parked_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_right: bool
) -> None:
    def refuse(mount_fd: int, handle: object, flags: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    if not has_right:
        monkeypatch.setattr(syscalls, "open_handle", refuse)
    elif os.geteuid() != 0:
        pytest.skip("needs CAP_DAC_READ_SEARCH to open a folder by its handle")
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, "d/a")
        _release(lab, wait=False)
        (lab.root / "d").rename(lab.root / "moved")
        (lab.root / "d").mkdir()
        lab.clock.advance(61)
        assert finish_parked(lab.context).files_done == 1
        assert os.listdir(lab.root / "moved") == ["a"]


def test_p1_a_root_unmounted_while_parked_is_waited_for(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, "d/a")
        _release(lab, wait=False)
        lab.clock.advance(61)
        lab.root.rename(tmp_path / "elsewhere")
        lab.root.mkdir()
        report = finish_parked(lab.context)
        assert "stays parked" in report.files_skipped[0].reason
        assert set(states(lab).values()) == {FileState.DUAL}
        lab.root.rmdir()
        (tmp_path / "elsewhere").rename(lab.root)
        assert finish_parked(lab.context).files_done == 1
        assert hidden(lab) == []


def test_a_folder_deleted_while_parked_is_no_trouble(tmp_path: Path) -> None:
    with open_lab(tmp_path / "lab", release={"park_s": 60, "min_size": 0}) as lab:
        store(lab, "d/a")
        _release(lab, wait=False)
        for name in os.listdir(lab.root / "d"):
            (lab.root / "d" / name).unlink()
        (lab.root / "d").rmdir()
        lab.clock.advance(61)
        assert finish_parked(lab.context).files_skipped == ()
        assert under_way(lab) == []
        books_balance(lab)


def test_a_file_system_without_exchange_keeps_its_files(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(dir_fd: int, first: bytes, second: bytes) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    store(lab, "a")
    monkeypatch.setattr(syscalls, "rename_exchange", cannot)
    assert "cannot be exchanged here" in _release(lab).files_skipped[0].reason
    assert (lab.root / "a").read_bytes() == content("a")
    assert (hidden(lab), under_way(lab)) == ([], [])


def test_all_names_of_a_hard_link_go_together(lab: Lab) -> None:
    lab.write("a", CONTENT)
    (lab.root / "d").mkdir()
    os.link(lab.root / "a", lab.root / "d/b")
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    report = release(lab.context, items(lab, paths=[b"d/b"]), wait_parked=True)
    assert report.files_skipped == ()
    assert (lab.root / "a").is_symlink()
    assert (lab.root / "d/b").is_symlink()
    assert set(states(lab).values()) == {FileState.OFFLINE}
    books_balance(lab)


def test_a_name_outside_the_roots_keeps_the_file(lab: Lab, tmp_path: Path) -> None:
    store(lab, "a")
    os.link(lab.root / "a", tmp_path / "outside")
    report = _release(lab)
    assert report.files_done == 0
    assert not (lab.root / "a").is_symlink()


def test_a_root_that_leaves_nothing_behind(tmp_path: Path) -> None:
    base = tmp_path / "lab"
    with open_lab(base, roots=[{"name": "root", "path": f"{base}/root", "placeholder": "none"}]) as lab:
        store(lab, "a")
        assert _release(lab).files_done == 1
        assert os.listdir(lab.root) == [".frostline-root"]
        assert set(states(lab).values()) == {FileState.OFFLINE}


def _without_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, path: str) -> None:
        raise lease_module.LeaseUnavailable("no leases on this file system")

    monkeypatch.setattr(lease_module.Lease, "take", refuse)


def test_p1_without_leases_nothing_is_released(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    store(lab, "a")
    _without_leases(monkeypatch)
    report = _release(lab)
    assert "release_without_lease" in report.files_skipped[0].reason
    assert not (lab.root / "a").is_symlink()


@pytest.mark.parametrize(("allowed", "is_released"), [("5000d", False), ("7d", True)])
def test_p1_without_leases_a_root_may_say_how_long_is_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str, is_released: bool
) -> None:
    base = tmp_path / "lab"
    root = {"name": "root", "path": f"{base}/root", "release_without_lease": allowed}
    with open_lab(base, roots=[root]) as lab:
        store(lab, "a", "b")
        _without_leases(monkeypatch)
        other = _other_digest_for((lab.root / "b").stat().st_ino, candidates_module.digest_of)
        monkeypatch.setattr(candidates_module, "digest_of", other)
        report = _release(lab)
        assert (lab.root / "a").is_symlink() is is_released
        assert not (lab.root / "b").is_symlink()
        assert "digest was not read twice" in report.files_skipped[-1].reason
        assert is_released or "less than" in report.files_skipped[0].reason


def _other_digest_for(ino: int, digest: object) -> object:
    def read(fd: int, size: int) -> bytes:
        return bytes(32) if os.fstat(fd).st_ino == ino else digest(fd, size)  # type: ignore[operator]

    return read


@pytest.mark.parametrize(
    "step",
    [
        "release.intent",
        "release.exchanged",
        "release.parked",
        "release.unlinking",
        "release.unlinked",
        "release.committed",
    ],
)
def test_p4_a_kill_at_any_step_is_finished_or_undone(lab: Lab, step: str) -> None:
    store(lab, "a", "b", "c")
    with pytest.raises(Killed):
        release(lab.with_steps(StopAt(step)), items(lab), wait_parked=True)
    with lab.catalog.read() as tx:
        left = journal.every(tx)
    for row in left:
        assert row.kind == JournalKind.RELEASE
        resume(lab.context, row)
        resume(lab.context, row)  # twice is once
    assert (hidden(lab), under_way(lab)) == ([], [])
    for path, row in rows(lab).items():
        place = lab.root / os.fsdecode(path)
        if place.is_symlink():
            assert row.state == FileState.OFFLINE
        else:
            assert place.read_bytes() == content(path)
            assert row.state == FileState.DUAL
    books_balance(lab)
    if step in {"release.parked", "release.unlinking", "release.unlinked", "release.committed"}:
        assert all((lab.root / name).is_symlink() for name in "abc")


def test_p10_a_writer_that_comes_during_the_swap_is_let_in(lab: Lab) -> None:
    store(lab, "a")
    place = lab.root / "a"
    found = os.open(place, os.O_PATH)
    wrote = threading.Event()

    def write() -> None:
        with open(f"/proc/self/fd/{found}", "ab") as late:
            late.write(b"late bytes")
        wrote.set()

    thread = threading.Thread(target=write)

    def come() -> None:
        thread.start()
        until_an_open_waits()

    report = release(lab.with_steps(StopAt("release.exchanged", action=come)), items(lab), wait_parked=True)
    assert wrote.wait(20)
    thread.join()
    os.close(found)
    assert report.files_skipped[0].kind is Skip.BUSY
    assert place.read_bytes() == content("a") + b"late bytes"
    assert (hidden(lab), under_way(lab)) == ([], [])


def test_an_operation_under_way_is_not_disturbed(lab: Lab) -> None:
    store(lab, "a")
    row = rows(lab)[b"a"]
    with lab.catalog.write() as tx:
        claim = journal.Claim("release:x-0", JournalKind.RELEASE, row.file_id, "intent", json.dumps({}))
        journal.claim(tx, [claim], owner="other", until_ns=tx.now_ns + 10**12)
    assert "another operation" in _release(lab).files_skipped[0].reason
    assert not (lab.root / "a").is_symlink()


def test_names_that_are_no_text(lab: Lab) -> None:
    name = os.fsdecode(b"\xff\xfe\n" + b"n" * 240)
    (lab.root / "d").mkdir()
    (lab.root / "d" / name).write_bytes(CONTENT)
    learn(lab)
    migrate(lab.context, items(lab))
    assert _release(lab).files_done == 1
    assert (lab.root / "d" / name).is_symlink()
