"""Many files made at once are what each would be; what does not come out as wanted is said, and nothing is replaced."""

import os
import random
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hot.test_looks import opened
from tiering.hot import machine_code, new_files, syscalls
from tiering.hot.new_files import Naming, NewFile, make_all, name_all

OWNER = (os.geteuid(), os.getegid())
MODES = (0o600, 0o644, 0o664, 0o777, 0o400, 0o000, 0o1640, 0o2755, 0o4755)

Piece = tuple[int, bytes]


def wanted(fd: int, pieces: Sequence[Piece] = (), *, mode: int = 0o640, size: int = -1, gid: int = OWNER[1]) -> NewFile:
    return NewFile(fd, stat.S_IFREG | mode, OWNER[0], gid, 111, 222_000_000_333, size, len(pieces))


def made(folder: Path, files: dict[str, Sequence[Piece]], **given: int) -> list[bool]:
    with opened(folder) as fd:
        rows = [wanted(fd, pieces, **given) for pieces in files.values()]
        pieces = [piece for each in files.values() for piece in each]
        return [bool(one) for one in make_all([name.encode() for name in files], rows, pieces, OWNER)]


def only_there_with_machine_code() -> None:
    if machine_code.room("native_writes") is None:
        pytest.skip("no machine code here")


@st.composite
def contents(draw: st.DrawFn) -> tuple[list[Piece], int]:
    """Pieces, ascending, some with a hole before them, and the size, or -1 where they end with it."""
    at, pieces = 0, []
    for length, gap in draw(
        st.lists(
            st.tuples(st.integers(1, 9000) | st.integers(60_000, 200_000), st.sampled_from([0, 0, 0, 5000])), max_size=6
        )
    ):
        at += gap
        pieces.append((at, random.Random(at + length).randbytes(length)))
        at += length
    behind = draw(st.sampled_from([0, 0, 4096]))
    return pieces, at + behind if behind else -1


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    files=st.lists(st.tuples(contents(), st.sampled_from(MODES), st.integers(-(10**18), 4 * 10**18)), max_size=8),
    umask=st.sampled_from([0o022, 0o077, 0]),
)
def test_every_file_is_as_wanted(
    tmp_path: Path, files: list[tuple[tuple[list[Piece], int], int, int]], umask: int
) -> None:
    only_there_with_machine_code()
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/%d" % len(list(tmp_path.iterdir()))))
    folder.mkdir()
    before = os.umask(umask)
    try:
        with opened(folder) as fd:
            rows = [
                NewFile(fd, stat.S_IFREG | mode, *OWNER, time_ns, time_ns // 3, size, len(pieces))
                for (pieces, size), mode, time_ns in files
            ]
            names = [b"%d" % number for number in range(len(files))]
            done = make_all(names, rows, [piece for (pieces, _), _, _ in files for piece in pieces], OWNER)
    finally:
        os.umask(before)

    assert all(done)
    for row, name, ((pieces, size), mode, _) in zip(rows, names, files, strict=True):
        path = folder / name.decode()
        status = path.stat()
        assert (status.st_mode, status.st_uid, status.st_gid) == (stat.S_IFREG | mode, *OWNER)
        assert (status.st_atime_ns, status.st_mtime_ns) == (row.atime_ns, row.mtime_ns)
        path.chmod(0o600)  # only root reads what nobody may
        assert path.read_bytes() == plain(pieces, size)


def plain(pieces: Sequence[Piece], size: int) -> bytes:
    """What a file of these holds."""
    fd = os.memfd_create("plain")
    try:
        for offset, data in pieces:
            os.pwrite(fd, data, offset)
        if size >= 0:
            os.ftruncate(fd, size)
        return os.pread(fd, 4 << 20, 0)
    finally:
        os.close(fd)


def test_a_file_of_more_pieces_than_one_call_takes_is_whole(tmp_path: Path) -> None:
    only_there_with_machine_code()
    pieces = [(at * 3, b"%03d" % (at % 1000)) for at in range(2500)]

    assert made(tmp_path, {"many": pieces, "next": [(0, b"one")]}) == [True, True]

    assert (tmp_path / "many").read_bytes() == b"".join(data for _, data in pieces)
    assert (tmp_path / "next").read_bytes() == b"one"


@settings(max_examples=25)
@given(contents())
def test_pieces_stand_in_an_open_file_where_they_belong(found: tuple[list[Piece], int]) -> None:
    only_there_with_machine_code()
    pieces, _ = found
    fd = os.memfd_create("written")
    try:
        assert new_files.write_all(fd, pieces) is bool(pieces)
        assert os.pread(fd, 4 << 20, 0) == plain(pieces, -1)
    finally:
        os.close(fd)


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"as it was")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        assert not new_files.write_all(fd, [(0, b"one"), (3, b"two")])
        assert not new_files.write_all(fd, [(0, bytes(200_000))])
    finally:
        os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"as it was"


def test_files_of_several_folders_are_made_at_once(tmp_path: Path) -> None:
    only_there_with_machine_code()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with opened(tmp_path / "one") as one, opened(tmp_path / "two") as two:
        data = memoryview(b"of one" + b"of two")
        rows = [wanted(one, [(0, b"")]), wanted(two, [(0, b"")])]
        assert all(make_all([b"same", b"same"], rows, [(0, data[:6]), (0, data[6:])], OWNER))

    assert (tmp_path / "one" / "same").read_bytes() == b"of one"
    assert (tmp_path / "two" / "same").read_bytes() == b"of two"


def test_what_stands_there_stays_and_its_neighbours_are_made(tmp_path: Path) -> None:
    only_there_with_machine_code()
    (tmp_path / "taken").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    names = ["before", "taken", "link", "folder", "x" * 300, "behind"]

    done = made(tmp_path, {name: [(0, name.encode())] for name in names})

    assert done == [True, False, False, False, False, True]
    assert (tmp_path / "taken").read_bytes() == b"theirs"
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "behind").read_bytes() == b"behind"


def test_a_file_gets_the_group_that_its_folder_would_not_give_it(tmp_path: Path) -> None:
    only_there_with_machine_code()
    if OWNER[0] != 0:
        pytest.skip("needs root, to give a folder to another group")
    os.chown(tmp_path, -1, 4711)
    tmp_path.chmod(0o2755)

    assert made(tmp_path, {"file": [(0, b"ours")]}, mode=0o2754) == [True]

    assert (tmp_path / "file").stat().st_gid == OWNER[1]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o2754


def test_another_owner_is_given_where_that_may_be(tmp_path: Path) -> None:
    only_there_with_machine_code()
    may = OWNER[0] == 0

    assert made(tmp_path, {"file": [(0, b"theirs")]}, gid=4711, mode=0o4750) == [may]

    if may:
        status = (tmp_path / "file").stat()
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4711, 0o4750)


def test_a_disk_that_is_full_is_said(tmp_path: Path) -> None:
    """A file may be longer than its file system takes; room itself is no other answer."""
    only_there_with_machine_code()
    assert made(tmp_path, {"file": [(1 << 62, b"far out")], "next": [(0, b"here")]}) == [False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["next"]


def test_a_time_beyond_what_a_number_holds_is_left_to_others(tmp_path: Path) -> None:
    with opened(tmp_path) as fd:
        row = NewFile(fd, stat.S_IFREG | 0o600, *OWNER, 1 << 63, 0, -1, 0)
        assert make_all([b"file"], [row], [], OWNER) == [False]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    made(tmp_path, {"file": [(0, b"once")]})
    made(tmp_path, {"file": [(0, b"twice")], "far": [(1 << 62, b"out")]})
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_table_that_is_not_that_of_the_files_is_refused(tmp_path: Path) -> None:
    only_there_with_machine_code()
    with opened(tmp_path) as fd, pytest.raises(ValueError, match="not one of these pieces"):
        make_all([b"file"], [wanted(fd, [(0, b"")])], [], OWNER)


def test_names_are_given_and_none_is_taken_away(tmp_path: Path) -> None:
    only_there_with_machine_code()
    for name in ("hidden-1", "hidden-2", "hidden-3"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "taken").write_bytes(b"theirs")
    with opened(tmp_path) as fd:
        files = [
            Naming(fd, b"hidden-1", b"first", False),
            Naming(fd, b"hidden-2", b"taken", False),
            Naming(fd, b"gone", b"never", False),
            Naming(fd, b"hidden-3", b"first", True),
        ]
        assert [bool(one) for one in name_all(files)] == [True, False, False, False]

    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"first": b"hidden-1", "hidden-2": b"hidden-2", "taken": b"theirs", "hidden-3": b"hidden-3"}


def test_a_file_may_keep_the_name_it_has(tmp_path: Path) -> None:
    only_there_with_machine_code()
    (tmp_path / "name").write_bytes(b"data")
    with opened(tmp_path) as fd:
        assert [bool(one) for one in name_all([Naming(fd, b"name", b"", True), Naming(fd, b"name", b"other", False)])]
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_is_dropped_from_the_page_cache_has_its_name_all_the_same(tmp_path: Path) -> None:
    only_there_with_machine_code()
    names = ("kept", "dropped", "closed")
    for name in names:
        (tmp_path / f"hidden-{name}").write_bytes(bytes(200_000))
        with (tmp_path / f"hidden-{name}").open("rb") as file:
            os.fsync(file.fileno())
    (tmp_path / "hidden-closed").chmod(0)
    with opened(tmp_path) as fd:
        files = [Naming(fd, f"hidden-{name}".encode(), name.encode(), name != "kept") for name in names]
        assert all(name_all(files))

    cached = {}
    for name in names[:2]:
        with (tmp_path / name).open("rb") as file:
            try:
                cached[name] = syscalls.cached_pages(file.fileno())
            except OSError:
                pytest.skip("the kernel does not say what is cached")
    assert cached["dropped"] == 0 or cached["kept"] == 0  # a file system that keeps its pages, or none
    assert cached["dropped"] <= cached["kept"]


@pytest.mark.usefixtures("without_machine_code")
def test_without_machine_code_nothing_is_made_and_nothing_named(tmp_path: Path) -> None:
    (tmp_path / "hidden").write_bytes(b"")

    assert made(tmp_path, {"file": [(0, b"data")]}) == [False]
    with opened(tmp_path) as fd:
        assert name_all([Naming(fd, b"hidden", b"name", False)]) == [False]

    assert [path.name for path in tmp_path.iterdir()] == ["hidden"]
