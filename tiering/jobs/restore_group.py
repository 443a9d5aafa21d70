"""The files of a restore that are read together: planned as one, given their names as they become durable.

Used by tiering.jobs.restore_run. A file has its name only after the disk has its bytes; many at once cost one sync.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from threading import Event

from tiering.jobs import settling
from tiering.jobs.context import Context
from tiering.jobs.fetch import carry_out, range_bytes
from tiering.jobs.fetch_plan import Planner
from tiering.jobs.landing import Folder, Landing, Strip, give_names, take_all
from tiering.jobs.restore_folders import Folders, give_name
from tiering.jobs.restore_mark import Mark
from tiering.jobs.stored_paths import StoredVersion

GROUP_SIZE = 190_000  # what is planned together, as the planner weighs it, at about 500 bytes: 60,000 small files
SETTLE_FILES = 16_000
SETTLE_BYTES = 256 << 20  # the disk has to be busy from the beginning: what is written last nothing else is done beside


class Group:
    """Files that are read together: the more, the fewer blocks are read twice. close() it: what has no name by then is
    removed.
    """

    def __init__(self, ctx: Context, to: tuple[int, str], settler: Executor, mark: Mark) -> None:
        """Begin with none; *to* is the target folder, open, and as shown. *settler* does one thing at a time; *mark*
        gives hidden names.
        """
        self._ctx = ctx
        self._settler = settler
        self._settled: list[Future[None]] = []
        self._strip = Strip()
        self._folders = Folders(to, self._strip, mark)
        self._summed = self._ready_bytes = 0  # how many of the ready ones were summed up, and their bytes
        self._unsynced: list[tuple[Folder, bytes]] = []
        """Folders with names that were given since the last sync."""
        self.planner = Planner()
        self.is_half_read = Event()
        """By then bring() holds half of the plan, or none any more."""
        self.size_bytes = 0
        self.files: list[Landing] = []
        self.links: list[tuple[StoredVersion, bytes]] = []
        """Further names of hard links, and their folders."""

    def folder(self, path: bytes) -> Folder:
        """Return the folder, made where it is missing, open as long as the group is."""
        return self._folders.get(path)

    def is_full(self, most_folders: int) -> bool:
        """Whether no more files fit, by what is kept of them or by their folders."""
        return self.planner.size + len(self.links) >= GROUP_SIZE or len(self._folders) >= most_folders

    def bring(self) -> None:
        """Read, write and prove the files; those that are complete get their names meanwhile."""
        try:
            self._bring()
        finally:
            self.is_half_read.set()

    def _bring(self) -> None:
        self._strip.is_long = self.size_bytes >= SETTLE_BYTES
        self._folders.begin(self.files)
        planned, self.planner = self.planner.done(range_bytes(self._ctx)), Planner()
        half = len(planned.tasks) // 2

        def between() -> None:
            self._settle_some()
            if len(planned.tasks) <= half:
                self.is_half_read.set()

        carry_out(self._ctx, planned, between, take_all)

    def settle(self) -> None:
        """Let the other complete files get their names, when bring() is done."""
        self._settled.append(self._settler.submit(self._settle_rest))

    def wait(self) -> None:
        """Wait until all names are durable. Raises NotDurable."""
        for settled in self._settled:
            settled.result()

    def close(self) -> None:
        """Remove what is not durable, close the folders."""
        self._show_others()
        for file in self.files:
            file.discard()
        self._folders.close()

    def _settle_rest(self) -> None:
        self._settle(self._taken())
        self._show_others()
        _sync(self._unsynced)
        self._unsynced = []

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
        _sync([(file.folder, file.hidden) for file in files] + self._unsynced)
        give_names(files)
        folders = {file.folder for file in files}
        self._unsynced = [(folder, b".") for folder in folders if not folder.hidden]
        for folder in folders:
            if folder.hidden and len(folder.waiting) == folder.expected_files:
                self._show(folder)
        self._ctx.progress.advance(byte_count=sum(file.size for file in files), files=len(files))

    def _show(self, folder: Folder) -> None:
        if give_name(folder):
            self._unsynced += [(folder, b"../" + folder.name), (folder, b"..")]

    def _show_others(self) -> None:
        """Give the other hidden folders their names; what is not durable in them is removed."""
        hidden = [folder for folder in self._folders if folder.waiting]
        durable = {file for folder in hidden for file in folder.waiting}
        for file in self.files if hidden else ():
            if file.folder.waiting and file not in durable:
                file.discard()
        for folder in hidden:
            self._show(folder)


def _sync(found: Sequence[tuple[Folder, bytes]]) -> None:
    """Make (folder, name) durable, on each of the file systems that the target spans."""
    by_device: dict[int, list[tuple[int, bytes]]] = {}
    for folder, name in found:
        by_device.setdefault(folder.device, []).append((folder.fd, name))
    for group in by_device.values():
        settling.sync_names(group)
