"""Files without a name: what is being put together for a store, gone with its process however that ends.

Used by tiering.jobs.packing. A local store on the same file system gives such a file its name instead of copying it, so
a pack is written to the disk once, and its bytes are never wanted from the page cache.
"""

import errno
import io
import os
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tiering.stores.keys import RESERVED

# What file systems (NFS, some FUSE) and old kernels answer that know no files without a name.
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})


class Nameless(io.FileIO):
    """An open file, unbuffered. A put() may take over the file itself: whoever hands it to one writes to it no more."""

    def give_name(self, path: Path) -> None:
        """Let the file stand at *path*, which must be new and on its own file system; its bytes are not flushed.

        Raises OSError where that cannot be had, or it had a name before: then its bytes can still be copied.
        """
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Only with a folder's descriptor does Python ask for the link to be followed.
            os.link(f"/proc/self/fd/{self.fileno()}", path.name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)


def open_nameless(folder: Path) -> Nameless:
    """Return a new file on the file system of *folder*, for reading and writing, closed to others. Raises OSError."""
    try:
        return Nameless(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+")
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    descriptor, name = tempfile.mkstemp(dir=folder)
    os.unlink(name)
    return Nameless(descriptor, "r+")


def is_taken_over(folder: Path, url: str) -> bool:
    """Return whether the store at *url* is a local one that can give a nameless file made in *folder* its name."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return False
    try:
        return (Path(unquote(parts.path)) / RESERVED).stat().st_dev == folder.stat().st_dev
    except OSError:
        return False  # its put() says what is wrong
