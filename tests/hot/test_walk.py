"""The walk sees every name once, in the catalog's order, and never leaves its root."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiering.errors import RootMissing
from tiering.hot import names
from tiering.hot.placeholder import format_target
from tiering.hot.walk import Entry, Kind, WalkProblem, find_ours, walk


def _paths(root: Path, **options: object) -> list[bytes]:
    return [entry.path for entry in walk(os.fsencode(root), **options) if isinstance(entry, Entry)]  # type: ignore[arg-type]


def _make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def test_it_goes_in_the_order_of_the_files_table(tmp_path: Path) -> None:
    _make(tmp_path, "a/b/f", "a/z", "a-/f", "a.txt", "a0/f", "b", "a/b0/f", "é/f")

    found = [(entry.dir, entry.name) for entry in walk(os.fsencode(tmp_path)) if isinstance(entry, Entry)]

    assert found == sorted(found)
    assert len(found) == 8


_NAME = st.text("ab-.0", min_size=1, max_size=3).filter(lambda name: name.strip("."))


@settings(max_examples=30, deadline=None)
@given(st.sets(st.lists(_NAME, min_size=1, max_size=4).map(tuple), max_size=12), st.data())
def test_it_can_begin_anywhere(
    tmp_path_factory: pytest.TempPathFactory, tree: set[tuple[str, ...]], data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for parts in tree:
        try:
            _make(root, "/".join(parts))
        except (NotADirectoryError, FileExistsError, IsADirectoryError):
            continue  # the name is taken by a file or a directory of another path
    whole = [(e.dir, e.name) for e in walk(os.fsencode(root)) if isinstance(e, Entry)]
    assert whole == sorted(whole)
    if not whole:
        return
    start = data.draw(st.sampled_from(whole))
    rest = [(e.dir, e.name) for e in walk(os.fsencode(root), start_after=start) if isinstance(e, Entry)]
    assert rest == [key for key in whole if key > start]


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    _make(tmp_path, "file")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.symlink(format_target("storeid0", "0" * 26, b"x.bin"), os.fsencode(tmp_path / "gone.bin"))
    os.mkfifo(tmp_path / "pipe")

    found = {entry.name: entry.kind for entry in walk(os.fsencode(tmp_path)) if isinstance(entry, Entry)}

    assert found == {
        b"file": Kind.FILE,
        b"dangling": Kind.SYMLINK,
        b"gone.bin": Kind.PLACEHOLDER,
        b"pipe": Kind.OTHER,
    }


def test_it_does_not_follow_links_to_directories(tmp_path: Path) -> None:
    _make(tmp_path, "real/f")
    (tmp_path / "loop").symlink_to(".")

    assert _paths(tmp_path) == [b"loop", b"real/f"]


def test_it_skips_what_is_not_the_users(tmp_path: Path) -> None:
    _make(tmp_path, ".snapshot/f", "lost+found/f", ".frostline-root", "d/.frostline-parked-1", "d/f", ".frostline-x/f")

    assert _paths(tmp_path) == [b"d/f"]
    assert list(find_ours(os.fsencode(tmp_path))) == [(b"d/", b".frostline-parked-1")]


@pytest.mark.root
def test_it_stays_on_its_mount_unless_told(tmp_path: Path) -> None:
    _make(tmp_path, "root/f", "other/g")
    inner = tmp_path / "root/inner"
    inner.mkdir()
    done = subprocess.run(["mount", "--bind", str(tmp_path / "other"), str(inner)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs root to bind-mount")
    try:
        found = list(walk(os.fsencode(tmp_path / "root")))
        assert [item.is_mount for item in found if isinstance(item, WalkProblem)] == [True]
        assert _paths(tmp_path / "root") == [b"f"]
        assert _paths(tmp_path / "root", cross_mounts=True) == [b"f", b"inner/g"]
    finally:
        subprocess.run(["umount", str(inner)], check=True)


def test_a_very_deep_tree(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(60):
        os.mkdir(b"d" * 200, dir_fd=fd)
        below = os.open(b"d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open(b"f", os.O_WRONLY | os.O_CREAT, dir_fd=fd))
    os.close(fd)

    assert _paths(tmp_path) == [(b"d" * 200 + b"/") * 60 + b"f"]


def test_a_root_that_is_not_there_is_an_error_and_not_an_empty_tree(tmp_path: Path) -> None:
    with pytest.raises(RootMissing):
        list(walk(os.fsencode(tmp_path / "gone")))


def test_hidden_names_fit_beside_the_longest_name() -> None:
    assert len(names.parked("0123456789abcdef", 7)) < names.NAME_MAX
    assert len(names.conflict(b"n" * 255, "0123456789abcdef")) == names.NAME_MAX
    assert names.operation_of(names.parked("release:ab-12", 3)) == "ab-12"
    assert names.operation_of(b".frostline-root") is None
    with pytest.raises(ValueError, match="not an operation id"):
        names.parked("../../etc")
