"""What stands at the path of an offline file: a symbolic link that names its recipe and can never be followed.

The target begins with /dev/null/, a file: nothing can exist or be created below it, in any container and on any host
(ENOTDIR), so that a program which opens the path gets an error and never wrong bytes (P7).
"""

import os
from dataclasses import dataclass

from dedup.values import RecipeId

_PREFIX = b"/dev/null/frostline/"
_STORE_ID_LENGTH = 8
_RECIPE_ID_LENGTH = 26
_ALPHABET = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A parsed target."""

    store_id: str
    recipe_id: RecipeId
    name: bytes
    """The file's name when it was released; keeps the suffix visible. The link may have been renamed since."""


def format_target(store_id: str, recipe_id: str, name: bytes) -> bytes:
    """Return the target of the placeholder of a file called *name*. Raises ValueError for an id of the wrong form."""
    store, recipe = store_id.encode("ascii"), recipe_id.encode("ascii")
    if not _is_id(store, _STORE_ID_LENGTH) or not _is_id(recipe, _RECIPE_ID_LENGTH):
        raise ValueError(f"not a store id and a recipe id: {store_id!r}, {recipe_id!r}")
    return _PREFIX + store + b"/" + recipe + b"/" + name


def parse_target(target: bytes) -> Placeholder | None:
    """Return what *target* names; None if it is not the target of a placeholder."""
    if not target.startswith(_PREFIX):
        return None
    store, slash, rest = target[len(_PREFIX) :].partition(b"/")
    recipe, second_slash, name = rest.partition(b"/")
    if not (slash and second_slash and name) or b"/" in name:
        return None
    if not _is_id(store, _STORE_ID_LENGTH) or not _is_id(recipe, _RECIPE_ID_LENGTH):
        return None
    return Placeholder(store.decode("ascii"), RecipeId(recipe.decode("ascii")), name)


def write_placeholder(
    dir_fd: int, name: bytes, target: bytes, *, owner: tuple[int, int], times: tuple[int, int]
) -> None:
    """Create the link *name*, owned by (uid, gid) and with (atime_ns, mtime_ns) of the file it stands for.

    Raises FileExistsError if the name is taken. A group that this process may not give is left as it is: links are
    readable by all.
    """
    os.symlink(target, name, dir_fd=dir_fd)
    try:
        os.chown(name, owner[0], owner[1], dir_fd=dir_fd, follow_symlinks=False)
    except PermissionError:
        pass  # only a process without CAP_CHOWN, which then is the owner already
    os.utime(name, ns=times, dir_fd=dir_fd, follow_symlinks=False)


def read_link(dir_fd: int, name: bytes) -> bytes | None:
    """Return the target of the link *name*; None if it is no link or not there."""
    try:
        return os.readlink(name, dir_fd=dir_fd)
    except OSError:
        return None


def _is_id(text: bytes, length: int) -> bool:
    return len(text) == length and _ALPHABET.issuperset(text)
