"""One file being restored under a hidden name in the target folder, or in a hidden folder, and the folder.

Used by tiering.jobs.restore_run; there may be a hundred thousand at a time, so none stays open and little is kept of
each. It is durable when somebody has synced it, and gets its name after that.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from threading import Lock
from typing import cast

from dedup.values import Recipe
from tiering.errors import FrostlineError
from tiering.hot import syscalls
from tiering.hot.meta import apply_meta, read_xattrs
from tiering.hot.new_files import Naming, NewFile, make_all, name_all
from tiering.hot.swap import unlink_if_there
from tiering.jobs.fetch_sinks import Piece, Whole, one_by_one
from tiering.jobs.hidden_files import (
    READ_WRITE,
    WHOLE_BYTES,
    created,
    reserve,
    trouble,
    write_pieces,
)
from tiering.jobs.stored_paths import StoredVersion

KEPT_OPEN = 200  # files that come in pieces: half of what restore_run leaves to others (OTHERS_OPEN)
CACHED_BYTES = 64 << 10  # what is less long is not worth opening again to drop it from the page cache


@dataclass(slots=True)
class Strip:
    """What the files that are read together share."""

    ready: "list[Landing]" = field(default_factory=list)
    """Those that are complete; they add themselves."""
    is_long: bool = False
    """Whether so much is written that its pages are worth nothing: then long files are dropped from the page cache when
    the disk has them. Fresh pages cost more than the disk; writing past the cache waits for it, and takes longer.
    """
    kept: "set[Landing]" = field(default_factory=set)
    """Those that stay open between two pieces, about KEPT_OPEN at most: opening one again costs as much as a piece."""


class Folder:
    """A folder of the target, held open. Ends with close()."""

    __slots__ = (
        *("_is_empty", "_lock", "device", "expected_files", "fd", "gives", "hidden", "owner", "path", "strip"),
        "waiting",
    )

    def __init__(self, fd: int, path: bytes, strip: Strip, hidden: bytes = b"") -> None:
        """Take over the open folder *fd*; *path* is shown, with a trailing slash."""
        self.fd = fd
        self.path = path
        self.strip = strip
        self.hidden = hidden
        """The name of a new folder until its files are durable; they have their own in it. b"": it has its own."""
        self.expected_files = 0
        """How many a hidden folder waits for."""
        self.waiting: list[Landing] = []
        """Durable files of a hidden folder."""
        self.device = os.fstat(fd).st_dev
        self.owner = (os.geteuid(), os.getegid())
        self.gives: bool | None = None
        """Whether new files here have attributes at once, of a default ACL or a label; None before the first."""
        self._lock = Lock()
        self._is_empty: bool | None = None

    @property
    def name(self) -> bytes:
        """The last part of its path."""
        return self.path.rstrip(b"/").rpartition(b"/")[2]

    def has(self, name: bytes) -> bool:
        """Whether something stands under the name. In a folder that was empty when this was first asked nothing does:
        what comes later is found when the file gets its name.
        """
        if self._is_empty is None:
            with os.scandir(self.fd) as entries:
                self._is_empty = next(entries, None) is None
        if self._is_empty:
            return False
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def making(self) -> Lock:
        """Return what to hold while a file is made that several threads write to."""
        return self._lock

    def become(self, fd: int) -> None:
        """Be the open folder *fd* from now on; the hidden one is empty, and removed."""
        self.close()
        self.fd, self.hidden, self._is_empty = fd, b"", None

    def close(self) -> None:
        """Close it, and remove it where it is hidden and empty."""
        if self.hidden:
            with suppress(OSError):
                os.rmdir(b"../" + self.hidden, dir_fd=self.fd)
        os.close(self.fd)


class Landing:
    """A fetch target with a file under it."""

    __slots__ = (
        *("error", "folder", "is_complete", "is_named", "is_taken", "left_out"),
        *("_fd", "_hidden", "_hole_bytes", "_is_made", "_meta", "size", "version"),
    )

    def __init__(self, folder: Folder, version: StoredVersion, hidden: bytes, recipe: Recipe) -> None:
        """Describe the file that will have the name of *version*, and until then that of *hidden*, unless *folder* is
        hidden.
        """
        self.folder = folder
        self.version = version
        self._hidden = hidden
        self.size = recipe.size
        self.error: FrostlineError | None = None
        """The first thing that went wrong."""
        self.is_complete = False
        """Whether its bytes are proven and its metadata is given."""
        self.is_named = False
        self.is_taken = False
        """Whether something else had its name in the end."""
        self.left_out: tuple[str, ...] = ()
        """Metadata that could not be given; known when it is complete."""
        self._hole_bytes = recipe.hole_bytes if len(recipe.parts) > 1 else 0
        self._meta = recipe.meta
        self._is_made = False
        self._fd = -1
        """Open between two pieces."""

    @property
    def shown(self) -> str:
        """The path, for messages."""
        return os.fsdecode(self.folder.path + self.version.name)

    @property
    def hidden(self) -> bytes:
        """The name it has until everybody may see it."""
        return self.version.name if self.folder.hidden else self._hidden

    @property
    def whole_bytes(self) -> int:
        """See fetch_sinks.Target."""
        return self.size if self.size <= WHOLE_BYTES else -1

    def take_whole(self, pieces: list[Piece]) -> None:
        """See fetch_sinks.Target: made, written, given its metadata and closed."""
        if self.error is not None:
            return
        is_ours = (self._meta.uid, self._meta.gid) == self.folder.owner
        # Its own mode at once, where it will have no other owner and none of the bits that make a program of it.
        fd = self._created(stat.S_IMODE(self._meta.mode) & 0o777 if is_ours else 0o600)
        try:
            write_pieces(fd, pieces)
            if self._hole_bytes:
                os.ftruncate(fd, self.size)
            self._complete(fd)
        finally:
            os.close(fd)

    def wanted(self, pieces: list[Piece]) -> NewFile | None:
        """Return what take_whole() would make; None where that takes more than tiering.hot.new_files does."""
        meta = self._meta
        if self.error is not None or meta.xattrs or self.folder.gives is not False:
            return None
        size = self.size if self._hole_bytes else -1
        return NewFile(self.folder.fd, meta.mode, meta.uid, meta.gid, meta.atime_ns, meta.mtime_ns, size, len(pieces))

    def is_as_wanted(self) -> None:
        """Learn that it was made just so."""
        self._is_made = self.is_complete = True
        self.folder.strip.ready.append(self)

    def write(self, pieces: list[Piece]) -> None:
        """See fetch_sinks.Target. Does nothing once something went wrong."""
        if self.error is not None:
            return
        fd = self._opened()
        try:
            write_pieces(fd, pieces)
        finally:
            if fd != self._fd:
                os.close(fd)

    def read(self, buffer: memoryview, offset: int) -> int:
        """See fetch_sinks.Target."""
        fd = self._opened()
        try:
            return os.preadv(fd, [buffer], offset)
        finally:
            if fd != self._fd:
                os.close(fd)

    def finish(self) -> None:
        """See fetch_sinks.Target."""
        if self.error is not None or self.is_complete:
            return
        try:
            fd = self._opened()
            try:
                self._complete(fd)
            finally:
                if fd != self._fd:
                    os.close(fd)
                self._close()
        except (FrostlineError, OSError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """See fetch_sinks.Target."""
        if self.error is None:
            self.error = trouble(error, self.shown)

    @property
    def leaves_cache(self) -> bool:
        """Whether the page cache is to forget it."""
        return self.folder.strip.is_long and self.size >= CACHED_BYTES

    def take_name(self, to_fd: int = -1) -> None:
        """Give the durable file its name; leave what stands there alone. *to_fd*: the folder, where it is another."""
        try:
            syscalls.rename_no_replace(self.folder.fd, self.hidden, self.version.name, to_fd)
            self.is_named = True
        except FileExistsError:
            self.is_taken = True

    def leave_cache(self) -> None:
        """Let the page cache forget the durable file."""
        try:
            fd = os.open(self.hidden, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder.fd)
        except OSError:
            return  # of a mode that its owner may not read: it stays where it is
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)

    def discard(self) -> None:
        """Remove what has no name."""
        self._close()
        if self._is_made and not self.is_named:
            unlink_if_there(self.folder.fd, self.hidden)
            self._is_made = False

    def _opened(self) -> int:
        """Return the file, made at its full size, all holes, by whoever comes first."""
        if not self._is_made:
            with self.folder.making():
                if not self._is_made:
                    fd = self._created(0o600)
                    try:
                        reserve(fd, self.size, self._hole_bytes)
                    except OSError:
                        os.close(fd)
                        raise
                    if len(self.folder.strip.kept) < KEPT_OPEN:
                        self.folder.strip.kept.add(self)
                        self._fd = fd
                    return fd
        return self._fd if self._fd >= 0 else os.open(self.hidden, READ_WRITE, dir_fd=self.folder.fd)

    def _created(self, mode: int) -> int:
        """Make the file. Under its own name, in a hidden folder, it may meet another one of the same restore."""
        try:
            fd = created(self.folder.fd, self.hidden, mode, is_ours_alone=not self.folder.hidden)
        except FileExistsError:
            self.is_taken = True
            raise
        self._is_made = True
        return fd

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.folder.strip.kept.discard(self)

    def _complete(self, fd: int) -> None:
        meta, status = self._meta, os.fstat(fd)
        is_owned = (status.st_uid, status.st_gid) == (meta.uid, meta.gid)
        if self.folder.gives is None:
            self.folder.gives = bool(read_xattrs(fd))
        if is_owned and status.st_mode == meta.mode and not meta.xattrs and not self.folder.gives:
            os.utime(fd, ns=(meta.atime_ns, meta.mtime_ns))
        else:
            self.left_out = apply_meta(fd, meta)
        self.is_complete = True
        self.folder.strip.ready.append(self)


def take_all(wholes: list[Whole]) -> None:
    """Take whole files, each of them a landing, as Landing.take_whole() takes one. See fetch_sinks.Taking."""
    taken: list[Whole] = []
    rows: list[NewFile] = []
    left: list[Whole] = []
    for whole in wholes:
        landing = cast("Landing", whole[0])
        if landing.folder.gives is None:
            one_by_one([whole])  # which finds that out
        elif (row := landing.wanted(whole[1])) is None:
            left.append(whole)
        else:
            taken.append(whole)
            rows.append(row)
    landings = [cast("Landing", target) for target, _ in taken]
    if landings:
        pieces = list(chain.from_iterable(pieces for _, pieces in taken))
        made = make_all([landing.hidden for landing in landings], rows, pieces, landings[0].folder.owner)
        for is_made, landing, whole in zip(made, landings, taken, strict=True):
            if is_made:
                landing.is_as_wanted()
            else:
                left.append(whole)
    one_by_one(left)


def give_names(files: Sequence[Landing]) -> None:
    """Give durable files of one strip their names; what stands there is left alone. In a hidden folder they have them,
    and wait for the folder's. If the strip is long the page cache forgets them, so that its pages are there for what is
    written next.
    """
    namings = [
        Naming(file.folder.fd, file.hidden, b"" if file.folder.hidden else file.version.name, file.leaves_cache)
        for file in files
    ]
    for file, is_done in zip(files, name_all(namings), strict=True):
        if not is_done and file.leaves_cache:
            file.leave_cache()
        if file.folder.hidden:
            file.folder.waiting.append(file)
        elif is_done:
            file.is_named = True
        else:
            file.take_name()
