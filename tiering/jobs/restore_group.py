"""The files of a restore that are read together: planned as one, given their names as they become durable.

Used by tiering.jobs.restore_run. A file has its name only after the disk has its bytes; many at once cost one sync.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack

from tiering.errors import UsageError
from tiering.jobs import settling
from tiering.jobs.context import Context
from tiering.jobs.fetch import carry_out, range_bytes
from tiering.jobs.fetch_plan import Planner
from tiering.jobs.landing import Folder, Landing, Strip, give_names, take_all
from tiering.jobs.stored_paths import StoredVersion

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GROUP_SIZE = 100_000  # what is planned together, as the planner weighs it, at about 1 KB; three groups are under way
SETTLE_FILES = 16_000
SETTLE_BYTES = 256 << 20  # the disk has to be busy from the beginning: what is written last nothing else is done beside


class Group:
    """Files that are read together: the more, the fewer blocks are read twice. close() it: what has no name by then is
    removed.
    """

    def __init__(self, ctx: Context, to: tuple[int, str], settler: Executor) -> None:
        """Begin with none; *to* is the target folder, open, and as shown. *settler* does one thing at a time."""
        self._ctx = ctx
        self._to_fd, self._to = to
        self._settler = settler
        self._settled: list[Future[None]] = []
        self._stack = ExitStack()
        self._folders: dict[bytes, Folder] = {}
        self._strip = Strip()
        self._summed = self._ready_bytes = 0  # how many of the ready ones were summed up, and their bytes
        self._named: list[Landing] = []
        self.planner = Planner()
        self.size_bytes = 0
        self.files: list[Landing] = []
        self.links: list[tuple[StoredVersion, bytes]] = []
        """Further names of hard links, and their folders."""

    def folder(self, path: bytes) -> Folder:
        """Return the folder, made where it is missing, open as long as the group is."""
        found = self._folders.get(path)
        if found is None:
            shown = os.path.join(os.fsencode(self._to), path)
            found = Folder(make_folder(self._to_fd, path), shown, self._strip)
            self._folders[path] = found
            self._stack.callback(found.close)
        return found

    def is_full(self, most_folders: int) -> bool:
        """Whether no more files fit, by what is kept of them or by their folders."""
        return self.planner.size + len(self.links) >= GROUP_SIZE or len(self._folders) >= most_folders

    def bring(self) -> None:
        """Read, write and prove the files; those that are complete get their names meanwhile."""
        self._strip.is_long = self.size_bytes >= SETTLE_BYTES
        planned, self.planner = self.planner.done(range_bytes(self._ctx)), Planner()
        carry_out(self._ctx, planned, self._settle_some, take_all)

    def settle(self) -> None:
        """Let the other complete files get their names, when bring() is done."""
        self._settled.append(self._settler.submit(self._settle_rest))

    def wait(self) -> None:
        """Wait until all names are durable. Raises NotDurable."""
        for settled in self._settled:
            settled.result()

    def close(self) -> None:
        """Remove what has no name, close the folders."""
        for file in self.files:
            file.discard()
        self._stack.close()

    def _settle_rest(self) -> None:
        self._settle(self._taken())
        _sync([(folder, b".") for folder in {file.folder for file in self._named}])
        self._named = []

    def _settle_some(self) -> None:
        ready = self._strip.ready
        count = len(ready)
        self._ready_bytes += sum(file.size for file in ready[self._summed : count])
        self._summed = count
        if count >= SETTLE_FILES or self._ready_bytes >= SETTLE_BYTES:
            self._settled.append(self._settler.submit(self._settle, self._taken()))

    def _taken(self) -> list[Landing]:
        """Return the files that have become complete since this was asked last."""
        ready = self._strip.ready
        count = len(ready)
        taken, ready[:count] = ready[:count], []
        self._summed = self._ready_bytes = 0
        return taken

    def _settle(self, files: list[Landing]) -> None:
        """Make *files* durable, and the names given before; then give *files* theirs. One at a time."""
        named = {file.folder for file in self._named}
        _sync([(file.folder, file.hidden) for file in files] + [(folder, b".") for folder in named])
        give_names(files)
        self._named = files
        self._ctx.progress.advance(byte_count=sum(file.size for file in files), files=len(files))


def _sync(found: Sequence[tuple[Folder, bytes]]) -> None:
    """Make (folder, name) durable, on each of the file systems that the target spans."""
    by_device: dict[int, list[tuple[int, bytes]]] = {}
    for folder, name in found:
        by_device.setdefault(folder.device, []).append((folder.fd, name))
    for group in by_device.values():
        settling.sync_names(group)


def make_folder(to_fd: int, folder: bytes) -> int:
    """Return an open descriptor of *folder* below the target, made where it is missing. Links in it are not
    followed.
    """
    fd = os.dup(to_fd)
    for name in folder.split(b"/"):
        if not name:
            continue
        try:
            try:
                os.mkdir(name, dir_fd=fd)
            except FileExistsError:
                pass
            below = os.open(name, DIRECTORY, dir_fd=fd)
        except NotADirectoryError as error:
            raise UsageError(
                f"{os.fsdecode(name)} in the target folder is not a folder", hint="restore into an empty folder"
            ) from error
        finally:
            os.close(fd)
        fd = below
    return fd
