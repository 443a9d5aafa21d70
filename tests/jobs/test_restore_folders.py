"""New folders of a restore have no name before the disk has their files; whatever becomes of that, no file is lost in
them, none is replaced, and none is shown that is not whole.
"""

import os
import random
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.values import Span
from tests.jobs.lab import Lab
from tests.jobs.outbound import items, learn
from tests.jobs.test_restore_run import contents, hidden, tree
from tiering.errors import StoreUnavailable
from tiering.jobs import restore_folders, restore_group
from tiering.jobs.context import Context
from tiering.jobs.migrate import migrate
from tiering.jobs.restore import restore
from tiering.stores.wrapper import Wrapper


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def store(lab: Lab, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        lab.write(path, data)
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()


def reading(lab: Lab, seen: Callable[[], None]) -> Context:
    """The context, with *seen* called before each read of a pack: everything is planned then, and nothing named."""

    class Seen(Wrapper):
        def get(self, key: str, span: Span | None = None) -> bytes:
            if key.startswith("packs"):
                seen()
            return super().get(key, span)

    tier = lab.context.tiers["standard"]
    return replace(lab.context, tiers={**lab.context.tiers, "standard": replace(tier, store=Seen(tier.store))})


SMALL = {f"{folder}/{number}": noise(2000 + number, number) for folder in "ab" for number in range(4)}


def test_a_folder_has_its_name_when_the_disk_has_its_files(lab: Lab, tmp_path: Path) -> None:
    store(lab, SMALL)
    out, seen = tmp_path / "out", set[str]()
    report = restore(
        reading(lab, lambda: seen.update(path.name for path in (out / "root").iterdir())), [str(lab.root)], str(out)
    )
    assert report.files_done == len(SMALL)
    assert len(seen) == 2
    assert not seen.intersection("ab")
    assert tree(out / "root") == SMALL
    assert hidden(out) == []


def test_folders_in_folders_with_files_of_their_own_come_back(lab: Lab, tmp_path: Path) -> None:
    deep = {path: noise(3000, at) for at, path in enumerate(["x", "a/x", "a/b/x", "a/b/c/x", "a/d/e/x", "f/g/h/x"])}
    store(lab, deep)
    restore(lab.context, [str(lab.root)], str(tmp_path / "out"))
    assert tree(tmp_path / "out/root") == deep
    assert hidden(tmp_path / "out") == []


def test_a_folder_with_much_in_it_is_filled_under_its_own_name(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(lab, SMALL | {"c/one": b"alone", "d/long": noise(9000, 9)})
    monkeypatch.setattr(restore_folders, "MOST_FILES", 3)
    monkeypatch.setattr(restore_folders, "MOST_BYTES", 8000)
    out, seen = tmp_path / "out", set[str]()
    restore(
        reading(lab, lambda: seen.update(path.name for path in (out / "root").iterdir())), [str(lab.root)], str(out)
    )
    assert {"a", "b", "d"} < seen
    assert "c" not in seen
    assert tree(out / "root") == SMALL | {"c/one": b"alone", "d/long": noise(9000, 9)}


def test_a_folder_that_somebody_makes_meanwhile_gets_what_it_has_not(lab: Lab, tmp_path: Path) -> None:
    store(lab, SMALL)
    out = tmp_path / "out"

    def take() -> None:
        (out / "root/a").mkdir(exist_ok=True)
        (out / "root/a/1").write_bytes(b"theirs")
        (out / "root/a/theirs").write_bytes(b"too")

    report = restore(reading(lab, take), [str(lab.root)], str(out))
    assert [skipped.path for skipped in report.files_skipped] == [str(out / "root/a/1")]
    assert report.files_done == len(SMALL) - 1
    assert tree(out / "root") == SMALL | {"a/1": b"theirs", "a/theirs": b"too"}
    assert hidden(out) == []


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_whose_name_is_no_folder_is_left_out(lab: Lab, tmp_path: Path, kind: str) -> None:
    store(lab, SMALL)
    out = tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()

    def take() -> None:
        if kind == "file":
            (out / "root/a").write_bytes(b"theirs")
        elif not (out / "root/a").is_symlink():
            (out / "root/a").symlink_to(tmp_path / "elsewhere")

    report = restore(reading(lab, take), [str(lab.root)], str(out))
    assert {skipped.path for skipped in report.files_skipped} == {str(out / f"root/a/{each}") for each in range(4)}
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert {path: data for path, data in tree(out / "root").items() if path != "a"} == {
        path: data for path, data in SMALL.items() if path.startswith("b/")
    }
    assert hidden(out) == []


@pytest.mark.parametrize("size", [900, 6_000_000])
def test_of_two_files_for_one_name_one_comes_and_the_other_is_told(lab: Lab, tmp_path: Path, size: int) -> None:
    files = {f"{top}/d/same": noise(size, at) for at, top in enumerate("xy")} | {"x/d/other": b"other"}
    store(lab, files)
    out = tmp_path / "out"
    report = restore(lab.context, [str(lab.root / "x/d"), str(lab.root / "y/d")], str(out))
    assert (report.files_done, len(report.files_skipped)) == (2, 1)
    assert (out / "d/same").read_bytes() in (files["x/d/same"], files["y/d/same"])
    assert (out / "d/other").read_bytes() == b"other"
    assert hidden(out) == []


def test_a_store_that_fails_costs_nothing_that_is_durable(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(lab, contents())
    monkeypatch.setattr(restore_group, "SETTLE_FILES", 1)
    monkeypatch.setattr(restore_group, "SETTLE_BYTES", 1 << 20)
    out, calls = tmp_path / "out", []

    def fail() -> None:
        calls.append(1)
        if len(calls) > 6:
            raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        restore(reading(lab, fail), [str(lab.root)], str(out))
    found = tree(out / "root")
    assert all(contents()[path] == data for path, data in found.items())
    assert hidden(out) == []
    assert restore(lab.context, [str(lab.root)], str(out)).files_done == len(contents())
    assert tree(out / "root") == contents()


def strange(lab: Lab) -> dict[str, bytes]:
    """Files that are not quite ordinary, stored."""
    modes = [0o600, 0o444, 0o777, 0o2640, 0o1666]
    if os.geteuid() == 0:  # nobody else stores what nobody may read
        modes.append(0o000)
    files = {f"modes/{mode:o}": noise(700, mode) for mode in modes}
    files |= {"holes": bytes(300_000) + noise(5000, 1) + bytes(200_000), "empty": b"", "attributes": b"with attributes"}
    files |= {"owner": b"of somebody", "long": noise(5_000_000, 2)}
    for path, data in files.items():
        place = lab.write(path, data)
        if path == "holes":
            with place.open("r+b") as file:
                file.truncate(0)
                file.seek(300_000)
                file.write(data[300_000:305_000])
                file.truncate(len(data))
        os.utime(place, ns=(len(path) * 10**9 + 1, -len(data) - 1))
    for mode in modes:
        (lab.root / f"modes/{mode:o}").chmod(mode)
    if os.geteuid() == 0:
        os.chown(lab.root / "owner", 1234, 4321)
    os.setxattr(lab.root / "attributes", "user.note", b"kept")
    learn(lab)
    assert migrate(lab.context, items(lab)).files_skipped == ()
    return files


def looks(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in folder.rglob("*"):
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
            owner = (status.st_uid, status.st_gid, status.st_mode)
            has_holes = status.st_blocks * 512 < status.st_size // 2
            found[str(path.relative_to(folder))] = (status.st_mtime_ns, status.st_size, owner, attributes, has_holes)
    return found


def test_machine_code_and_plain_calls_give_the_same(lab: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    files = strange(lab)
    restore(lab.context, [str(lab.root)], str(tmp_path / "native"))
    request.getfixturevalue("without_machine_code")
    restore(lab.context, [str(lab.root)], str(tmp_path / "plain"))
    os.sync()  # blocks are counted when the disk has them

    assert looks(tmp_path / "native") == looks(tmp_path / "plain")
    assert {path: look[:2] for path, look in looks(tmp_path / "native/root").items()} == {
        path: (-len(data) - 1, len(data)) for path, data in files.items()
    }
    if os.geteuid() == 0:
        assert tree(tmp_path / "native/root") == tree(tmp_path / "plain/root") == files


@pytest.mark.usefixtures("without_machine_code")
def test_without_machine_code_everything_comes_back_all_the_same(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_group, "SETTLE_BYTES", 1 << 20)
    store(lab, contents())
    assert restore(lab.context, [str(lab.root)], str(tmp_path / "out")).files_done == len(contents())
    assert tree(tmp_path / "out/root") == contents()
    assert hidden(tmp_path / "out") == []
