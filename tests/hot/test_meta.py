"""What is beside a file's bytes comes back exactly, or is refused before anything is released."""

import fcntl
import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.values import FileMeta
from tiering.errors import SourceRefused
from tiering.hot.meta import apply_meta_exactly, differences, read_meta
from tiering.hot.refusal import refusal

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_ENABLE_VERITY = 0x80086601, 0x40086602, 0x40806685
# struct posix_acl_xattr: version 2; user::rw-, user:1234:r--, group::r--, mask::r--, other::---
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, perm, ident)
    for tag, perm, ident in ((1, 6, 2**32 - 1), (2, 4, 1234), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1))
)
# struct vfs_cap_data revision 2, effective, CAP_NET_RAW
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def _meta(path: Path) -> FileMeta:
    with path.open("rb") as file:
        return read_meta(file.fileno(), os.fstat(file.fileno()))


def _refusal(path: Path, **options: int) -> str:
    with path.open("rb") as file:
        return refusal(file.fileno(), os.fstat(file.fileno()), **options)


@needs_root
@pytest.mark.root
def test_every_kind_of_metadata_comes_back(volume: Path) -> None:
    source, copy = volume / "source", volume / "copy"
    source.write_bytes(b"x")
    os.chown(source, 1234, 4321)
    source.chmod(0o2640)
    wanted = {"user.note": b"\x00binary\xff", "trusted.frost": b"t", "user.empty": b""}
    if "tmpfs" not in str(volume):
        wanted["system.posix_acl_access"] = ACL
    wanted["security.capability"] = CAPABILITY
    for name, value in wanted.items():
        try:
            os.setxattr(source, name, value)
        except OSError:
            assert "tmpfs" in str(volume)  # no user attributes there before Linux 6.6
    os.utime(source, ns=(1_111_111_111_111_111_111, 1_222_222_222_222_222_222))
    before = _meta(source)
    copy.write_bytes(b"x")
    with copy.open("r+b") as file:
        apply_meta_exactly(file.fileno(), before, "copy")

    after = _meta(copy)
    assert after == before
    assert after.uid == 1234
    assert after.mtime_ns == 1_222_222_222_222_222_222
    assert dict(after.xattrs)[b"trusted.frost"] == b"t"


@needs_root
@pytest.mark.root
def test_an_acl_inherited_from_the_directory_is_taken_off(tmp_path: Path) -> None:
    if shutil.which("setfacl") is None:
        pytest.skip("needs setfacl")
    plain = tmp_path / "plain"
    plain.write_bytes(b"x")
    subprocess.run(["setfacl", "-d", "-m", "u:1234:rwx", str(tmp_path)], check=True)
    heir = tmp_path / "heir"
    heir.write_bytes(b"x")
    assert b"system.posix_acl_access" in dict(_meta(heir).xattrs)
    with heir.open("r+b") as file:
        apply_meta_exactly(file.fileno(), _meta(plain), "heir")
    assert dict(_meta(heir).xattrs) == {}


_CHILD = """
import sys, os
from dedup.values import FileMeta
from tiering.hot.meta import apply_meta
print(apply_meta(int(sys.argv[1]), FileMeta(mode=0o100644, uid=0, gid=0, mtime_ns=5, atime_ns=6)))
"""


@needs_root
@pytest.mark.root
def test_what_an_ordinary_user_cannot_put_back_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    os.chown(path, 65534, 65534)
    with path.open("r+b") as file:
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        ran = subprocess.run(
            [*command, sys.executable, "-c", _CHILD, str(file.fileno())],
            pass_fds=(file.fileno(),),
            capture_output=True,
            text=True,
            check=False,
        )
    assert "owner 0:0" in ran.stdout, ran.stderr
    assert path.stat().st_mtime_ns == 5


def test_an_incomplete_return_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    wanted = FileMeta(
        mode=0o100600, uid=os.getuid(), gid=os.getgid(), mtime_ns=5, atime_ns=6, xattrs=((b"nonsense.name", b"v"),)
    )
    with path.open("r+b") as file, pytest.raises(SourceRefused, match=r"nonsense\.name"):
        apply_meta_exactly(file.fileno(), wanted, "f")


def test_differences_are_named() -> None:
    one = FileMeta(mode=0o100600, uid=1, gid=2, mtime_ns=5, atime_ns=6, xattrs=((b"user.a", b"v"),))
    two = FileMeta(mode=0o100644, uid=1, gid=3, mtime_ns=6, atime_ns=9)
    assert differences(one, two) == ["mode", "owner", "modification time", "attribute user.a"]
    assert differences(one, one) == []


def test_an_ordinary_file_is_not_refused(volume: Path) -> None:
    path = volume / "f"
    path.write_bytes(b"x")
    assert _refusal(path) == ""


@pytest.mark.parametrize("mode", [0o4755, 0o4644, 0o2755])
def test_files_that_give_privileges_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    path.chmod(mode)
    assert _refusal(path) in {"is setuid", "is setgid"}


def test_an_executing_file_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "sleeper"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as child:
        try:
            assert _refusal(program) == "is being executed"
        finally:
            child.kill()
    assert _refusal(program) == ""


def _set_flag(path: Path, flag: int, *, on: bool) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        buffer = bytearray(8)
        fcntl.ioctl(fd, FS_IOC_GETFLAGS, buffer)
        flags = struct.unpack("=i", buffer[:4])[0]
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("=i", flags | flag if on else flags & ~flag))
    except OSError as error:
        pytest.skip(f"cannot set the flag here: {error.strerror}")
    finally:
        os.close(fd)


@needs_root
@pytest.mark.root
@pytest.mark.parametrize(("flag", "reason"), [(0x10, "is immutable (chattr +i)"), (0x20, "is append-only (chattr +a)")])
def test_sealed_files_are_refused(volume: Path, flag: int, reason: str) -> None:
    path = volume / "f"
    path.write_bytes(b"x")
    _set_flag(path, flag, on=True)
    try:
        assert _refusal(path) == reason
    finally:
        _set_flag(path, flag, on=False)


@needs_root
@pytest.mark.root
def test_fs_verity_files_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.mktemp("verity")
    with (base / "image").open("wb") as out:
        out.truncate(16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-O", "verity", str(base / "image")], capture_output=True, check=False)
    (base / "mnt").mkdir()
    mount = ["mount", "-o", "loop", str(base / "image"), str(base / "mnt")]
    if made.returncode != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs loop devices and ext4 with verity")
    try:
        path = base / "mnt/f"
        path.write_bytes(b"x" * 4096)
        fd = os.open(path, os.O_RDONLY)
        try:
            # struct fsverity_enable_arg: version 1, SHA-256, 4096-byte blocks, no salt, no signature
            fcntl.ioctl(fd, FS_IOC_ENABLE_VERITY, struct.pack("=IIIIQIIQ", 1, 1, 4096, 0, 0, 0, 0, 0) + b"\0" * 88)
        except OSError as error:
            pytest.skip(f"no fs-verity in this kernel: {error.strerror}")
        finally:
            os.close(fd)
        assert _refusal(path) == "is sealed with fs-verity"
    finally:
        subprocess.run(["umount", str(base / "mnt")], check=True)


@needs_root
@pytest.mark.root
def test_a_swap_file_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "swap file"
    with path.open("wb") as out:
        out.write(b"\0" * (1 << 20))
    path.chmod(0o600)
    subprocess.run(["mkswap", str(path)], capture_output=True, check=True)
    if subprocess.run(["swapon", str(path)], capture_output=True, check=False).returncode != 0:
        pytest.skip("cannot swap here")
    try:
        assert _refusal(path) == "is a swap file in use"
    finally:
        subprocess.run(["swapoff", str(path)], check=True)


def test_unknown_hard_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    os.link(path, tmp_path / "g")
    assert "2 hard links, of which 1" in _refusal(path, names_known=1)
    assert _refusal(path, names_known=2) == ""


_REFUSED = """
import os, sys
from tiering.hot.refusal import refusal
fd = int(sys.argv[1])
print(refusal(fd, os.fstat(fd)))
"""


@needs_root
@pytest.mark.root
def test_attributes_that_could_not_be_written_back_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    os.setxattr(path, "security.capability", CAPABILITY)
    assert _refusal(path) == ""
    with path.open("rb") as file:
        ran = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", _REFUSED, str(file.fileno())],
            pass_fds=(file.fileno(),),
            capture_output=True,
            text=True,
            check=False,
        )
    assert "no capability to write back" in ran.stdout, ran.stderr
    assert stat.S_ISREG(path.stat().st_mode)


@needs_root
@pytest.mark.root
def test_attributes_bound_to_the_inode_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    try:
        os.setxattr(path, "security.ima", b"\x01" + b"0" * 20)
    except OSError as error:
        pytest.skip(f"cannot be set here: {error.strerror}")
    assert "valid on this very inode only" in _refusal(path)
