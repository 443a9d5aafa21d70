"""The local store: the contract, and what a directory adds to it."""

import io
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from dedup.values import Span
from tests.stores.bench import Bench, RawFolder
from tests.stores.conformance import BODY, StoreConformance, put
from tiering import direct
from tiering.clock import FakeClock
from tiering.errors import ChecksumRefused, NoSpace, ObjectExists, ObjectMissing, StoreDenied, StoreUnavailable
from tiering.hot.syscalls import cached_pages
from tiering.stores.base import ArchiveStore, ObjectInfo
from tiering.stores.checksum import checksum_of
from tiering.stores.local import LocalStore, open_local
from tiering.stores.nameless import Nameless, open_nameless
from tiering.stores.open import open_store
from tiering.stores.options import StoreOptions


class TestBare(StoreConformance):
    """The store itself."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        root = tmp_path / "store"
        return Bench(open_local(root, create=True), RawFolder(root))


class TestWrapped(StoreConformance):
    """The store as jobs see it."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        root = tmp_path / "a store"
        store = open_store(root.as_uri(), options=StoreOptions(), clock=FakeClock(), create=True)
        return Bench(store, RawFolder(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return open_local(root, create=True)


def test_an_absent_directory_is_not_an_empty_store(root: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not there"):
        open_local(root)


def test_p5_an_unmounted_store_does_not_look_empty(root: Path, store: LocalStore) -> None:
    put(store, "packs/one")
    root.rename(root.with_name("elsewhere"))

    for look in (
        lambda: list(store.list()),
        lambda: store.get("packs/one"),
        lambda: store.head("packs/one"),
        lambda: store.delete("packs/one"),
        lambda: put(store, "packs/two"),
    ):
        with pytest.raises(StoreUnavailable, match="not there"):
            look()


def test_nothing_is_put_into_the_mount_point_of_an_unmounted_store(root: Path) -> None:
    root.mkdir()
    store = open_local(root)

    with pytest.raises(StoreUnavailable, match="not there"):
        put(store, "packs/one")

    assert list(root.iterdir()) == []


def test_a_store_without_temporary_folder_can_be_read(root: Path, store: LocalStore) -> None:
    put(store, "packs/one")
    (root / ".tmp").rmdir()
    copy = open_local(root)

    assert [item.key for item in copy.list()] == ["packs/one"]
    assert list(copy.list_uploads()) == []
    with pytest.raises(ObjectMissing):
        copy.head("packs/two")


def test_objects_are_for_the_owner_alone(root: Path) -> None:
    before = os.umask(0o027)
    try:
        store = open_local(root, create=True)
    finally:
        os.umask(before)
    put(store, "packs/ab/one")

    assert (root / "packs/ab/one").stat().st_mode & 0o777 == 0o600
    assert (root / "packs/ab").stat().st_mode & 0o777 == 0o700
    assert root.stat().st_mode & 0o077 in {0, 0o055}  # made by mkdir(parents), under the umask


def test_a_failed_put_leaves_no_temporary_file(root: Path, store: LocalStore) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(Exception, match="Input/output"):
        store.put("packs/x", Broken(), size_bytes=5, checksum=checksum_of(b"12345"), storage_class="STANDARD")

    assert list((root / ".tmp").iterdir()) == []


def test_a_long_object_read_whole_leaves_the_page_cache_as_it_was(root: Path, store: LocalStore) -> None:
    body = os.urandom(direct.STEP_BYTES + 70_001)
    store.put("long", io.BytesIO(body), size_bytes=len(body), checksum=checksum_of(body), storage_class="STANDARD")
    with (root / "long").open("rb") as file:
        try:
            before = cached_pages(file.fileno())
        except OSError:
            pytest.skip("this kernel does not tell what is in the page cache")
        assert store.get("long") == body
        assert cached_pages(file.fileno()) == before
        assert store.get("long", Span(1, len(body) - 2)) == body[1:-1]


def hand_over(store: LocalStore, key: str, file: Nameless) -> ObjectInfo:
    """Put *file* under *key*, announced as BODY."""
    file.seek(0)
    body = cast(BinaryIO, file)
    return store.put(key, body, size_bytes=len(BODY), checksum=checksum_of(BODY), storage_class="STANDARD")


def test_a_file_without_a_name_on_the_same_disk_becomes_the_object_itself(
    root: Path, store: LocalStore, tmp_path: Path
) -> None:
    with open_nameless(tmp_path) as file:
        file.write(BODY)
        number = os.fstat(file.fileno()).st_ino

        assert hand_over(store, "packs/ab/one", file).checksum in {checksum_of(BODY), ""}
        assert store.get("packs/ab/one") == BODY
        assert (root / "packs/ab/one").stat().st_ino == number
        assert (root / "packs/ab/one").stat().st_mode & 0o777 == 0o600
        with pytest.raises(ObjectExists):
            hand_over(store, "packs/ab/one", file)

        hand_over(store, "packs/ab/two", file)  # it has a name now: its bytes are copied
        assert store.get("packs/ab/two") == BODY
        assert (root / "packs/ab/two").stat().st_ino != number
    assert list((root / ".tmp").iterdir()) == []


@pytest.mark.parametrize("damaged", [BODY[:-1] + b"?", BODY[:-1]])
def test_a_file_without_a_name_that_is_not_what_was_announced_is_refused(
    damaged: bytes, root: Path, store: LocalStore, tmp_path: Path
) -> None:
    with open_nameless(tmp_path) as file:
        file.write(damaged)
        with pytest.raises(ChecksumRefused, match="was announced"):
            hand_over(store, "packs/one", file)

    assert list(store.list()) == []
    assert list((root / ".tmp").iterdir()) == []


def test_a_symlink_in_the_store_is_not_followed(root: Path, store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"another user's data")
    (root / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(ObjectMissing):
        store.get("link")
    with pytest.raises(ObjectMissing):
        store.head("link")
    assert list(store.list()) == []


@pytest.mark.root
def test_a_full_disk_gets_a_sentence_and_keeps_what_it_has(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        store = open_local(disk / "store", create=True)
        put(store, "packs/fits", b"x" * 65536)
        with pytest.raises(NoSpace, match="No space left") as caught:
            put(store, "packs/large", b"x" * 300_000)
        assert "next:" in caught.value.sentence()
        assert [item.key for item in store.list()] == ["packs/fits"]
        assert list(store.list_uploads()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_size_limit_gets_a_sentence(store: LocalStore, root: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(NoSpace) as caught:
            put(store, "packs/large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "frostline gc" in caught.value.sentence()
    assert list((root / ".tmp").iterdir()) == []


def test_a_directory_without_permission_gets_a_sentence(root: Path, store: LocalStore) -> None:
    root.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(StoreDenied, match="Permission denied") as caught:
            put(store, "packs/one")
    finally:
        os.seteuid(user)
        root.chmod(0o700)

    assert "next:" in caught.value.sentence()


def test_a_checksum_survives_in_the_file_itself(store: LocalStore, root: Path) -> None:
    put(store, "packs/one")
    reopened = open_local(root)

    assert reopened.head("packs/one").checksum in {checksum_of(BODY), ""}


def test_a_directory_has_no_archive_classes(store: LocalStore) -> None:
    assert not isinstance(store, ArchiveStore)
    assert put(store, "x").storage_class == "STANDARD"
