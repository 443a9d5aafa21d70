"""What a mount can do for us: how well it records reading, whether it grants leases, whether names can be exchanged.

Asked by scan (which evidence to believe), by doctor (what to tell the operator) and at start-up (is the state on a
network file system?).
"""

import errno
import os
import re
import secrets
from dataclasses import dataclass

from policies.values import AccessQuality
from tiering.errors import SourceBusy
from tiering.hot import names, syscalls
from tiering.hot.kept_times import KeptTimes
from tiering.hot.lease import LeaseUnavailable, write_lease
from tiering.hot.swap import unlink_if_there

_NETWORK_TYPES = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "gpfs",
        "beegfs",
        "afs",
        "ocfs2",
        "gfs2",
        "virtiofs",
    }
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    mount_id: int
    mount_point: bytes
    fs_type: str
    source: str
    options: frozenset[str]
    """Of this mount."""

    @property
    def is_network(self) -> bool:
        """Whether other hosts may write here behind this kernel's back. FUSE counts: its server may be anything."""
        return self.fs_type in _NETWORK_TYPES or self.fs_type.startswith("fuse")


@dataclass(frozen=True, slots=True)
class SwapSupport:
    """Whether files here can be released, tried out with two files of our own."""

    leases: bool
    exchange: bool
    problem: str
    """The reason in words; "" if release is possible."""


def mount_of(path: bytes) -> Mount:
    """Return the mount that *path* is on. Raises OSError."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
            found = re.search(rb"^mnt_id:\s*(\d+)", info.read(), re.MULTILINE)
    finally:
        os.close(fd)
    wanted = int(found.group(1)) if found else -1
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            mount = parse_mount(line)
            if mount.mount_id == wanted:
                return mount
    raise OSError(errno.ENOENT, "no mount is listed for it", path)


def parse_mount(line: bytes) -> Mount:
    """Return one line of mountinfo. Raises ValueError if it is malformed."""
    left, separator, right = line.rstrip(b"\n").partition(b" - ")
    fields, tail = left.split(b" "), right.split(b" ")
    if not separator or len(fields) < 6 or len(tail) < 2:
        raise ValueError(f"not a line of mountinfo: {line!r}")
    return Mount(
        mount_id=int(fields[0]),
        mount_point=_unescaped(fields[4]),
        fs_type=tail[0].decode("ascii", "replace"),
        source=os.fsdecode(_unescaped(tail[1])),
        options=frozenset(fields[5].decode("ascii", "replace").split(",")),
    )


def mount_quality(path: bytes) -> AccessQuality:
    """Return how far atimes under *path* tell of reading. Network mounts and noatime tell nothing."""
    mount = mount_of(path)
    if mount.is_network or "noatime" in mount.options or "ro" in mount.options:
        return AccessQuality.NONE
    return AccessQuality.ATIME_DAY if "relatime" in mount.options else AccessQuality.ATIME


def is_network(path: bytes) -> bool:
    """Return whether *path* is on a network, cluster or FUSE file system."""
    return mount_of(path).is_network


def swap_support(directory: bytes) -> SwapSupport:
    """Try a lease and an exchange on two new hidden files in *directory*, and remove them. Raises OSError if it
    cannot be written.
    """
    dir_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    op = secrets.token_hex(8)
    first, second = names.new(op), names.parked(op)
    times = KeptTimes(dir_fd)
    try:
        for name in (first, second):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=dir_fd))
        leases, problem = _try_lease(dir_fd, first)
        try:
            syscalls.rename_exchange(dir_fd, first, second)
            exchange = True
        except OSError as error:
            exchange, problem = False, f"names cannot be exchanged here ({error.strerror})"
    finally:
        for name in (first, second):
            unlink_if_there(dir_fd, name)
        times.after()
        times.put_back()
        os.close(dir_fd)
    return SwapSupport(leases, exchange, problem)


def _try_lease(dir_fd: int, name: bytes) -> tuple[bool, str]:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        with write_lease(fd, "a file here"):
            return True, ""
    except (LeaseUnavailable, SourceBusy) as error:
        return False, error.what
    finally:
        os.close(fd)


def _unescaped(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), field)
