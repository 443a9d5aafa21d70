"""P11: leaving brings everything back and takes every name of ours away, or changes nothing and says why."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import rows
from tests.jobs.test_apply import old_files, states
from tiering.catalog import journal, roots
from tiering.catalog.values import FileState, JournalKind
from tiering.errors import FrostlineError, RootMissing, UsageError
from tiering.hot import names
from tiering.jobs.context import OpenRoot
from tiering.jobs.cycle import cycle
from tiering.jobs.doctor import doctor
from tiering.jobs.finding import Weight
from tiering.jobs.leave import away, leave
from tiering.jobs.restore_mark import marked
from tiering.jobs.scan import scan_root

MARKER = os.fsdecode(names.ROOT_MARKER)


@pytest.fixture
def offline(lab: Lab) -> dict[str, bytes]:
    """Three offline files; returns what they hold."""
    old_files(lab, 3)
    held = {path.name: path.read_bytes() for path in (lab.root / "old").iterdir()}
    for path in (lab.root / "old").iterdir():
        os.utime(path, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    cycle(lab.context, act=True, wait_parked=True)
    assert away(lab.context).files == 3
    return held


def test_leaving_brings_back_and_takes_the_marker(lab: Lab, offline: dict[str, bytes]) -> None:
    report = leave(lab.context)
    assert report.left == (str(lab.root),)
    assert {path.name: path.read_bytes() for path in (lab.root / "old").iterdir()} == offline
    assert not (lab.root / MARKER).exists()
    with lab.catalog.read() as tx:
        assert [row.state for row in roots.all_roots(tx)] == ["left"]


def test_a_file_that_cannot_come_back_keeps_everything_in_place(lab: Lab, offline: dict[str, bytes]) -> None:
    (lab.root / "old" / "1.bin").unlink()
    (lab.root / "old" / "1.bin").write_bytes(b"a user's new file")
    with pytest.raises(FrostlineError):
        leave(lab.context)
    assert (lab.root / MARKER).exists()
    assert (lab.root / "old" / "1.bin").read_bytes() == b"a user's new file"


def test_a_copied_placeholder_is_seen_before_the_marker_goes(lab: Lab, offline: dict[str, bytes]) -> None:
    os.symlink(os.readlink(lab.root / "old" / "0.bin"), lab.root / "copy.bin")
    with pytest.raises(FrostlineError, match=r"copy\.bin"):
        leave(lab.context)
    assert (lab.root / MARKER).exists()


def looked_at(lab: Lab) -> OpenRoot:
    """A second root that frostline only looks at, with the marker of another installation."""
    path = lab.base / "look"
    path.mkdir()
    (path / "file").write_bytes(b"looked at")
    (path / MARKER).write_bytes(b"frostline root of another installation\n")
    with lab.catalog.write() as tx:
        root_id = roots.add(tx, name="look", path=os.fsencode(path), marker="")
    return OpenRoot(root_id, "look", os.fsencode(path), "")


def test_p11_a_root_that_is_only_looked_at_keeps_nobody_from_leaving(lab: Lab, offline: dict[str, bytes]) -> None:
    look = looked_at(lab)
    ctx = replace(lab.context, roots=(*lab.context.roots, look))
    report = leave(ctx)
    assert report.left == (str(lab.root), os.fsdecode(look.path))
    assert {path.name: path.read_bytes() for path in (lab.root / "old").iterdir()} == offline
    assert not (lab.root / MARKER).exists()
    assert sorted(os.listdir(look.path)) == [os.fsencode(MARKER), b"file"]


def test_files_away_from_a_root_made_read_only_since_are_named_first(lab: Lab, offline: dict[str, bytes]) -> None:
    ctx = replace(lab.context, roots=tuple(replace(root, marker="") for root in lab.context.roots))
    with pytest.raises(UsageError, match=r"3 files of .* read_only"):
        leave(ctx)
    assert (lab.root / MARKER).exists()
    assert away(ctx).files == 3


def test_what_is_in_the_stores_alone_is_said_before(lab: Lab, offline: dict[str, bytes]) -> None:
    assert away(lab.context).retained_bytes == 0
    gone = len(offline["1.bin"])
    (lab.root / "old" / "1.bin").unlink()
    with pytest.raises(FrostlineError, match="not everything") as refused:
        leave(lab.context)
    assert "frostline scan" in refused.value.hint
    scan_root(lab.context, lab.context.roots[0])
    assert away(lab.context).retained_bytes == gone
    assert leave(lab.context).left == (str(lab.root),)


def test_leaving_elsewhere_keeps_the_placeholders_and_says_so(lab: Lab, offline: dict[str, bytes]) -> None:
    to = lab.base / "elsewhere"
    report = leave(lab.context, to=str(to))
    assert report.kept_placeholders == 3
    assert {path.name: path.read_bytes() for path in to.rglob("*.bin")} == offline


def test_an_unmounted_root_cannot_be_left(lab: Lab, offline: dict[str, bytes]) -> None:
    lab.root.rename(lab.base / "unmounted")
    (lab.base / "root").mkdir()
    with pytest.raises(RootMissing):
        leave(lab.context)


def test_doctor_finds_a_sound_installation_sound(lab: Lab) -> None:
    old_files(lab, 1)
    cycle(lab.context, act=True, wait_parked=True)
    assert [finding for finding in doctor(lab.context, probes=True) if finding.weight is Weight.BAD] == []


def test_doctor_names_what_is_wrong_and_what_mends_it(lab: Lab) -> None:
    (lab.root / os.fsdecode(names.parked("0123456789abcdef"))).write_bytes(b"left over")
    (lab.root / MARKER).rename(lab.base / "marker")
    said = "\n".join(f"{finding.what} -> {finding.do}" for finding in doctor(lab.context))
    assert "does not carry its marker" in said
    assert f"frostline init --root {lab.root}" in said
    (lab.base / "marker").rename(lab.root / MARKER)
    said = "\n".join(f"{finding.what} -> {finding.do}" for finding in doctor(lab.context))
    assert "is ours and no operation explains it -> frostline reconcile" in said
    other = replace(lab.context, epoch=7)
    assert any("belongs to catalog" in finding.what for finding in doctor(other))
    assert states(lab) == {} or set(states(lab).values()) <= {FileState.REGULAR}


def plant_restore(lab: Lab) -> list[Path]:
    """Be a restore into a folder of the root that is killed; return all that it left."""
    out = lab.root / "out"
    (out / "root").mkdir(parents=True)
    fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    with marked(fd, [b"root"], lab.context.owner) as mark:
        left = [out / "root" / os.fsdecode(mark.name()), out / os.fsdecode(mark.name())]
        left[0].write_bytes(b"half")
        left[1].mkdir()
        (left[1] / "file").write_bytes(b"whole")
    os.close(fd)
    return [*left, *out.glob(".frostline-restore-*")]


def test_what_a_killed_restore_left_in_a_root_goes_with_leaving(lab: Lab, offline: dict[str, bytes]) -> None:
    left = plant_restore(lab)
    assert len(left) == 3
    leave(lab.context)
    assert not any(path.exists() for path in left)
    assert {path.name: path.read_bytes() for path in (lab.root / "old").iterdir()} == offline
    assert not (lab.root / MARKER).exists()


def test_a_restore_that_writes_into_a_root_is_waited_for(lab: Lab, offline: dict[str, bytes]) -> None:
    fd = os.open(lab.root / "old", os.O_RDONLY | os.O_DIRECTORY)
    with marked(fd, [b"root"], lab.context.owner) as mark:
        with pytest.raises(FrostlineError, match="hidden name") as caught:
            leave(lab.context)
        mark.remove()
    os.close(fd)
    assert "wait for a restore" in caught.value.hint
    assert (lab.root / MARKER).exists()
    leave(lab.context)
    assert not (lab.root / MARKER).exists()


@pytest.mark.usefixtures("offline")
def test_doctor_explains_what_restores_and_operations_have_hidden(lab: Lab) -> None:
    plant_restore(lab)
    one = next(row for row in rows(lab).values() if row.state is FileState.OFFLINE)
    claim = journal.Claim("recall:0123456789abcdef-0", JournalKind.RECALL, one.file_id, "claimed", "{}")
    with lab.catalog.write() as tx:
        assert journal.claim(tx, [claim], owner=lab.context.owner, until_ns=tx.now_ns + 10**15)
    (lab.root / os.fsdecode(names.new(claim.op_id))).write_bytes(b"under way")
    found = [(finding.weight, finding.what) for finding in doctor(lab.context)]
    assert (Weight.NOTE, f"a restore writes to {lab.root}/out/, or was killed there") in found
    assert [what for _, what in found if what.endswith("explains it")] == []
