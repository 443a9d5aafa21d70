"""The folders of files that are restored together, held open; new ones of small files have a hidden name meanwhile.

Used by tiering.jobs.restore_group. In a folder that nobody sees a file has its own name from the beginning, and the
folder gets its own when the disk has all of the files: one rename for all of them, where each costs a third of what
making the file does. A folder that was there, that has others in it, or that has much in it, is not hidden: a restore
that is killed loses what has no name.
"""

import os
from collections.abc import Iterable, Iterator

from tiering.errors import UsageError
from tiering.hot import syscalls
from tiering.hot.swap import status_of
from tiering.jobs.landing import Folder, Landing, Strip
from tiering.jobs.restore_mark import Mark

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_FILES, MOST_BYTES = 1000, 64 << 20  # of a hidden folder


class Folders:
    """Those of one group. Files are added to them first, then made. Ends with close()."""

    def __init__(self, to: tuple[int, str], strip: Strip, mark: Mark) -> None:
        """Begin with none; *to* is the target folder, open, and as shown; *mark* gives hidden names."""
        self._to_fd, self._to = to
        self._strip = strip
        self._held: dict[bytes, Folder] = {}
        self._mark = mark

    def __len__(self) -> int:
        """How many are open."""
        return len(self._held)

    def get(self, path: bytes) -> Folder:
        """Return the folder, made where it is missing; *path* is below the target, b"" or with a trailing slash."""
        found = self._held.get(path)
        if found is None:
            found = self._held[path] = self._made(path)
        return found

    def begin(self, files: Iterable[Landing]) -> None:
        """Learn which files are to be made: all of them. A folder with too much in it gets its name now."""
        sizes: dict[Folder, int] = {}
        for file in files:
            folder = file.folder
            folder.expected_files += 1
            sizes[folder] = sizes.get(folder, 0) + file.size
        for path, folder in self._held.items():
            if folder.expected_files > MOST_FILES or sizes.get(folder, 0) > MOST_BYTES:
                self._show(path, folder)

    def __iter__(self) -> Iterator[Folder]:
        """Yield all."""
        return iter(self._held.values())

    def close(self) -> None:
        """Close all; those that are hidden and empty are removed."""
        for folder in self._held.values():
            folder.close()

    def _made(self, path: bytes) -> Folder:
        shown = os.path.join(os.fsencode(self._to), path)
        above, _, name = path.rstrip(b"/").rpartition(b"/")
        self._show_above(above)
        fd = make_folder(self._to_fd, above)
        try:
            if not name or status_of(fd, name) is not None:
                return Folder(make_folder(self._to_fd, path), shown, self._strip)
            hidden = self._mark.name()
            os.mkdir(hidden, dir_fd=fd)
            return Folder(os.open(hidden, DIRECTORY, dir_fd=fd), shown, self._strip, hidden)
        finally:
            os.close(fd)

    def _show_above(self, above: bytes) -> None:
        """Give those above a folder their names: nothing is in them yet."""
        while above:
            folder = self._held.get(above + b"/")
            if folder is not None:
                self._show(above + b"/", folder)
            above = above.rpartition(b"/")[0]

    def _show(self, path: bytes, folder: Folder) -> None:
        """Let an empty folder be the one that has its name."""
        if folder.hidden:
            folder.become(make_folder(self._to_fd, path))


def give_name(folder: Folder) -> bool:
    """Give a hidden folder its name, when the disk has the files that wait for it and no others are in it. Return
    whether a folder with the name is there now.

    Where another has taken the name, or the file system cannot say so, each file gets its own.
    """
    files, folder.waiting = folder.waiting, []
    try:
        syscalls.rename_no_replace(folder.fd, b"../" + folder.hidden, b"../" + folder.name)
    except OSError:
        return _moved_out(folder, files)
    folder.hidden = b""
    for file in files:
        file.is_named = True
    return True


def _moved_out(folder: Folder, files: Iterable[Landing]) -> bool:
    try:
        to_fd = _opened(folder.fd, b"../" + folder.name)
    except UsageError:
        for file in files:
            file.is_taken = True
        return False
    try:
        for file in files:
            file.take_name(to_fd)
    finally:
        os.close(to_fd)
    return True


def make_folder(to_fd: int, folder: bytes) -> int:
    """Return an open descriptor of *folder* below the target, made where it is missing. Links in it are not
    followed.
    """
    fd = os.dup(to_fd)
    for name in folder.split(b"/"):
        if not name:
            continue
        try:
            below = _opened(fd, name)
        finally:
            os.close(fd)
        fd = below
    return fd


def _opened(dir_fd: int, name: bytes) -> int:
    try:
        try:
            os.mkdir(name, dir_fd=dir_fd)
        except FileExistsError:
            pass
        return os.open(name, DIRECTORY, dir_fd=dir_fd)
    except NotADirectoryError as error:
        raise UsageError(
            f"{os.fsdecode(name)} in the target folder is not a folder", hint="restore into an empty folder"
        ) from error
