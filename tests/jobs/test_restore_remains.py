"""What a dead restore left is found by its marker, and removed; nothing else ever is, whatever stands in its way."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.lab import Lab
from tests.jobs.test_restore_folders import SMALL, store
from tests.jobs.test_restore_run import tree
from tiering.hot import names
from tiering.jobs.restore import restore
from tiering.jobs.restore_mark import Mark, marked
from tiering.jobs.restore_remains import Remains, clear

ME = "host:17:boot:400"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A target folder with something in it."""
    folder = tmp_path / "out"
    (folder / "root/a").mkdir(parents=True)
    (folder / "root/a/mine").write_bytes(b"mine")
    return folder


@pytest.fixture
def to_fd(out: Path) -> Iterator[int]:
    fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def leave(to_fd: int, folders: list[Path], owner: str = ME) -> tuple[bytes, list[Path]]:
    """Be a restore of `root` that is killed: return its marker, and what it left in *folders*: a file in each, and a
    folder with two files.
    """
    left = []
    with marked(to_fd, [b"root"], owner) as mark:
        for folder in folders:
            left += [folder / os.fsdecode(mark.name()), folder / os.fsdecode(mark.name())]
            left[-2].write_bytes(b"half")
            left[-1].mkdir()
            for number in range(2):
                (left[-1] / str(number)).write_bytes(b"whole")
        marker = marker_of(mark)
    return marker, left


def marker_of(mark: Mark) -> bytes:
    op = names.operation_of(mark.name())
    assert op is not None
    return names.restoring(op)


def cleared(to_fd: int, mine: str = ME) -> Remains:
    return clear(to_fd, mine=mine, is_stopped=lambda: False)


def test_what_a_dead_restore_left_is_removed_and_then_its_marker(out: Path, to_fd: int) -> None:
    before = tree(out)
    (out / "root/b").mkdir()
    marker, left = leave(to_fd, [out, out / "root", out / "root/a", out / "root/b"])
    assert (out / os.fsdecode(marker)).exists()
    remains = cleared(to_fd)
    assert (remains.removed, remains.kept) == (12, [])
    assert not any(path.exists() for path in left)
    assert not (out / os.fsdecode(marker)).exists()
    assert tree(out) == before
    assert list(remains.in_words("/out")) == ["hidden files left in /out by a restore that was killed: 12 removed"]


def test_a_living_restore_keeps_what_it_has(out: Path, to_fd: int) -> None:
    with marked(to_fd, [b"root"], ME) as mark:
        path = out / "root" / os.fsdecode(mark.name())
        path.write_bytes(b"half")
        assert cleared(to_fd) == Remains()
        assert path.exists()
        marker = out / os.fsdecode(marker_of(mark))
        assert marker.exists()
        path.unlink()
        mark.remove()
        assert not marker.exists()


def test_of_two_dead_restores_and_a_living_one_only_the_dead_are_cleared_up_after(out: Path, to_fd: int) -> None:
    _, first = leave(to_fd, [out / "root"])
    _, second = leave(to_fd, [out / "root"])
    with marked(to_fd, [b"root"], ME) as mark:
        path = out / "root" / os.fsdecode(mark.name())
        path.write_bytes(b"half")
        assert cleared(to_fd).removed == 6
        assert path.exists()
    assert not any(path.exists() for path in first + second)


def test_restores_into_other_folders_are_left_alone(out: Path, to_fd: int) -> None:
    """Below the same folder, not below what the dead one was asked for; and a marker in a folder below."""
    (out / "other").mkdir()
    _, left = leave(to_fd, [out / "other"])
    below_fd = os.open(out / "root", os.O_RDONLY | os.O_DIRECTORY)
    _, below = leave(below_fd, [out / "root/a"])
    os.close(below_fd)
    assert cleared(to_fd).removed == 0
    assert all(path.exists() for path in left + below)


@pytest.mark.parametrize(
    ("owner", "is_removed"),
    [
        ("host:99:boot:1", True),
        ("host:99:an earlier boot:1", True),
        ("a container:1:boot:1", True),
        ("elsewhere:17:another boot:400", False),
    ],
)
def test_what_may_live_on_another_machine_is_left_alone(out: Path, to_fd: int, owner: str, is_removed: bool) -> None:
    marker, left = leave(to_fd, [out / "root"], owner)
    cleared(to_fd)
    assert [path.exists() for path in left] == [not is_removed] * 2
    assert (out / os.fsdecode(marker)).exists() is not is_removed


@needs_root
def test_another_users_is_left_alone(out: Path, to_fd: int) -> None:
    marker, left = leave(to_fd, [out / "root"])
    os.chown(out / os.fsdecode(marker), 1234, 1234)
    assert cleared(to_fd) == Remains()
    assert all(path.exists() for path in left)


def test_no_link_is_followed(out: Path, to_fd: int, tmp_path: Path) -> None:
    """Not one at the marker's name, not one at a hidden name, not one where a folder was."""
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    marker, left = leave(to_fd, [out / "root", out / "root/a"])
    decoys = [outside / left[0].name, outside / left[2].name, outside / "kept/0"]
    for decoy in decoys:
        decoy.write_bytes(b"theirs")
    left[0].unlink()
    left[0].symlink_to(decoys[0])
    (left[1] / "0").unlink()
    (left[1] / "0").symlink_to(decoys[2])
    (out / "root/a").rename(tmp_path / "moved")
    (out / "root/a").symlink_to(outside)
    (out / os.fsdecode(names.restoring("0123456789abcdef"))).symlink_to(decoys[0])
    remains = cleared(to_fd)
    assert all(decoy.read_bytes() == b"theirs" for decoy in decoys)
    assert remains.kept == [f"root/{left[1].name}: Directory not empty"], "a link in it is not ours"
    assert (out / os.fsdecode(marker)).exists()
    assert left[0].is_symlink()
    (left[1] / "0").unlink()
    assert cleared(to_fd).kept == []
    assert not left[1].exists()
    assert not (out / os.fsdecode(marker)).exists()


@pytest.mark.parametrize("tops", [[".."], ["../outside"], ["/"], ["."], [""], ["root/.."]])
def test_a_forged_marker_leads_nowhere_else(out: Path, to_fd: int, tmp_path: Path, tops: list[str]) -> None:
    op = "0123456789abcdef"
    (tmp_path / "outside").mkdir()
    kept = [tmp_path / f".frostline-new-{op}.1", tmp_path / f"outside/.frostline-new-{op}.1"]
    for path in kept:
        path.write_bytes(b"theirs")
    (out / f".frostline-restore-{op}").write_text(json.dumps({"owner": ME, "tops": tops}))
    assert cleared(to_fd).removed == 0
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize(
    "said", [b"notes of mine", b"[]", b"{}", b'{"owner": 3}', b'{"owner": "host:1:boot", "tops": 3}']
)
def test_what_no_restore_wrote_stays(out: Path, to_fd: int, said: bytes) -> None:
    path = out / ".frostline-restore-0123456789abcdef"
    path.write_bytes(said)
    others = [out / ".frostline-restore-notes.txt", out / ".frostline-restore-"]
    for other in others:
        other.write_bytes(b"")
    os.mkfifo(out / ".frostline-restore-fifo")
    (out / ".frostline-restore-folder").mkdir()
    before = sorted(os.listdir(out))
    assert cleared(to_fd) == Remains()
    assert sorted(os.listdir(out)) == before


def test_a_restore_killed_before_it_said_anything_had_made_nothing(out: Path, to_fd: int) -> None:
    marker = out / ".frostline-restore-0123456789abcdef"
    marker.touch()
    assert cleared(to_fd) == Remains()
    assert not marker.exists()


def test_a_users_file_in_the_way_is_kept_and_told(out: Path, to_fd: int) -> None:
    marker, left = leave(to_fd, [out / "root"])
    (left[1] / "folder").mkdir()
    (left[1] / "folder/theirs").write_bytes(b"theirs")
    remains = cleared(to_fd)
    (said,) = (text for text in remains.in_words("/out") if "cannot" in text)
    assert left[1].name in said
    assert (left[1] / "folder/theirs").read_bytes() == b"theirs"
    assert (out / os.fsdecode(marker)).exists(), "the next restore tries again"


def test_a_deep_tree_is_cleared_and_who_stops_leaves_the_rest_to_the_next(out: Path, to_fd: int) -> None:
    """Deeper than a path may be long."""
    fd = os.open(out / "root", os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=fd)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    with marked(to_fd, [b"root"], ME) as mark:
        os.close(os.open(mark.name(), os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    stops = iter([False] * 10 + [True])
    assert clear(to_fd, mine=ME, is_stopped=lambda: next(stops)).removed == 0
    assert len(os.listdir(fd)) == 1
    assert cleared(to_fd).removed == 1
    assert os.listdir(fd) == []
    os.close(fd)


def test_where_no_marker_can_be_had_it_goes_without(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    fd = os.open(tmp_path / "gone", os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "gone").rmdir()
    with marked(fd, [b"root"], ME) as mark:
        assert mark.name() != mark.name()
        mark.remove()
    os.close(fd)


def test_the_next_restore_says_what_it_removed_and_has_the_room(lab: Lab, tmp_path: Path) -> None:
    store(lab, SMALL)
    out = tmp_path / "out"
    out.mkdir()
    fd = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    (out / "root").mkdir()
    _, left = leave(fd, [out, out / "root"], lab.context.owner)
    os.close(fd)
    report = restore(lab.context, [str(lab.root)], str(out))
    assert report.notes == (f"hidden files left in {out} by a restore that was killed: 6 removed",)
    assert not any(path.exists() for path in left)
    assert tree(out / "root") == SMALL
    assert [path.name for path in out.iterdir()] == ["root"]
