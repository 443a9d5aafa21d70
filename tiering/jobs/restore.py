"""restore and cat: take stored content out without changing any file's state.

Called by the commands of these names and by `leave --to`. Also reaches versions that are kept for retention and
files that are gone. Nothing is ever overwritten; every chunk and every whole file is verified before it stands under
its name.
"""

import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from dedup.fingerprint import FileDigest
from tiering.catalog import packs, recipes
from tiering.catalog.stored_rows import recipe_rows
from tiering.catalog.transaction import batches
from tiering.catalog.values import RecipeRow
from tiering.errors import FrostlineError, IntegrityError, UsageError
from tiering.jobs import tickets
from tiering.jobs.charges import charge
from tiering.jobs.context import Context
from tiering.jobs.damage import naming_files
from tiering.jobs.fetch import cold_packs
from tiering.jobs.fetch_sinks import Buffer
from tiering.jobs.reports import JobReport, Skip
from tiering.jobs.restore_folders import DIRECTORY
from tiering.jobs.restore_mark import marked
from tiering.jobs.restore_remains import clear
from tiering.jobs.restore_run import RestoreRun, top_of
from tiering.jobs.stored_bytes import read_in_order
from tiering.jobs.stored_paths import Place, StoredVersion, count_unstored, place_of, version_of_file, versions_below
from tiering.jobs.stored_recipes import read_recipes
from tiering.jobs.tally import Tally

BATCH_FILES = 2000  # looked up together
BATCH_RECIPE_BYTES = 2 << 20  # or recipes of so many bytes: 50,000 chunks, 20 MB decoded and located
BATCH_FOLDERS = 100  # see restore_run.OTHERS_OPEN


def restore(ctx: Context, paths: Sequence[str], to: str, at_ns: int | None = None) -> JobReport:
    """Copy the stored versions of *paths* into the folder *to*: of /data/runs everything below it to TO/runs.

    With *at_ns* the versions that were current then, of files deleted since as well. A name that is taken in *to* is
    skipped, never overwritten; a file there that is the wanted one, byte for byte, counts as done. Metadata is put back
    as far as this process may; what is left out is noted. What is counted is durable. What a restore that was killed
    left hidden in *to* is removed first. Archived packs: a ticket is opened and the report names it. Raises UsageError,
    NoSpace, IntegrityError after the rest was done, and store trouble.
    """
    places = [place_of(ctx, path) for path in paths]
    tally = Tally.begin(ctx)
    damaged: list[IntegrityError] = []
    os.makedirs(to, exist_ok=True)
    to_fd = os.open(to, DIRECTORY & ~os.O_NOFOLLOW)
    ctx.progress.start("restore")
    try:
        for note in clear(to_fd, mine=ctx.owner, is_stopped=ctx.stop.is_set).in_words(to):
            tally.notes.add(note)
        with (
            marked(to_fd, set(map(top_of, places)), ctx.owner) as mark,
            RestoreRun(ctx, (to_fd, to), mark, tally, damaged) as run,
        ):
            for place in places:
                for batch in _batches(ctx, _chosen(ctx, place, at_ns, tally)):
                    run.batch(place, batch)
                    if ctx.stop.is_set():
                        run.finish()
                        tally.notes.add("stopped before the end; run it again to go on")
                        return tally.report()
            run.finish()
            run.wait_for_archives()
    finally:
        ctx.progress.finish()
        os.close(to_fd)
        charge(ctx, reason="restore")
    if damaged:
        raise naming_files(damaged[0], tally.report()) from damaged[0]
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
        pack_rows = packs.by_numbers(tx, {location.block.pack_no for location in known.values()})
    try:
        if cold_packs(ctx, pack_rows.values()):
            ticket = tickets.request(ctx, [], by=ctx.owner, reason=f"cat {path}", recipe_nos=[row.recipe_no])
            raise tickets.waiting(ticket)
        recipe = read_recipes(ctx, [row])[row.recipe_no]
        if isinstance(recipe, FrostlineError):
            raise recipe
        digest = FileDigest()

        def write(data: Buffer) -> None:
            digest.update(data)
            out.write(data)

        read_in_order(ctx, recipe, known, write)
    finally:
        charge(ctx, reason="cat")
    if digest.digest() != recipe.digest:
        raise IntegrityError(f"{path}: every chunk verifies, the whole does not", hint="frostline scrub")


def _chosen(ctx: Context, place: Place, at_ns: int | None, tally: Tally) -> Iterator[StoredVersion]:
    with ctx.catalog.read() as tx:
        exact = version_of_file(tx, place, at_ns) if place.path else None
    if exact is not None:
        yield exact
        return
    count = 0
    for version in versions_below(ctx, place, at_ns):
        count += 1
        yield version
    with ctx.catalog.read() as tx:
        unstored = count_unstored(tx, place)
    shown = os.path.join(os.fsdecode(place.root.path), os.fsdecode(place.path))
    if not count and place.path:
        tally.skip(shown, "nothing is stored for it" + (" as of that time" if at_ns else ""), Skip.OTHER)
    elif unstored:
        tally.notes.add(f"{shown}: {unstored} files have no stored copy; they are on the disk")


def _batches(ctx: Context, chosen: Iterator[StoredVersion]) -> Iterator[list[tuple[StoredVersion, RecipeRow]]]:
    for group in batches(chosen, BATCH_FILES):
        with ctx.catalog.read() as tx:
            rows = recipe_rows(tx, {version.recipe_no for version in group})
        batch: list[tuple[StoredVersion, RecipeRow]] = []
        folders: set[bytes] = set()
        size_bytes = 0
        for version in group:
            row = rows[version.recipe_no]
            folders.add(version.dir)
            size_bytes += row.raw_len
            if batch and (len(folders) > BATCH_FOLDERS or size_bytes > BATCH_RECIPE_BYTES):
                yield batch
                batch, folders, size_bytes = [], {version.dir}, row.raw_len
            batch.append((version, row))
        yield batch
