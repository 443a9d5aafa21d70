"""P11: leaving brings everything back and takes every name of ours away, or changes nothing and says why."""

import os
from dataclasses import replace

import pytest

from tests.jobs.lab import Lab
from tests.jobs.test_apply import old_files, states
from tiering.catalog import roots
from tiering.catalog.values import FileState
from tiering.errors import FrostlineError, RootMissing
from tiering.hot import names
from tiering.jobs.cycle import cycle
from tiering.jobs.doctor import doctor
from tiering.jobs.finding import Weight
from tiering.jobs.leave import away, leave

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
