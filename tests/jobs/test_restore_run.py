"""restore writes many files together: each is whole or not there, whatever happens to the others."""

import os
import random
import stat
import struct
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tiering.catalog import files, packs
from tiering.clock import NS_PER_S
from tiering.errors import IntegrityError, NoSpace
from tiering.hot import names
from tiering.hot.paths import split
from tiering.jobs.context import NoProgress
from tiering.jobs.fetch import Interrupted
from tiering.jobs.migrate import migrate
from tiering.jobs.restore import restore
from tiering.stores.memory import MemoryStore
from tiering.stores.wrapper import Wrapper


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def contents() -> dict[str, bytes]:
    """Small and large, copies and edited copies, empty ones: runs of every kind."""
    large = noise(9_000_000, 1)
    found = {f"{number % 7}/{number:03}": noise(300 + 37 * number, number) for number in range(120)}
    found |= {f"copies/{number}": found["3/003"] for number in range(5)}
    found |= {"empty": b"", "one": b"x", "large": large, "edited": large[:4_000_000] + b"!" + large[4_000_000:]}
    return found | {
        "middle": large[:1_000_000],
        "text": b"line of words\n" * 40_000,
        "text 2": b"line of words\n" * 41_000,
    }


@pytest.fixture
def stored(lab: Lab) -> Lab:
    """A laboratory whose files are all stored."""
    for path, data in contents().items():
        lab.write(path, data)
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    return lab


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if names.is_ours(os.fsencode(path.name))]


def damage(lab: Lab, path: bytes) -> None:
    """Change a byte of the first block that a file needs, behind the store's back."""
    with lab.catalog.read() as tx:
        row = files.get(tx, lab.context.roots[0].root_id, *split(path))
        assert row is not None
        assert row.recipe_no is not None
        place = next(iter(packs.locate(tx, row.recipe_no).values())).block
    store = lab.context.tiers["standard"].store
    while isinstance(store, Wrapper):
        store = store.inner
    assert isinstance(store, MemoryStore)
    held = store.shelf.held[place.key]
    at = place.offset + place.stored_len // 2
    body = held.body[:at] + bytes([held.body[at] ^ 1]) + held.body[at + 1 :]
    store.shelf.held[place.key] = replace(held, body=body)


def test_files_of_every_kind_come_back_together(stored: Lab, tmp_path: Path) -> None:
    report = restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    assert tree(tmp_path / "out/root") == contents()
    assert report.files_done == len(contents())
    assert report.bytes_read == sum(map(len, contents().values()))
    assert hidden(tmp_path / "out") == []


def test_what_is_right_already_is_left_as_it_is(stored: Lab, tmp_path: Path) -> None:
    restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    (tmp_path / "out/root/one").unlink()
    before = {path: path.stat().st_ino for path in (tmp_path / "out").rglob("*")}
    report = restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    assert (report.files_done, report.files_skipped) == (len(contents()), ())
    assert report.bytes_read == 1
    assert {path: path.stat().st_ino for path in before} == before
    assert tree(tmp_path / "out/root") == contents()


def test_p7_of_a_tree_that_stands_in_part_only_what_is_missing_is_written(stored: Lab, tmp_path: Path) -> None:
    """A third is right, a third is something else of the same size and times, a third is not there."""
    out = tmp_path / "out"
    restore(stored.context, [str(stored.root)], str(out))
    names = sorted(contents())
    right, wrong, missing = names[::3], [name for name in names[1::3] if contents()[name]], names[2::3]
    for name in wrong:
        path, data = out / "root" / name, contents()[name]
        status = path.stat()
        path.chmod(0o600)
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for name in missing:
        (out / "root" / name).unlink()
    before = {name: ((out / "root" / name).stat(), (out / "root" / name).read_bytes()) for name in [*right, *wrong]}
    report = restore(stored.context, [str(stored.root)], str(out))
    assert report.files_done == len(names) - len(wrong)
    assert sorted(skip.path for skip in report.files_skipped) == [str(out / "root" / name) for name in wrong]
    assert report.bytes_read == sum(len(contents()[name]) for name in missing)
    for name, (status, data) in before.items():
        found = (out / "root" / name).stat()
        assert (found.st_ino, found.st_ctime_ns) == (status.st_ino, status.st_ctime_ns)
        assert (out / "root" / name).read_bytes() == data
    assert {name: (out / "root" / name).read_bytes() for name in missing} == {
        name: contents()[name] for name in missing
    }


def test_a_disk_that_is_full_of_what_is_right_has_room_for_the_rest(
    stored: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    (tmp_path / "out/root/text").unlink()
    real = os.statvfs

    def nearly_full(path: bytes) -> os.statvfs_result:
        found = real(path)
        left = (10 << 20) // found.f_frsize  # less than the large files are long, more than what is missing
        return os.statvfs_result((*found[:3], left, left, *found[5:10]))

    monkeypatch.setattr(os, "statvfs", nearly_full)
    report = restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    assert (report.files_done, report.files_skipped) == (len(contents()), ())
    with pytest.raises(NoSpace):
        restore(stored.context, [str(stored.root)], str(tmp_path / "elsewhere"))
    assert tree(tmp_path / "elsewhere") == {}


def test_p7_damage_costs_the_files_it_touches_and_nothing_else(stored: Lab, tmp_path: Path) -> None:
    damage(stored, b"3/003")
    with pytest.raises(IntegrityError, match="offset") as caught:
        restore(stored.context, [str(stored.root)], str(tmp_path / "out"))
    found = tree(tmp_path / "out/root")
    assert 0 < len(found) < len(contents())
    without, done = caught.value.now.split("; ")[-2:]
    left = sorted(str(tmp_path / "out/root" / path) for path in contents().keys() - found.keys())
    assert sorted(without.removeprefix("without ").split(", ")) == left
    assert done == f"files done: {len(found)}"
    assert all(contents()[path] == data for path, data in found.items())
    assert hidden(tmp_path / "out") == []


def test_a_restore_that_was_stopped_goes_on_where_it_was(stored: Lab, tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Interrupted):
        restore(replace(stored.context, stop=stop), [str(stored.root)], str(tmp_path / "out"))
    assert hidden(tmp_path / "out") == []
    found = tree(tmp_path / "out")
    assert all(contents()[path.removeprefix("root/")] == data for path, data in found.items())
    assert restore(stored.context, [str(stored.root)], str(tmp_path / "out")).files_done == len(contents())
    assert tree(tmp_path / "out/root") == contents()


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400, 0o755, 0o2640, 0o1666])
def test_modes_and_times_are_those_that_were_stored(lab: Lab, tmp_path: Path, mode: int) -> None:
    for number in range(4):
        place = lab.write(f"d/{number}", noise(900, number))
        place.chmod(mode)
        os.utime(place, ns=(7 * NS_PER_S + number, -5 * NS_PER_S + number))
    learn(lab)
    migrate(lab.context, items(lab))
    restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    for number in range(4):
        status = (tmp_path / f"out/root/d/{number}").stat()
        assert stat.S_IMODE(status.st_mode) == mode
        assert (status.st_mtime_ns, status.st_atime_ns) == (-5 * NS_PER_S + number, 7 * NS_PER_S + number)


def test_a_default_acl_of_the_target_gives_no_rights_that_were_not_stored(lab: Lab, tmp_path: Path) -> None:
    for number in range(3):
        lab.write(f"d/{number}", noise(900, number)).chmod(0o640)
    learn(lab)
    migrate(lab.context, items(lab))
    out = tmp_path / "out"
    (out / "root/d").mkdir(parents=True)
    # user::rwx, user:12345:rwx, group::r-x, mask::rwx, other::---
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, 12345), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(out / "root/d", "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error.strerror}")
    restore(lab.context, [str(lab.root)], str(out))
    for number in range(3):
        found = out / f"root/d/{number}"
        assert "system.posix_acl_access" not in os.listxattr(found)
        assert stat.S_IMODE(found.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_files_of_another_user_are_given_to_them(lab: Lab, tmp_path: Path) -> None:
    for number in range(3):
        place = lab.write(f"d/{number}", noise(900, number))
        os.chown(place, 1234, 4321)
        place.chmod(0o640)
    learn(lab)
    migrate(lab.context, items(lab))
    restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    for number in range(3):
        status = (tmp_path / f"out/root/d/{number}").stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 4321, 0o640)


def test_a_name_that_is_taken_meanwhile_is_not_overwritten(stored: Lab, tmp_path: Path) -> None:
    out = tmp_path / "out"

    class TakesIt(NoProgress):
        def start(self, what: str, *, total_bytes: int | None = None, total_files: int | None = None) -> None:
            (out / "root").mkdir(parents=True)
            (out / "root/one").mkdir()

    report = restore(replace(stored.context, progress=TakesIt()), [str(stored.root)], str(out))
    assert [skipped.path for skipped in report.files_skipped] == [str(out / "root/one")]
    assert (out / "root/one").is_dir()
    assert hidden(out) == []
