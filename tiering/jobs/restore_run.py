"""One run of restore: while some files are read, decoded and written, the next ones are looked up, and those before
them become durable and get their names.

Used by tiering.jobs.restore alone. Open at once: the folders of three groups.
"""

import os
import resource
import stat
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from types import TracebackType

from dedup.fingerprint import FileDigest
from dedup.values import Recipe
from tiering.catalog import packs, recipes
from tiering.catalog.located import locate_together
from tiering.catalog.values import RecipeRow
from tiering.errors import FrostlineError, IntegrityError, NoSpace, ObjectArchived
from tiering.hot.space import check_room
from tiering.jobs import restore_group, tickets
from tiering.jobs.context import Context
from tiering.jobs.fetch import Interrupted, cold_packs
from tiering.jobs.first_names import FirstNames
from tiering.jobs.landing import Folder, Landing
from tiering.jobs.reports import Skip
from tiering.jobs.restore_folders import make_folder
from tiering.jobs.restore_group import Group
from tiering.jobs.restore_mark import Mark
from tiering.jobs.stored_paths import Place, StoredVersion
from tiering.jobs.stored_recipes import read_recipes
from tiering.jobs.tally import Tally

MOST_OPEN = 4096  # descriptors
OTHERS_OPEN = 400  # of them for the rest of the process, and for the folders of one batch more than fit
FIRST_SIZE = 24_000  # of the first group, as restore_group.GROUP_SIZE: some thousand files; then both cores work
CORES = len(os.sched_getaffinity(0))
_READ_BYTES = 1 << 20
_Standing = tuple[Folder, bytes, Recipe]
"""A name in a folder of the target that is taken, and what should be there."""


class RestoreRun:
    """Where a run writes, and what it has done."""

    def __init__(
        self, ctx: Context, to: tuple[int, str], mark: Mark, tally: Tally, damaged: list[IntegrityError]
    ) -> None:
        """Prepare to restore into the folder *to*, open, and as shown, which has the marker *mark*."""
        self.ctx = ctx
        self.to_fd, self.to = to
        self._mark = mark
        self.tally = tally
        self.damaged = damaged
        self._most_folders = _folders_at_once()
        self._waiting: set[int] = set()
        """Packs that are archived: there are far fewer than files."""
        self._linked = FirstNames()
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="frostline-bring")
        self._settler = ThreadPoolExecutor(1, thread_name_prefix="frostline-settle")
        self._comparers = ThreadPoolExecutor(CORES, thread_name_prefix="frostline-compare")
        self._filling = self._new_group()
        self._most_size = FIRST_SIZE
        self._size_brought = 0  # of what is being brought, as it was planned
        self._bringing: tuple[Group, Future[None]] | None = None
        self._settling: Group | None = None

    def __enter__(self) -> "RestoreRun":
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what has no name yet, and then the marker."""
        self._fetcher.shutdown(wait=True)
        self._settler.shutdown(wait=True)
        self._comparers.shutdown(wait=True)
        bringing = None if self._bringing is None else self._bringing[0]
        for group in (self._filling, bringing, self._settling):
            if group is not None:
                group.close()
        self._linked.close()
        self._mark.remove()

    def batch(self, place: Place, chosen: Sequence[tuple[StoredVersion, RecipeRow]]) -> None:
        """Restore some files, read together with others; they are counted when they have been settled, by finish() at
        the latest.
        """
        filling = self._filling
        if self._bringing is not None and _size(filling) + self._size_brought >= restore_group.GROUP_SIZE:
            self._bringing[0].is_half_read.wait()  # planned in time all the same: that takes a fifth of the reading
        self._look_up(filling, place, self._readable(place, chosen))
        if _size(filling) >= self._most_size or filling.is_full(self._most_folders):
            self._go_on()

    def finish(self) -> None:
        """Wait until all that was restored is durable under its names, and count it. Raises Interrupted after that, if
        the last files were given up.
        """
        given_up: Interrupted | None = None
        for _ in range(3):  # filled, brought, settled
            try:
                self._go_on()
            except Interrupted as error:
                given_up = error
        if given_up is not None:
            raise given_up

    def _go_on(self) -> None:
        """Let each group take its next step: what is filled is brought, what was brought is settled, and what was
        settled is counted. Raises what stopped the bringing.
        """
        brought = self._bringing
        stopped: Interrupted | None = None
        if brought is not None:
            try:
                brought[1].result()
            except Interrupted as error:
                stopped = error
            brought[0].settle()
        settled, self._settling = self._settling, brought and brought[0]
        self._size_brought = _size(self._filling)
        self._bringing = (self._filling, self._fetcher.submit(self._filling.bring))
        self._filling, self._most_size = self._new_group(), restore_group.GROUP_SIZE
        if settled is not None:
            self._count_settled(settled)
        if stopped is not None:
            raise stopped

    def _count_settled(self, group: Group) -> None:
        try:
            group.wait()
            named = [file for file in group.files if file.is_named]
            self._count(len(named), sum(file.size for file in named))
            for file in group.files:
                self._tell(file)
            for folder, links in groupby(group.links, key=itemgetter(1)):
                self._link([version for version, _ in links], folder)
        finally:
            group.close()

    def _new_group(self) -> Group:
        return Group(self.ctx, (self.to_fd, self.to), self._settler, self._mark)

    def wait_for_archives(self) -> None:
        """Open one ticket for everything that was archived."""
        if not self._waiting:
            return
        ticket = tickets.request(self.ctx, [], by=self.ctx.owner, reason="restore", pack_nos=sorted(self._waiting))
        self.tally.tickets.append(ticket.number)
        told = tickets.waiting(ticket)
        self.tally.notes.add(f"archived packs are asked for: ticket {ticket.number}")
        self.tally.notes.add(told.now)

    def _look_up(self, group: Group, place: Place, ready: Sequence[tuple[StoredVersion, RecipeRow]]) -> None:
        """Find out what files need, and plan it with the others of the group."""
        read = read_recipes(self.ctx, list({row.recipe_no: row for _, row in ready}.values()))
        folders = {folder: _below_target(place, folder) for folder in {version.dir for version, _ in ready}}
        begun: list[tuple[Landing, Recipe]] = []
        standing: list[_Standing] = []
        for version, row in ready:
            path = folders[version.dir]
            recipe = read[row.recipe_no]
            if version.inode_of is not None and self._linked.get(version.inode_of) is not None:
                group.links.append((version, path))
            elif isinstance(recipe, FrostlineError):
                self._failed(self._shown(path + version.name), recipe)
            elif (folder := group.folder(path)).has(version.name):
                standing.append((folder, version.name, recipe))
            else:
                begun.append((self._begun(group, version, path, recipe), recipe))
                group.size_bytes += min(row.size, row.plain_bytes)
        check_room(os.fsencode(self.to), group.size_bytes, uid=os.geteuid(), reserve_fraction=0.0)
        compared = self._comparers.map(_are_right, [standing[number::CORES] for number in range(CORES)])
        with self.ctx.catalog.read() as tx:
            known = locate_together(tx, {file.version.recipe_no for file, _ in begun})
        for file, recipe in begun:
            group.planner.add(recipe, known[file.version.recipe_no], file)
        for number, are_right in enumerate(compared):
            self._tell_standing(standing[number::CORES], are_right)

    def _begun(self, group: Group, version: StoredVersion, path: bytes, recipe: Recipe) -> Landing:
        file = Landing(group.folder(path), version, self._mark.name(), recipe)
        group.files.append(file)
        if version.inode_of is not None:
            self._linked.put(version.inode_of, path, version.name)
        return file

    def _tell_standing(self, standing: Sequence[_Standing], are_right: Sequence[bool]) -> None:
        """Count those that stand already as they should; say of the others that their name is taken."""
        for (folder, name, _), is_right in zip(standing, are_right, strict=True):
            if not is_right:
                self._taken(os.fsdecode(folder.path + name))
        self._count(sum(are_right), 0)
        self.ctx.progress.advance(files=sum(are_right))

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
                self._waiting.update(needed[row.recipe_no])
                shown = self._shown(_below_target(place, version.dir) + version.name)
                self.tally.skip(shown, "waits for archived packs", Skip.WAITING)
            else:
                ready.append((version, row))
        return ready

    def _tell(self, file: Landing) -> None:
        """Say why a file is not there, or not exactly as it was."""
        if not file.is_named and file.version.inode_of is not None:
            self._linked.forget(file.version.inode_of)  # what stands there may be anything
        if file.is_named:
            if file.left_out:
                self.tally.notes.add_of_file(f"{file.shown}: not put back: {', '.join(file.left_out)}")
        elif file.is_taken:
            self._taken(file.shown)
        elif isinstance(file.error, NoSpace):
            raise file.error
        elif isinstance(file.error, ObjectArchived):
            with self.ctx.catalog.read() as tx:
                self._waiting.update(recipes.packs_of(tx, [file.version.recipe_no])[file.version.recipe_no])
            self.tally.skip(file.shown, "waits for archived packs", Skip.WAITING)
        elif file.error is not None:
            self._failed(file.shown, file.error)

    def _link(self, links: Sequence[StoredVersion], folder: bytes) -> None:
        """Make further names, in one folder, of hard-linked files that were restored before; count them when they are
        durable.
        """
        made = 0
        with ExitStack() as stack:
            dir_fd = make_folder(self.to_fd, folder)
            stack.callback(os.close, dir_fd)
            for version in links:
                made += self._linked_again(version, folder, dir_fd)
            if made:
                os.fsync(dir_fd)
        self._count(made, 0)
        self.ctx.progress.advance(files=made)

    def _linked_again(self, version: StoredVersion, folder: bytes, dir_fd: int) -> bool:
        first = self._linked.get(version.inode_of or 0)
        if first is not None:
            first_fd = make_folder(self.to_fd, first[0])
            try:
                os.link(first[1], version.name, src_dir_fd=first_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
                return True
            except FileExistsError:
                self._taken(self._shown(folder + version.name))
                return False
            except FileNotFoundError:
                pass
            finally:
                os.close(first_fd)
        self.tally.skip(
            self._shown(folder + version.name), "the first name of its hard link was not restored", Skip.OTHER
        )
        return False

    def _count(self, files: int, size_bytes: int) -> None:
        self.tally.done += files
        self.tally.bytes_read += size_bytes

    def _failed(self, shown: str, error: FrostlineError) -> None:
        if isinstance(error, IntegrityError) and not self.damaged:  # one is raised, and each keeps its frames
            self.damaged.append(error)
        self.tally.skip(shown, error.what, Skip.UNREADABLE)

    def _taken(self, shown: str) -> None:
        self.tally.skip(shown, "exists already and was not overwritten", Skip.OTHER)

    def _shown(self, path: bytes) -> str:
        return os.path.join(self.to, os.fsdecode(path))


def _size(group: Group) -> int:
    """Return what takes memory in a group that is not being brought yet, as the planner weighs it."""
    return group.planner.size + len(group.links)


def top_of(place: Place) -> bytes:
    """Return the name in the target folder below which the folders of *place* are put."""
    return _below_target(place, place.path + b"/").partition(b"/")[0]


def _below_target(place: Place, folder: bytes) -> bytes:
    """Return where what stands in *folder* of a root is put in the target: b"", or with a trailing slash."""
    if not place.path:
        return os.fsencode(place.root.name) + b"/" + folder
    above, _, _ = place.path.rpartition(b"/")
    return folder[len(above) + 1 :] if above else folder


def _folders_at_once() -> int:
    """Return how many folders of a group may be open: there are three groups. The limit of this process is raised to
    what it may have, within reason; nothing here asks select() for high numbers.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(50, (wanted - OTHERS_OPEN) // 3)


def _are_right(standing: Sequence[_Standing]) -> list[bool]:
    return [_is_right(folder.fd, name, recipe) for folder, name, recipe in standing]


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
