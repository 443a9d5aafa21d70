"""The marker file of a root: proves that the right tree is mounted there (P5: absence is not deletion).

An unmounted root is an empty directory that looks like ten thousand deletions; it has no marker, and then nothing is
concluded.
"""

import os
import secrets

from tiering.errors import RootMissing
from tiering.hot import names


def write_marker(root: bytes) -> str:
    """Return the text of the root's marker file, which is created (durably) if it is not there. Raises OSError."""
    text = f"frostline root {secrets.token_hex(16)}\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    dir_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fd = os.open(names.ROOT_MARKER, flags, 0o444, dir_fd=dir_fd)
        except FileExistsError:
            found = _read(dir_fd)
            if found:
                return found
            # Empty: we died between create and write. Nothing can refer to it yet.
            os.unlink(names.ROOT_MARKER, dir_fd=dir_fd)
            fd = os.open(names.ROOT_MARKER, flags, 0o444, dir_fd=dir_fd)
        with open(fd, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.fsync(dir_fd)
    finally:
        os.close(dir_fd)
    return text


def check_marker(root: bytes, text: str) -> None:
    """Raise RootMissing unless the tree at *root* carries exactly the marker *text*."""
    shown = os.fsdecode(root)
    now = "nothing was concluded from its absence: every file of it counts as it was"
    try:
        dir_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RootMissing(f"the root {shown} cannot be opened: {error.strerror}", now=now, hint="mount it") from error
    try:
        found = _read(dir_fd)
    except FileNotFoundError as error:
        raise RootMissing(
            f"the root {shown} does not carry its marker {os.fsdecode(names.ROOT_MARKER)}: is it mounted?",
            now=now,
            hint="mount it; if the marker was deleted, frostline doctor puts it back after you have looked",
        ) from error
    finally:
        os.close(dir_fd)
    if found != text:
        raise RootMissing(
            f"the root {shown} carries the marker of another root", now=now, hint="check what is mounted there"
        )


def remove_marker(root: bytes) -> None:
    """Remove the marker; absent is fine."""
    try:
        os.unlink(os.path.join(root, names.ROOT_MARKER))
    except FileNotFoundError:
        pass


def _read(dir_fd: int) -> str:
    fd = os.open(names.ROOT_MARKER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    with open(fd, encoding="ascii", errors="replace") as text:
        return text.read(200)
