"""Whether a path lies on a network file system, where SQLite's locks and WAL cannot be trusted."""

import ctypes
import os

# f_type values of file systems on whose locks and shared memory SQLite's WAL cannot rely; linux/magic.h, statfs(2).
NETWORK_MAGIC = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x564C: "NCP",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x01021997: "9P",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x20030528: "OrangeFS",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
}


def network_filesystem(path: str) -> str:
    """Return the name of the network file system that *path* (which exists) is on, or "" if it is a local one.

    FUSE is not in the list: it may be local (ntfs-3g) or not (sshfs), and cannot be told from here.
    """
    return NETWORK_MAGIC.get(_statfs_type(path), "")


def _statfs_type(path: str) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit Linux; f_type comes first
    if libc.statfs(os.fsencode(path), buffer) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), path)
    return int.from_bytes(buffer.raw[:8], "little") & 0xFFFFFFFF
