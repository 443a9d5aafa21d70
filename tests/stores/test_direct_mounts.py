"""Direct transfers on file systems of every temper, and a disk that damages what the page cache still holds right."""

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from dedup.values import Span
from tiering import direct
from tiering.direct import STEP_BYTES, Appender
from tiering.errors import ChecksumRefused
from tiering.stores.checksum import checksum_of
from tiering.stores.local import LocalStore, open_local
from tiering.stores.nameless import is_taken_over, open_nameless

pytestmark = [pytest.mark.heavy, pytest.mark.root]

BODY = os.urandom(STEP_BYTES + 70_001)
IMAGE_BYTES = 400_000_000  # xfs takes no less than 300 MB


def _ran(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


class Disk:
    """A mounted image, or a file system in memory."""

    def __init__(self, base: Path, stack: ExitStack) -> None:
        self.image = base / "image"
        self.folder = base / "mnt"
        self.folder.mkdir()
        self._stack = stack

    def make(self, kind: str, *, block_bytes: int, mkfs: tuple[str, ...] = (), options: str = "defaults") -> None:
        """Make a file system on a disk of such blocks, and mount it; skips the test where that cannot be had."""
        with self.image.open("wb") as out:
            out.truncate(IMAGE_BYTES)
        device = _ran("losetup", "--find", "--show", "--sector-size", str(block_bytes), self.image)
        self._stack.callback(subprocess.run, ["losetup", "--detach", device], check=False, capture_output=True)
        force = ("-f",) if kind == "xfs" else ()
        _ran(f"mkfs.{kind}", "-q", *force, *mkfs, device)
        self.mount("-o", options, device)

    def mount(self, *words: str) -> None:
        """Mount it, until the test ends."""
        _ran("mount", *words, self.folder)
        self._stack.callback(subprocess.run, ["umount", "-l", str(self.folder)], check=True)

    def overlaid(self) -> Path:
        """Return a folder laid over this disk's, mounted until the test ends."""
        lower, upper, work, merged = (self.folder / name for name in ("lower", "upper", "work", "merged"))
        for folder in (lower, upper, work, merged):
            folder.mkdir()
        _ran("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "none", merged)
        self._stack.callback(subprocess.run, ["umount", "-l", str(merged)], check=True)
        return merged

    def damage(self, data: bytes) -> None:
        """Change one byte of *data* where the disk holds it, past the mounted file system."""
        os.sync()
        with self.image.open("r+b") as image:
            at = image.read().index(data[:512])
            image.seek(at)
            image.write(bytes([data[0] ^ 1]))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    with ExitStack() as stack:
        yield Disk(tmp_path, stack)


@pytest.fixture(params=["ext4", "journalled", "xfs", "wide blocks", "overlay", "ramfs", "tmpfs"])
def folder(request: pytest.FixtureRequest, disk: Disk) -> Path:
    """File systems that take it; one that only seems to; wider blocks than ours; a container's; one that refuses; one
    of memory.
    """
    match request.param:
        case "ext4":
            disk.make("ext4", block_bytes=512)
        case "journalled":
            disk.make("ext4", block_bytes=4096, options="data=journal")
        case "xfs":
            disk.make("xfs", block_bytes=4096)
        case "wide blocks":
            disk.make("xfs", block_bytes=16384, mkfs=("-b", "size=16384", "-s", "size=16384"))
        case "overlay":
            disk.make("ext4", block_bytes=512)
            return disk.overlaid()
        case kind:
            disk.mount("-t", kind, "none")
    return disk.folder


def test_a_store_on_any_file_system_holds_exactly_what_it_was_given(folder: Path) -> None:
    (folder / "state").mkdir()
    store = open_local(folder / "store", create=True)
    assert is_taken_over(folder / "state", store.url)
    for length in (0, 1, 4095, 4097, STEP_BYTES - 1, STEP_BYTES + 4096, len(BODY)):
        body = BODY[:length]
        with open_nameless(folder / "state") as file:
            out = Appender(file.fileno())
            for start in range(0, length, 300_007):
                out.write(body[start : min(start + 300_007, length)])
            out.finish()
            _put(store, f"packs/{length}", cast(BinaryIO, file), body)
        with (folder / "state" / "plain").open("w+b", buffering=0) as plain:
            plain.write(body)
            plain.seek(0)
            _put(store, f"copied/{length}", cast(BinaryIO, plain), body)
        for key in (f"packs/{length}", f"copied/{length}"):
            assert store.get(key) == body
            assert store.get(key, Span(length // 3, length // 2)) == body[length // 3 : length // 3 + length // 2]


def test_any_range_is_read_where_blocks_are_refused(folder: Path) -> None:
    (folder / "file").write_bytes(BODY)
    with (folder / "file").open("rb", buffering=0) as file:
        for start, length in ((4096, 5000), (1, 3), (len(BODY) - 5, 5), (len(BODY), 1), (0, len(BODY))):
            direct.turn_on(file.fileno())
            assert direct.read(file.fileno(), start, length) == BODY[start : start + length]


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_p1_damage_on_the_disk_is_seen_though_the_page_cache_is_right(disk: Disk, kind: str) -> None:
    disk.make(kind, block_bytes=512)
    (disk.folder / "state").mkdir()
    store = open_local(disk.folder / "store", create=True)
    with open_nameless(disk.folder / "state") as file:
        file.write(BODY)
        os.fsync(file.fileno())
        disk.damage(BODY[8192:])
        assert os.pread(file.fileno(), len(BODY), 0) == BODY  # so would a reader who asks the cache be told
        with pytest.raises(ChecksumRefused, match="was announced"):
            _put(store, "packs/one", cast(BinaryIO, file), BODY)
    assert list(store.list()) == []


def test_who_asks_for_all_of_an_object_is_told_what_the_disk_holds(disk: Disk) -> None:
    disk.make("ext4", block_bytes=512)
    store = open_local(disk.folder / "store", create=True)
    _put(store, "packs/one", io.BytesIO(BODY), BODY)
    assert store.get("packs/one", Span(0, len(BODY))) == BODY  # and it stands in the page cache now
    disk.damage(BODY[8192:])
    found = store.get("packs/one")
    assert (found[:8192], found[8193:]) == (BODY[:8192], BODY[8193:])
    assert found[8192] == BODY[8192] ^ 1


def _put(store: LocalStore, key: str, file: BinaryIO, body: bytes) -> None:
    file.seek(0)
    store.put(key, file, size_bytes=len(body), checksum=checksum_of(body), storage_class="STANDARD")
