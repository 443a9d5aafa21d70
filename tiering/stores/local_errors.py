"""What the operating system says of a local store, turned into the project's errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tiering.errors import FrostlineError, NoSpace, StoreDenied, StoreError, StoreUnavailable
from tiering.stores.failures import missing
from tiering.stores.keys import RESERVED

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})
# A network file system that lost its server; the rest of errno is for a human.
_UNREACHABLE = frozenset({
    errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN, errno.ENETDOWN,
    errno.ECONNRESET, errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ENXIO, errno.ENODEV,
})  # fmt: skip


@contextmanager
def translated(url: str, key: str, verb: str, *, root: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StoreError or NoSpace that says what could not be done with *key*."""
    try:
        yield
    except OSError as error:
        raise translate(error, url, key, verb, root=root) from error


def translate(error: OSError, url: str, key: str, verb: str, *, root: Path) -> FrostlineError:
    """Return the error for *error*; *verb* completes "could not ..."."""
    what = f"could not {verb} {key or 'the store'} in {url}: {error.strerror or error}"
    if error.errno in _FULL:
        return NoSpace(
            what,
            now="nothing was stored under that key and the hot files are untouched",
            hint=f"free space or raise the quota at {root}, or run: frostline gc",
        )
    if error.errno in _DENIED:
        return StoreDenied(
            what,
            now="nothing was changed",
            hint=f"let frostline's user read and write {root} on a writable mount; under systemd see ReadWritePaths",
        )
    if error.errno in _ABSENT:
        return _absent(url, key, verb, root)
    if error.errno in _UNREACHABLE:
        return StoreUnavailable(what, now="nothing was changed", hint=f"check the mount of {root}, then try again")
    return StoreError(
        what, now="the object may be damaged or unreadable", hint="check the disk with dmesg and smartctl"
    )


def _absent(url: str, key: str, verb: str, root: Path) -> FrostlineError:
    is_there = root.is_dir() and (verb != "store" or (root / RESERVED).is_dir())
    if is_there:
        return missing(url, key)
    return StoreUnavailable(
        f"the directory of the store {url} is not there",
        now="nothing was read or written; an unmounted disk is not taken for an empty store",
        hint=f"mount {root}; a new store is made by: frostline init",
    )
