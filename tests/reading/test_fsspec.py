"""frostline:// against fsspec's own suite for what a read-only file system supports, and through libraries' eyes."""

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

from tests.reading.conftest import CONTENT
from tests.whole.site import OK, SKIPPED, Site
from tiering.reading.filesystem import FrostlineFileSystem


@pytest.fixture
def fs(away: Site) -> Any:
    """The file system of the shared installation."""
    return FrostlineFileSystem(config=str(away.config))


def test_the_protocol_is_registered_and_reads(away: Site, root: Path) -> None:
    with fsspec.open(f"frostline://{root}/offline/deep/small.json", config=str(away.config)) as file:
        assert json.load(file) == {"a": 1}


def test_a_folder_shows_files_wherever_they_are(fs: Any, root: Path) -> None:
    assert [name.removeprefix(f"{root}/") for name in fs.find(str(root))] == sorted(CONTENT)
    for name, data in CONTENT.items():
        info = fs.info(f"frostline://{root}/{name}")
        assert (info["type"], info["size"]) == ("file", len(data))
        assert info["state"] == ("offline" if name.startswith("offline/") else "hot")
        assert fs.modified(f"{root}/{name}").year >= 2024
    assert fs.info(str(root / "offline"))["type"] == "directory"
    assert fs.exists(str(root / "offline/deep"))
    assert not fs.exists(str(root / "offline/deeper"))
    with pytest.raises(FileNotFoundError):
        fs.ls(str(root / "offline/deeper"))


def test_ranges_and_copies_of_stored_bytes(fs: Any, root: Path, tmp_path: Path) -> None:
    path, data = str(root / "offline/noise.bin"), CONTENT["offline/noise.bin"]
    assert fs.cat_file(path, 1000, 2_000_000) == data[1000:2_000_000]
    assert fs.cat_file(path, -100) == data[-100:]
    assert fs.cat_ranges([path, path], [0, 5], [3, 9]) == [data[:3], data[5:9]]
    fs.get_file(path, str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == data
    with fs.open_stored(str(root / "offline/text.txt")) as file:
        assert file.read() == CONTENT["offline/text.txt"]


def test_it_travels_to_other_processes(fs: Any, root: Path) -> None:
    again = pickle.loads(pickle.dumps(fs))  # noqa: S301  # our own
    assert again.cat_file(str(root / "offline/deep/small.json")) == b'{"a": 1}'


def test_it_writes_nothing(fs: Any, root: Path) -> None:
    with pytest.raises(NotImplementedError):
        fs.open(str(root / "hot.bin"), "wb")


def test_files_without_placeholders_are_found(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (site.root / "sub").mkdir()
    (site.root / "sub" / "a.bin").write_bytes(b"x" * 50_000)
    site.init()
    site.set("placeholder", '"none"')
    site.run("scan")
    site.run("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    made = FrostlineFileSystem(config=str(site.config))
    assert not (site.root / "sub" / "a.bin").exists()
    assert made.find(str(site.root)) == [str(site.root / "sub" / "a.bin")]
    assert made.cat_file(str(site.root / "sub" / "a.bin"), 0, 3) == b"xxx"


class ReadOnlyFixtures(AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    """fsspec's scenarios are built on the disk of a root; reading them goes through frostline."""

    @pytest.fixture
    def fs(self, away: Site) -> Any:
        made = FrostlineFileSystem(config=str(away.config))
        writer = LocalFileSystem(auto_mkdir=True)
        for name in ("touch", "makedirs", "mkdir", "rm", "pipe", "pipe_file"):
            setattr(made, name, getattr(writer, name))
        return made

    @pytest.fixture
    def fs_path(self, away: Site) -> Iterator[str]:
        folder = away.root / "suite"
        folder.mkdir()
        yield str(folder)
        shutil.rmtree(folder)

    @pytest.fixture
    def fs_join(self) -> Any:
        return lambda *parts: "/".join(str(part).rstrip("/") if part != "" else "" for part in parts)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return True


class TestGet(AbstractGetTests, ReadOnlyFixtures):  # type: ignore[misc]  # fsspec has no types
    """fsspec's own tests of getting files."""
