"""What a mount can do, the marker of a root, and the room for a recall."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from policies.values import AccessQuality
from tiering.errors import NoSpace, RootMissing
from tiering.hot import evidence, names
from tiering.hot.evidence import mount_of, mount_quality, parse_mount, swap_support
from tiering.hot.marker import check_marker, remove_marker, write_marker
from tiering.hot.space import check_room, free_bytes, quota_left

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def test_a_mount_line_is_understood() -> None:
    line = rb"36 35 98:0 /mnt1 /mnt/with\040blank rw,noatime master:1 - nfs4 server:/x rw,errors=continue" + b"\n"
    mount = parse_mount(line)
    assert (mount.mount_point, mount.fs_type, mount.source) == (b"/mnt/with blank", "nfs4", "server:/x")
    assert mount.is_network
    with pytest.raises(ValueError, match="mountinfo"):
        parse_mount(b"nonsense")


def test_the_mount_of_a_path_is_found(volume: Path) -> None:
    mount = mount_of(os.fsencode(volume))
    assert os.fsencode(volume).startswith(mount.mount_point)
    assert not evidence.is_network(os.fsencode(volume))


@needs_root
@pytest.mark.root
@pytest.mark.parametrize(
    ("option", "quality"),
    [
        ("noatime", AccessQuality.NONE),
        ("relatime", AccessQuality.ATIME_DAY),
        ("strictatime", AccessQuality.ATIME),
    ],
)
def test_the_quality_of_atimes_follows_the_mount(tmp_path: Path, option: str, quality: AccessQuality) -> None:
    folder = tmp_path / "mnt"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "none", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("cannot mount a tmpfs")
    try:
        assert mount_quality(os.fsencode(folder)) is quality
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_swap_support_is_tried_out_and_leaves_no_trace(volume: Path) -> None:
    os.utime(volume, ns=(11, 12))
    assert swap_support(os.fsencode(volume)).problem == ""
    assert os.listdir(volume) == []
    assert volume.stat().st_mtime_ns == 12


def test_a_marker_proves_the_root(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    text = write_marker(root)
    assert write_marker(root) == text
    check_marker(root, text)
    with pytest.raises(RootMissing, match="another root"):
        check_marker(root, "frostline root 0\n")
    remove_marker(root)
    remove_marker(root)
    with pytest.raises(RootMissing, match="does not carry its marker"):
        check_marker(root, text)
    with pytest.raises(RootMissing, match="cannot be opened"):
        check_marker(root + b"/gone", text)


def test_a_half_written_marker_is_replaced(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(names.ROOT_MARKER)).touch()
    assert write_marker(os.fsencode(tmp_path)).startswith("frostline root ")


def test_room_is_checked_with_the_reserve(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path)
    status = os.statvfs(path)
    check_room(path, 1, uid=os.getuid(), reserve_fraction=0.0)
    with pytest.raises(NoSpace, match="kept in reserve"):
        check_room(path, status.f_blocks * status.f_frsize, uid=os.getuid(), reserve_fraction=0.0)
    with pytest.raises(NoSpace, match="kept in reserve"):
        check_room(path, 1, uid=os.getuid(), reserve_fraction=1.0)


def test_what_is_in_use_is_no_room(tmpfs_mount: Path) -> None:
    """On a file system of our own: elsewhere others write and delete meanwhile."""
    path = os.fsencode(tmpfs_mount)
    free = free_bytes(path)
    (tmpfs_mount / "use").write_bytes(bytes(free // 2))
    try:
        check_room(path, free // 4, uid=os.getuid(), reserve_fraction=0.0)
        with pytest.raises(NoSpace, match="kept in reserve"):
            check_room(path, free * 3 // 4, uid=os.getuid(), reserve_fraction=0.0)
    finally:
        (tmpfs_mount / "use").unlink()


_SET_QUOTA = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fields = (ctypes.c_uint64 * 9)(4096, 0, 0, 0, 0, 0, 0, 0, 1)  # hard limit in KiB; QIF_BLIMITS
fd = os.open(sys.argv[1], os.O_RDONLY)
assert libc.syscall(443, fd, (0x800008 << 8) | 0, 1234, ctypes.byref(fields)) == 0, ctypes.get_errno()
"""


@needs_root
@pytest.mark.root
def test_the_owners_quota_counts(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("quota")
    folder = base / "mnt"
    folder.mkdir()
    with (base / "image").open("wb") as out:
        out.truncate(320 << 20)
    made = subprocess.run(["mkfs.xfs", "-q", str(base / "image")], capture_output=True, check=False)
    mount = ["mount", "-o", "loop,uquota", str(base / "image"), str(folder)]
    if made.returncode or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs XFS with quotas on a loop device")
    try:
        path = os.fsencode(folder)
        if subprocess.run([sys.executable, "-c", _SET_QUOTA, str(folder)], check=False).returncode:
            pytest.skip("cannot set a quota here")
        (folder / "f").write_bytes(b"x" * (1 << 20))
        os.chown(folder / "f", 1234, 1234)
        left = quota_left(path, 0, 1234)
        assert left is not None
        assert 2 << 20 <= left <= 3 << 20
        check_room(path, 1 << 20, uid=1234, reserve_fraction=0.0)
        with pytest.raises(NoSpace, match="quota of user 1234"):
            check_room(path, 4 << 20, uid=1234, reserve_fraction=0.0)
        check_room(path, 4 << 20, uid=0, reserve_fraction=0.0)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
