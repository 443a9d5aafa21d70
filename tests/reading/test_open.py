"""tiering.open(): any range of any file under care, right or an error (P7), nothing recalled."""

import io
import multiprocessing
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiering
from tests.reading.conftest import CONTENT
from tests.whole.site import OK, SKIPPED, Site
from tests.whole.tree import noise, write
from tiering.errors import IntegrityError
from tiering.reading.installation import is_placeholder


@pytest.mark.parametrize("name", CONTENT)
def test_p7_a_file_reads_the_same_wherever_it_is(away: Site, root: Path, name: str) -> None:
    with tiering.open(root / name, config=str(away.config)) as file:
        assert file.read() == CONTENT[name]
    assert is_placeholder(str(root / name)) == name.startswith("offline/")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(start=st.integers(0, 3_100_000), length=st.integers(0, 900_000), name=st.sampled_from(sorted(CONTENT)))
def test_p7_any_range_is_the_files_own(away: Site, root: Path, start: int, length: int, name: str) -> None:
    with tiering.open(root / name, config=str(away.config)) as file:
        assert file.seek(start) == start
        assert file.read(length) == CONTENT[name][start : start + length]


def test_it_is_a_file_as_python_knows_them(away: Site, root: Path) -> None:
    data = CONTENT["offline/text.txt"]
    with tiering.open(str(root / "offline/text.txt"), config=str(away.config)) as file:
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert file.readline() == data.split(b"\n", 1)[0] + b"\n"
        assert file.seek(-10, io.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        assert file.read() == b""
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    with pytest.raises(ValueError, match="reads only"):
        tiering.open(root / "hot.bin", "wb", config=str(away.config))


def test_what_is_nowhere_is_not_found(away: Site, root: Path) -> None:
    for path in (root / "nothing", Path("/nowhere/at/all")):
        with pytest.raises(FileNotFoundError):
            tiering.open(path, config=str(away.config))


def test_a_forked_child_reads_for_itself(away: Site, root: Path) -> None:
    with tiering.open(root / "offline/text.txt", config=str(away.config)) as file:
        file.read(10)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.starmap(_read, [(str(root / "offline/noise.bin"), str(away.config))] * 4)
    assert found == [CONTENT["offline/noise.bin"]] * 4


def _read(path: str, config: str) -> bytes:
    with tiering.open(path, config=config) as file:
        return file.read()


def test_p7_damaged_bytes_are_an_error_and_never_data(tmp_path: Path) -> None:
    site = Site(tmp_path)
    write(os.fsencode(site.root / "a.bin"), noise(9, 300_000))
    site.init()
    site.run("scan")
    site.run("migrate", str(site.root), "--to", "standard", "--release", "--yes", expect=(OK, SKIPPED))
    (pack,) = (site.store_dir / "packs").rglob("*-*")
    damaged = bytearray(pack.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(damaged)
    with tiering.open(site.root / "a.bin", config=str(site.config)) as file, pytest.raises(IntegrityError):
        file.read()
