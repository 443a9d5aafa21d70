"""One run of restore: while some files are read, decoded and written, the next ones are looked up, and those before
them become durable and get their names.

Used by tiering.jobs.restore alone. Open at once: the folders and the large files of two groups.
"""

import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from dedup.fingerprint import FileDigest
from dedup.values import Digest, Recipe
from tiering.catalog import packs, recipes
from tiering.catalog.values import Location, RecipeRow
from tiering.errors import FrostlineError, IntegrityError, NoSpace, UsageError
from tiering.hot import names, syscalls
from tiering.hot.space import check_room
from tiering.jobs import settling, tickets
from tiering.jobs.assembly import Assembly
from tiering.jobs.context import Context
from tiering.jobs.fetch import Interrupted, cold_packs, fetch, read_recipes
from tiering.jobs.reports import Skip
from tiering.jobs.stored_paths import Place, StoredVersion
from tiering.jobs.tally import Tally

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PROVERS = 2  # whole-file digests side by side; they are bound by memory
SETTLE_FILES = 16_000  # 20 MB of what is known of them
SETTLE_BYTES = 2 << 30
SETTLE_FOLDERS = 150  # that stay open, of two groups: far below the usual limit of 1024 descriptors
_READ_BYTES = 1 << 20


@dataclass(slots=True)
class _File:
    """One file of a group."""

    version: StoredVersion
    folder: bytes
    """In the target, b"" or with a trailing slash."""
    known: Mapping[Digest, Location]
    assembly: Assembly
    is_named: bool = False
    is_taken: bool = False


class _Group:
    """Files that become durable together. close() it: what has no name by then is removed."""

    def __init__(self, to_fd: int) -> None:
        self._to_fd = to_fd
        self._stack = ExitStack()
        self._folders: dict[bytes, int] = {}
        self.files: list[_File] = []
        self.links: list[tuple[StoredVersion, bytes]] = []
        """Further names of hard links, and their folders."""

    def folder_fd(self, folder: bytes) -> int:
        """Return the folder, made where it is missing, open as long as the group is."""
        if folder not in self._folders:
            self._folders[folder] = make_folder(self._to_fd, folder)
            self._stack.callback(os.close, self._folders[folder])
        return self._folders[folder]

    @property
    def is_full(self) -> bool:
        """Whether it is worth a sync: each stops the file system's journal for a moment."""
        size_bytes = sum(file.assembly.recipe.size for file in self.files)
        return len(self.files) >= SETTLE_FILES or size_bytes >= SETTLE_BYTES or len(self._folders) >= SETTLE_FOLDERS

    def settle(self) -> None:
        """Make the complete files durable, then give them their names, durably. Raises NotDurable."""
        complete = [file for file in self.files if file.assembly.is_complete]
        if not complete:
            return
        self._sync([(file.assembly.dir_fd, file.assembly.hidden) for file in complete])
        for file in complete:
            try:
                syscalls.rename_no_replace(file.assembly.dir_fd, file.assembly.hidden, file.version.name)
                file.is_named = True
            except FileExistsError:
                file.is_taken = True
        self._sync([(fd, b".") for fd in sorted({file.assembly.dir_fd for file in complete})])

    def close(self) -> None:
        """Remove what has no name, close the folders."""
        for file in self.files:
            if not file.is_named:
                file.assembly.discard()
        self._stack.close()

    def _sync(self, found: Sequence[tuple[int, bytes]]) -> None:
        """Make (folder, name) durable, on each of the file systems that the target spans."""
        by_device: dict[int, list[tuple[int, bytes]]] = {}
        for dir_fd, name in found:
            by_device.setdefault(os.fstat(dir_fd).st_dev, []).append((dir_fd, name))
        for group in by_device.values():
            settling.sync_names(group)


class RestoreRun:
    """Where a run writes, and what it has done."""

    def __init__(self, ctx: Context, to_fd: int, to: str, tally: Tally, damaged: list[IntegrityError]) -> None:
        """Prepare to restore into the open folder *to_fd*, shown as *to*."""
        self.ctx = ctx
        self.to_fd = to_fd
        self.to = to
        self.tally = tally
        self.damaged = damaged
        self._nonce = secrets.token_hex(8)
        self._number = 0
        self._waiting: list[int] = []
        self._linked: dict[int, tuple[bytes, bytes]] = {}
        """Leader's file id -> (folder, name) in the target of the name that was restored first."""
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="frostline-bring")
        self._fetching: Future[None] | None = None
        self._settler = ThreadPoolExecutor(1, thread_name_prefix="frostline-settle")
        self._group = _Group(to_fd)
        self._settling: tuple[_Group, Future[None]] | None = None

    def __enter__(self) -> "RestoreRun":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what has no name yet."""
        self._fetcher.shutdown(wait=True)
        self._settler.shutdown(wait=True)
        self._group.close()
        if self._settling is not None:
            self._settling[0].close()
            self._settling = None

    def batch(self, place: Place, chosen: Sequence[tuple[StoredVersion, RecipeRow]]) -> None:
        """Restore some files, fetched together; they are counted when they have been settled, by finish() at the
        latest.
        """
        self._fill(self._group, place, self._readable(place, chosen))
        if self._group.is_full:
            self._hand_over()

    def finish(self) -> None:
        """Wait until all that was restored is durable under its names, and count it. Raises Interrupted after that, if
        the last files were given up.
        """
        given_up: Interrupted | None = None
        try:
            self._wait_for_bytes()
        except Interrupted as error:
            given_up = error
        self._hand_over()
        self._collect()
        if given_up is not None:
            raise given_up

    def _hand_over(self) -> None:
        """Let the group become durable while the next one is filled."""
        self._wait_for_bytes()
        self._collect()
        self._settling = (self._group, self._settler.submit(self._group.settle))
        self._group = _Group(self.to_fd)

    def _collect(self) -> None:
        """Wait for the group that is being settled, and count its files."""
        if self._settling is None:
            return
        (group, settled), self._settling = self._settling, None
        try:
            settled.result()
            for file in group.files:
                self._account(file)
            for version, folder in group.links:
                self._link(version, folder)
        finally:
            group.close()

    def wait_for_archives(self) -> None:
        """Open one ticket for everything that was archived."""
        if not self._waiting:
            return
        ticket = tickets.request(self.ctx, [], by=self.ctx.owner, reason="restore", recipe_nos=self._waiting)
        self.tally.tickets.append(ticket.number)
        told = tickets.waiting(ticket)
        self.tally.notes += [f"archived packs are asked for: ticket {ticket.number}", told.now]

    def _fill(self, group: _Group, place: Place, ready: Sequence[tuple[StoredVersion, RecipeRow]]) -> None:
        """Look up what the files of a group need, and let them be brought when those before them are."""
        room_bytes = sum(min(row.size, row.plain_bytes) for _, row in ready)
        check_room(os.fsencode(self.to), room_bytes, uid=os.geteuid(), reserve_fraction=0.0)
        read = read_recipes(self.ctx, list({row.recipe_no: row for _, row in ready}.values()))
        with self.ctx.catalog.read() as tx:
            known = packs.locate_all(tx, read)
        before = len(group.files)
        for version, row in ready:
            folder = self._folder(place, version)
            recipe = read[row.recipe_no]
            if version.inode_of is not None and version.inode_of in self._linked:
                group.links.append((version, folder))
            elif isinstance(recipe, FrostlineError):
                self._failed(folder + version.name, recipe)
            else:
                self._begin(group, version, folder, recipe, known[row.recipe_no])
        self._wait_for_bytes()
        self._fetching = self._fetcher.submit(self._bring, group.files[before:])

    def _wait_for_bytes(self) -> None:
        if self._fetching is not None:
            fetching, self._fetching = self._fetching, None
            fetching.result()

    def _bring(self, new: Sequence[_File]) -> None:
        """Read, write and prove some files, while the next ones are looked up."""
        fetch(self.ctx, ((file.assembly.recipe, file.known, file.assembly) for file in new))
        rest = [file.assembly for file in new if not file.assembly.is_complete]
        with ThreadPoolExecutor(PROVERS, thread_name_prefix="frostline-prove") as pool:
            list(pool.map(_prove, rest))
        for file in new:
            file.known = {}  # it may have named a million places

    def _begin(
        self, group: _Group, version: StoredVersion, folder: bytes, recipe: Recipe, known: Mapping[Digest, Location]
    ) -> None:
        dir_fd = group.folder_fd(folder)
        if is_taken(dir_fd, version.name):
            if _is_right(dir_fd, version.name, recipe):
                self._count(0)
            else:
                self._taken(folder + version.name)
            return
        self._number += 1
        hidden = names.new(self._nonce, self._number)
        shown = self._shown(folder + version.name)
        group.files.append(_File(version, folder, known, Assembly(dir_fd, hidden, recipe, shown, exactly=False)))
        if version.inode_of is not None:
            self._linked[version.inode_of] = (folder, version.name)

    def _readable(
        self, place: Place, chosen: Sequence[tuple[StoredVersion, RecipeRow]]
    ) -> list[tuple[StoredVersion, RecipeRow]]:
        if not any(tier.capabilities.archives for tier in self.ctx.tiers.values()):
            return list(chosen)
        numbers = [row.recipe_no for _, row in chosen]
        with self.ctx.catalog.read() as tx:
            needed = recipes.packs_of(tx, numbers)
            rows = packs.by_numbers(tx, {number for found in needed.values() for number in found})
        cold = {row.pack_no for row in cold_packs(self.ctx, rows.values())}
        ready = []
        for version, row in chosen:
            if cold.intersection(needed[row.recipe_no]):
                self._waiting.append(row.recipe_no)
                shown = self._shown(self._folder(place, version) + version.name)
                self.tally.skip(shown, "waits for archived packs", Skip.WAITING)
            else:
                ready.append((version, row))
        return ready

    def _account(self, file: _File) -> None:
        """Count a settled file, or say why it is not there."""
        assembly = file.assembly
        path = file.folder + file.version.name
        if file.is_named:
            if assembly.left_out:
                self.tally.notes.append(f"{assembly.shown}: not put back: {', '.join(assembly.left_out)}")
            self._count(assembly.recipe.size)
        elif file.is_taken:
            self._taken(path)
        elif isinstance(assembly.error, NoSpace):
            raise assembly.error
        elif assembly.error is not None:
            self._failed(path, assembly.error)

    def _link(self, version: StoredVersion, folder: bytes) -> None:
        """Make a further name of a hard link that was restored before."""
        first_folder, first_name = self._linked[version.inode_of or 0]
        with ExitStack() as stack:
            dir_fd = make_folder(self.to_fd, folder)
            stack.callback(os.close, dir_fd)
            first_fd = make_folder(self.to_fd, first_folder)
            stack.callback(os.close, first_fd)
            try:
                os.link(first_name, version.name, src_dir_fd=first_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
                os.fsync(dir_fd)
            except FileExistsError:
                self._taken(folder + version.name)
                return
            except FileNotFoundError:
                self.tally.skip(
                    self._shown(folder + version.name), "the first name of its hard link was not restored", Skip.OTHER
                )
                return
        self._count(0)

    def _count(self, size: int) -> None:
        self.tally.done += 1
        self.tally.bytes_read += size
        self.ctx.progress.advance(byte_count=size, files=1)

    def _failed(self, path: bytes, error: FrostlineError) -> None:
        if isinstance(error, IntegrityError):
            self.damaged.append(error)
        self.tally.skip(self._shown(path), error.what, Skip.UNREADABLE)

    def _taken(self, path: bytes) -> None:
        self.tally.skip(self._shown(path), "exists already and was not overwritten", Skip.OTHER)

    def _shown(self, path: bytes) -> str:
        return os.path.join(self.to, os.fsdecode(path))

    def _folder(self, place: Place, version: StoredVersion) -> bytes:
        """Return the folder in the target, b"" or with a trailing slash."""
        if not place.path:
            return os.fsencode(place.root.name) + b"/" + version.dir
        above, _, _ = place.path.rpartition(b"/")
        return version.dir[len(above) + 1 :] if above else version.dir


def _prove(assembly: Assembly) -> None:
    try:
        assembly.complete()
    except FrostlineError as error:
        assembly.fail(error)


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


def is_taken(dir_fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_right(dir_fd: int, name: bytes, recipe: Recipe) -> bool:
    """Whether the file that has the name is the wanted one, as an earlier run left it: same times, same bytes."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        stamps = (status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or stamps != (recipe.size, recipe.meta.mtime_ns):
            return False
        digest = FileDigest()
        while data := os.read(fd, _READ_BYTES):
            digest.update(data)
        return digest.digest() == recipe.digest
    except OSError:
        return False
    finally:
        os.close(fd)
