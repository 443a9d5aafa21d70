"""The names that frostline itself puts into a user's tree. All start with one prefix, and the walk skips them.

They are made from an operation's id alone, never from the file's name: a file name may already have 255 bytes.
"""

PREFIX = b".frostline-"
ROOT_MARKER = PREFIX + b"root"
_PARKED = PREFIX + b"parked-"
_NEW = PREFIX + b"new-"
_RESTORING = PREFIX + b"restore-"
NAME_MAX = 255

FOREIGN_DIRS = frozenset({b".snapshot", b"lost+found"})
"""Directories that belong to the file system, not to the user."""


def is_ours(name: bytes) -> bool:
    """Return whether frostline made this name."""
    return name.startswith(PREFIX)


def parked(op: str, index: int = 0) -> bytes:
    """Return where release parks the inode of name number *index* of operation *op*."""
    return _PARKED + _tail(op, index)


def new(op: str, index: int = 0) -> bytes:
    """Return where recall builds the file of operation *op*; further names of a hard link have *index* > 0. Restores
    number what they make.
    """
    return _NEW + _tail(op, index)


def restoring(op: str) -> bytes:
    """Return what the marker of restore *op* is called, in its target folder."""
    return _RESTORING + _tail(op, 0)


def restore_of(name: bytes) -> str | None:
    """Return the restore whose marker *name* is; None for any other name."""
    op = name.removeprefix(_RESTORING)
    return op.decode() if op != name and op.isalnum() else None


def operation_of(name: bytes) -> str | None:
    """Return the operation whose parked or new file *name* is; None for any other name."""
    for prefix in (_PARKED, _NEW):
        if name.startswith(prefix):
            return name[len(prefix) :].split(b".", 1)[0].decode("ascii", "replace")
    return None


def conflict(name: bytes, op: str) -> bytes:
    """Return the visible name under which a second version of *name* is kept: `<name>.frostline-conflict-<op>`.

    *name* is cut so that the result fits into NAME_MAX.
    """
    tail = b".frostline-conflict-" + _tail(op, 0)
    return name[: NAME_MAX - len(tail)] + tail


def _tail(op: str, index: int) -> bytes:
    short = op.rsplit(":", 1)[-1]
    if not short.isascii() or not short.replace("-", "").isalnum() or len(short) > 64:
        raise ValueError(f"not an operation id: {op!r}")
    return short.encode("ascii") + (b".%d" % index if index else b"")
