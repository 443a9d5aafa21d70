"""restore and cat: take stored content out without changing any file's state.

Called by the commands of these names and by `leave --to`. Also reaches versions that are kept for retention and
files that are gone. Nothing is ever overwritten; every chunk and every whole file is verified before it stands under
its name.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

from dedup.fingerprint import FileDigest
from dedup.values import Digest
from tiering.catalog import packs, recipes
from tiering.catalog.values import Location, RecipeRow
from tiering.errors import FrostlineError, IntegrityError, NoSpace, UsageError
from tiering.hot import names, syscalls
from tiering.hot.space import check_room
from tiering.jobs import tickets
from tiering.jobs.assembly import Assembly
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.fetch import cold_packs, fetch, read_in_order, read_recipes, wants_of
from tiering.jobs.reports import JobReport, Skip
from tiering.jobs.stored_paths import Place, StoredVersion, count_unstored, place_of, version_of_file, versions_below
from tiering.jobs.tally import Tally

BATCH_FILES = 200  # open at once, each perhaps in a folder of its own: far below the usual limit of 1024 descriptors
PROVERS = 4  # digest and fsync side by side: a journalling file system commits what waits in one go
BATCH_BYTES = 512 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def restore(ctx: Context, paths: Sequence[str], to: str, at_ns: int | None = None) -> JobReport:
    """Copy the stored versions of *paths* into the folder *to*: of /data/runs everything below it to TO/runs.

    With *at_ns* the versions that were current then, of files deleted since as well. A name that is taken in *to* is
    skipped, never overwritten. Metadata is put back as far as this process may; what is left out is noted. Archived
    packs: a ticket is opened and the report names it. Raises UsageError, NoSpace, IntegrityError after the rest was
    done, and store trouble.
    """
    places = [place_of(ctx, path) for path in paths]
    tally = Tally.begin(ctx)
    damaged: list[IntegrityError] = []
    os.makedirs(to, exist_ok=True)
    to_fd = os.open(to, _DIRECTORY & ~os.O_NOFOLLOW)
    ctx.progress.start("restore")
    try:
        run = _Restore(ctx, to_fd, to, tally, damaged)
        for place in places:
            for batch in _batches(ctx, _chosen(ctx, place, at_ns, tally)):
                run.batch(place, batch)
                if ctx.stop.is_set():
                    tally.notes.append("stopped before the end; run it again to go on")
                    return tally.report()
        run.wait_for_archives()
    finally:
        ctx.progress.finish()
        os.close(to_fd)
        charge(ctx, reason="restore")
    if damaged:
        raise damaged[0]
    return tally.report()


def cat(ctx: Context, path: str, out: BinaryIO, at_ns: int | None = None) -> None:
    """Write the stored content of *path* to *out*, in order, each chunk verified before it is written.

    Raises UsageError if nothing is stored for it, WaitingOnRestore with a ticket if it is archived, IntegrityError:
    then what was written so far is right but not all.
    """
    place = place_of(ctx, path)
    with ctx.catalog.read() as tx:
        version = version_of_file(tx, place, at_ns)
        row = None if version is None else recipes.get(tx, version.recipe_no)
        if row is None:
            raise UsageError(
                f"frostline stores nothing for {path}" + (" as of that time" if at_ns is not None else ""),
                now="nothing was written",
                hint="a file that was never migrated is on the disk; frostline ls lists what is known",
            )
        known = packs.locate(tx, row.recipe_no)
        pack_rows = packs.by_numbers(tx, {location.pack_no for location in known.values()})
    try:
        if cold_packs(ctx, pack_rows.values()):
            ticket = tickets.request(ctx, [], by=ctx.owner, reason=f"cat {path}", recipe_nos=[row.recipe_no])
            raise tickets.waiting(ticket)
        recipe = read_recipes(ctx, [row])[row.recipe_no]
        if isinstance(recipe, FrostlineError):
            raise recipe
        digest = FileDigest()

        def write(data: bytes) -> None:
            digest.update(data)
            out.write(data)

        read_in_order(ctx, recipe, known, write)
    finally:
        charge(ctx, reason="cat")
    if digest.digest() != recipe.digest:
        raise IntegrityError(f"{path}: every chunk verifies, the whole does not", hint="frostline scrub")


@dataclass(frozen=True, slots=True)
class _Restored:
    """One file of a batch."""

    version: StoredVersion
    folder: bytes
    """In the target, b"" or with a trailing slash."""
    where: Mapping[Digest, Location]
    assembly: Assembly


def _proved(file: _Restored) -> tuple[str, ...] | FrostlineError:
    """Verify and sync one file; return the metadata that was left out, or what went wrong."""
    try:
        return file.assembly.complete(exactly=False)
    except FrostlineError as error:
        return error


class _Restore:
    """One run: where it writes, and what it has done."""

    def __init__(self, ctx: Context, to_fd: int, to: str, tally: Tally, damaged: list[IntegrityError]) -> None:
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

    def batch(self, place: Place, chosen: Sequence[tuple[StoredVersion, RecipeRow]]) -> None:
        """Restore some files, fetched together."""
        ready = self._readable(place, chosen)
        room_bytes = sum(row.size - row.hole_bytes for _, row in ready)
        check_room(os.fsencode(self.to), room_bytes, uid=os.geteuid(), reserve_fraction=0.0)
        read = read_recipes(self.ctx, list({row.recipe_no: row for _, row in ready}.values()))
        with self.ctx.catalog.read() as tx:
            known = packs.locate_all(tx, read)
        later: list[tuple[StoredVersion, bytes]] = []
        with ExitStack() as stack:
            files: list[_Restored] = []
            folders: dict[bytes, int] = {}
            for version, row in ready:
                folder = self._folder(place, version)
                if version.inode_of is not None and version.inode_of in self._linked:
                    later.append((version, folder))
                    continue
                recipe = read[row.recipe_no]
                if isinstance(recipe, FrostlineError):
                    self._failed(version, folder, recipe)
                    continue
                if folder not in folders:
                    folders[folder] = _make_folder(self.to_fd, folder)
                    stack.callback(os.close, folders[folder])
                dir_fd = folders[folder]
                if _is_taken(dir_fd, version.name):
                    self._taken(folder, version.name)
                    continue
                self._number += 1
                hidden = names.new(self._nonce, self._number)
                assembly = Assembly(dir_fd, hidden, recipe, self._shown(folder, version.name))
                stack.callback(assembly.discard)
                assembly.open()
                files.append(_Restored(version, folder, known[row.recipe_no], assembly))
                if version.inode_of is not None:
                    self._linked[version.inode_of] = (folder, version.name)
            self._finish(files)
        for version, folder in later:
            self._link(version, folder)

    def _finish(self, files: Sequence["_Restored"]) -> None:
        """Fill, prove and name the files of a batch; those counted are durable under their names."""
        fetch(self.ctx, wants_of((file.assembly.recipe, file.where, file.assembly) for file in files))
        with ThreadPoolExecutor(PROVERS, thread_name_prefix="frostline-prove") as pool:
            outcomes = list(pool.map(_proved, files))
        named = [file for file, outcome in zip(files, outcomes, strict=True) if self._name(file, outcome)]
        for dir_fd in sorted({file.assembly.dir_fd for file in named}):
            os.fsync(dir_fd)
        for file in named:
            self._count(file.assembly.recipe.size)

    def wait_for_archives(self) -> None:
        """Open one ticket for everything that was archived."""
        if not self._waiting:
            return
        ticket = tickets.request(self.ctx, [], by=self.ctx.owner, reason="restore", recipe_nos=self._waiting)
        self.tally.tickets.append(ticket.number)
        told = tickets.waiting(ticket)
        self.tally.notes += [f"archived packs are asked for: ticket {ticket.number}", told.now]

    def _readable(
        self, place: Place, chosen: Sequence[tuple[StoredVersion, RecipeRow]]
    ) -> list[tuple[StoredVersion, RecipeRow]]:
        numbers = [row.recipe_no for _, row in chosen]
        with self.ctx.catalog.read() as tx:
            needed = recipes.packs_of(tx, numbers)
            rows = packs.by_numbers(tx, {number for found in needed.values() for number in found})
        cold = {row.pack_no for row in cold_packs(self.ctx, rows.values())}
        ready = []
        for version, row in chosen:
            if cold.intersection(needed[row.recipe_no]):
                self._waiting.append(row.recipe_no)
                shown = self._shown(self._folder(place, version), version.name)
                self.tally.skip(shown, "waits for archived packs", Skip.WAITING)
            else:
                ready.append((version, row))
        return ready

    def _name(self, file: "_Restored", outcome: tuple[str, ...] | FrostlineError) -> bool:
        """Give a proven file its name, which is durable when its folder is; False, and accounted for, where that
        cannot be.
        """
        assembly = file.assembly
        if isinstance(outcome, NoSpace):
            raise outcome
        if isinstance(outcome, FrostlineError):
            self._failed(file.version, file.folder, outcome)
            return False
        try:
            syscalls.rename_no_replace(assembly.dir_fd, assembly.hidden, file.version.name)
        except FileExistsError:
            self._taken(file.folder, file.version.name)
            return False
        if outcome:
            self.tally.notes.append(f"{assembly.shown}: not put back: {', '.join(outcome)}")
        return True

    def _link(self, version: StoredVersion, folder: bytes) -> None:
        """Make a further name of a hard link that was restored before."""
        first_folder, first_name = self._linked[version.inode_of or 0]
        with ExitStack() as stack:
            dir_fd = _make_folder(self.to_fd, folder)
            stack.callback(os.close, dir_fd)
            first_fd = _make_folder(self.to_fd, first_folder)
            stack.callback(os.close, first_fd)
            try:
                os.link(first_name, version.name, src_dir_fd=first_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
            except FileExistsError:
                self._taken(folder, version.name)
                return
            except FileNotFoundError:
                self.tally.skip(
                    self._shown(folder, version.name), "the first name of its hard link was not restored", Skip.OTHER
                )
                return
        self._count(0)

    def _count(self, size: int) -> None:
        self.tally.done += 1
        self.tally.bytes_read += size
        self.ctx.progress.advance(byte_count=size, files=1)

    def _failed(self, version: StoredVersion, folder: bytes, error: FrostlineError) -> None:
        if isinstance(error, IntegrityError):
            self.damaged.append(error)
        self.tally.skip(self._shown(folder, version.name), error.what, Skip.UNREADABLE)

    def _taken(self, folder: bytes, name: bytes) -> None:
        self.tally.skip(self._shown(folder, name), "exists already and was not overwritten", Skip.OTHER)

    def _shown(self, folder: bytes, name: bytes) -> str:
        return os.path.join(self.to, os.fsdecode(folder + name))

    def _folder(self, place: Place, version: StoredVersion) -> bytes:
        """Return the folder in the target, b"" or with a trailing slash."""
        if not place.path:
            return os.fsencode(place.root.name) + b"/" + version.dir
        above, _, _ = place.path.rpartition(b"/")
        return version.dir[len(above) + 1 :] if above else version.dir


def _chosen(ctx: Context, place: Place, at_ns: int | None, tally: Tally) -> list[StoredVersion]:
    with ctx.catalog.read() as tx:
        exact = version_of_file(tx, place, at_ns) if place.path else None
        if exact is not None:
            return [exact]
        below = list(versions_below(tx, place, at_ns))
        unstored = count_unstored(tx, place)
    shown = os.path.join(os.fsdecode(place.root.path), os.fsdecode(place.path))
    if not below and place.path:
        tally.skip(shown, "nothing is stored for it" + (" as of that time" if at_ns else ""), Skip.OTHER)
    elif unstored:
        tally.notes.append(f"{shown}: {unstored} files have no stored copy; they are on the disk")
    return below


def _batches(ctx: Context, chosen: Iterable[StoredVersion]) -> Iterator[list[tuple[StoredVersion, RecipeRow]]]:
    waiting = list(chosen)
    for start in range(0, len(waiting), BATCH_FILES):
        group = waiting[start : start + BATCH_FILES]
        with ctx.catalog.read() as tx:
            rows = recipes.by_numbers(tx, {version.recipe_no for version in group})
        batch: list[tuple[StoredVersion, RecipeRow]] = []
        size_bytes = 0
        for version in group:
            row = rows[version.recipe_no]
            if batch and size_bytes + row.size > BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
            batch.append((version, row))
            size_bytes += row.size
        yield batch


def _make_folder(to_fd: int, folder: bytes) -> int:
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
            below = os.open(name, _DIRECTORY, dir_fd=fd)
        except NotADirectoryError as error:
            raise UsageError(
                f"{os.fsdecode(name)} in the target folder is not a folder", hint="restore into an empty folder"
            ) from error
        finally:
            os.close(fd)
        fd = below
    return fd


def _is_taken(dir_fd: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
