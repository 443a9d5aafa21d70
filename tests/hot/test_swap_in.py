"""Putting a recalled file in place: exactly over its own placeholder, or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiering.errors import SourceChanged
from tiering.hot import syscalls
from tiering.hot.identity import Identity
from tiering.hot.meta import apply_meta_exactly, read_meta
from tiering.hot.placeholder import format_target, parse_target, write_placeholder
from tiering.hot.swap import Place, swap_in

TARGET = format_target("storeid0", "0" * 26, b"f")
TEMP = b".frostline-new-1"


class Recall:
    """A placeholder at `f` and a finished file beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dir_fd = os.open(folder, os.O_RDONLY)
        self.fd = os.open(TEMP, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self.dir_fd)
        os.write(self.fd, b"recalled")
        self.meta = read_meta(self.fd, os.fstat(self.fd))
        apply_meta_exactly(self.fd, self.meta, "f")

    def go(self, target: bytes | None = TARGET) -> Identity:
        return swap_in([Place(self.dir_fd, b"f", TEMP, target)], fd=self.fd, meta=self.meta).identity


@pytest.fixture
def recall(volume: Path) -> Iterator[Recall]:
    made = Recall(volume)
    yield made
    os.close(made.fd)
    os.close(made.dir_fd)


def _place(recall: Recall, target: bytes = TARGET) -> None:
    write_placeholder(recall.dir_fd, b"f", target, owner=(os.getuid(), os.getgid()), times=(5, 6))


def test_it_stands_where_the_placeholder_stood(recall: Recall) -> None:
    _place(recall)
    os.utime(recall.folder, ns=(11, 12))
    identity = recall.go()
    path = recall.folder / "f"
    assert path.read_bytes() == b"recalled"
    assert identity == Identity.of(path.stat())
    assert os.listdir(recall.folder) == ["f"]
    assert recall.folder.stat().st_mtime_ns == 12


@pytest.mark.parametrize("what", ["file", "other link", "nothing", "directory"])
def test_p5_what_a_user_put_there_is_never_overwritten(recall: Recall, what: str) -> None:
    path = recall.folder / "f"
    if what == "file":
        path.write_bytes(b"mine")
    elif what == "other link":
        _place(recall, format_target("storeid0", "1" * 26, b"f"))
    elif what == "directory":
        path.mkdir()
    with pytest.raises(SourceChanged):
        recall.go()
    assert path.exists() == (what in {"file", "directory"})
    if what == "file":
        assert path.read_bytes() == b"mine"
    assert (recall.folder / os.fsdecode(TEMP)).read_bytes() == b"recalled"


def test_p5_a_file_that_replaces_the_placeholder_at_the_last_moment_is_given_back(
    recall: Recall, monkeypatch: pytest.MonkeyPatch
) -> None:
    _place(recall)
    path = recall.folder / "f"
    exchange = syscalls.rename_exchange

    def replaced_just_before(dir_fd: int, first: bytes, second: bytes) -> None:
        monkeypatch.setattr(syscalls, "rename_exchange", exchange)
        path.unlink()
        path.write_bytes(b"mine")
        exchange(dir_fd, first, second)

    monkeypatch.setattr(syscalls, "rename_exchange", replaced_just_before)
    with pytest.raises(SourceChanged):
        recall.go()
    assert path.read_bytes() == b"mine"


def test_a_root_without_placeholders(recall: Recall) -> None:
    identity = recall.go(target=None)
    assert identity == Identity.of((recall.folder / "f").stat())
    assert os.listdir(recall.folder) == ["f"]


def test_without_exchange_the_placeholder_is_moved_aside(recall: Recall, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(dir_fd: int, first: bytes, second: bytes) -> None:
        raise OSError(22, "Invalid argument")

    _place(recall)
    monkeypatch.setattr(syscalls, "rename_exchange", cannot)
    recall.go()
    assert (recall.folder / "f").read_bytes() == b"recalled"
    assert os.listdir(recall.folder) == ["f"]


def test_an_owner_changed_at_the_same_moment_leaves_an_identity_that_no_longer_holds(
    recall: Recall, monkeypatch: pytest.MonkeyPatch
) -> None:
    _place(recall)
    exchange = syscalls.rename_exchange

    def then_chmod(dir_fd: int, first: bytes, second: bytes) -> None:
        exchange(dir_fd, first, second)
        os.fchmod(recall.fd, 0o644)

    monkeypatch.setattr(syscalls, "rename_exchange", then_chmod)
    assert recall.go() != Identity.of((recall.folder / "f").stat())


@pytest.mark.parametrize(
    "target",
    [
        b"/dev/null/frostline/storeid0/" + b"0" * 26,
        b"/dev/null/frostline/storeid0/" + b"0" * 26 + b"/",
        b"/dev/null/frostline/STOREID0/" + b"0" * 26 + b"/f",
        b"/dev/null/frostline/storeid/" + b"0" * 26 + b"/f",
        b"/dev/null/frostline/storeid0/" + b"0" * 26 + b"/a/b",
        b"dev/null/frostline/storeid0/" + b"0" * 26 + b"/f",
        b"",
    ],
)
def test_what_only_looks_like_a_placeholder_is_none(target: bytes) -> None:
    assert parse_target(target) is None


def test_a_placeholder_says_where_its_bytes_are() -> None:
    parsed = parse_target(TARGET)
    assert parsed is not None
    assert (parsed.store_id, parsed.recipe_id, parsed.name) == ("storeid0", "0" * 26, b"f")
    with pytest.raises(ValueError, match="not a store id"):
        format_target("x", "0" * 26, b"f")


def test_every_name_of_a_hard_link_is_placed_but_those_a_user_took(recall: Recall) -> None:
    for index, name in enumerate((b"a", b"b", b"c")):
        write_placeholder(recall.dir_fd, name, TARGET, owner=(os.getuid(), os.getgid()), times=(5, 6))
        os.link(TEMP, b"%s.%d" % (TEMP, index), src_dir_fd=recall.dir_fd, dst_dir_fd=recall.dir_fd)
    os.unlink(TEMP, dir_fd=recall.dir_fd)
    (recall.folder / "b").unlink()
    (recall.folder / "b").write_bytes(b"mine")
    places = [Place(recall.dir_fd, name, b"%s.%d" % (TEMP, i), TARGET) for i, name in enumerate((b"a", b"b", b"c"))]
    swapped = swap_in(places, fd=recall.fd, meta=recall.meta)
    assert swapped.refused == (1,)
    assert swapped.identity == Identity.of((recall.folder / "a").stat())
    assert (recall.folder / "a").samefile(recall.folder / "c")
    assert (recall.folder / "b").read_bytes() == b"mine"
    assert sorted(os.listdir(recall.folder)) == [".frostline-new-1.1", "a", "b", "c"]
