"""Giving a finished file its name without ever replacing another.

By renameat2(RENAME_NOREPLACE), or link(2) where that is missing.
"""

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
# What kernels, file systems and C libraries answer when they do not know the flag.
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
_LIBC = ctypes.CDLL(None, use_errno=True)


def name_without_replacing(temp: Path, path: Path) -> None:
    """Move *temp* to *path* on the same file system; FileExistsError, with both left as they are, if *path* exists.

    Of several callers exactly one wins. The folder is not flushed. Afterwards *temp* may or may not still be there.
    """
    rename = getattr(_LIBC, "renameat2", None)
    if rename is not None:
        code = rename(_AT_FDCWD, os.fsencode(temp), _AT_FDCWD, os.fsencode(path), ctypes.c_uint(_RENAME_NOREPLACE))
        if code == 0:
            return
        number = ctypes.get_errno()
        if number not in _UNSUPPORTED:
            raise OSError(number, os.strerror(number), os.fspath(path))
    path.hardlink_to(temp)
