"""One batch of files on its way in: admitted, claimed, fetched, proven, put in place, committed.

The middle of recall. Whatever goes wrong with one file leaves that file as it was and the others go on; what ends
the job leaves nothing claimed.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from tiering.catalog import commit, journal, packs
from tiering.catalog.values import JournalKind, PlacedFile
from tiering.clock import NS_PER_S
from tiering.errors import (
    FrostlineError,
    IntegrityError,
    NoSpace,
    ObjectArchived,
    SourceChanged,
    SourceError,
    SourceRefused,
    StoreError,
)
from tiering.hot import names, paths
from tiering.hot.identity import Identity
from tiering.hot.kept_times import KeptTimes
from tiering.hot.space import check_room
from tiering.hot.swap import Place, is_inode, swap_in, unlink_if_there
from tiering.jobs import settling, spots
from tiering.jobs.assembly import Assembly, stamp_of
from tiering.jobs.context import Context
from tiering.jobs.fetch import fetch
from tiering.jobs.incoming import Incoming, expected_target
from tiering.jobs.reports import Skip
from tiering.jobs.stored_recipes import read_recipes
from tiering.jobs.tally import Tally

LEASE_NS = 6 * 3600 * NS_PER_S  # a single file may be terabytes; reconcile looks at the process as well


@dataclass(slots=True)
class _Arrival:
    """One file of the batch."""

    item: Incoming
    op_id: str
    dir_fds: list[int]
    targets: list[bytes | None]
    detail: dict[str, Any]
    assembly: Assembly | None = None

    @property
    def places(self) -> list[Place]:
        """Where it goes: all its names."""
        return [
            Place(fd, row.name, names.new(self.op_id, index), target)
            for index, (fd, row, target) in enumerate(zip(self.dir_fds, self.item.rows, self.targets, strict=True))
        ]

    def is_discarded(self) -> bool:
        """Remove everything hidden that was made for it; return whether it is gone. If not, its journal row is to stay:
        reconcile removes it when it can.
        """
        if self.assembly is not None:
            self.assembly.close()
            self.assembly = None
        try:
            for place in self.places:
                times = KeptTimes(place.dir_fd)
                unlink_if_there(place.dir_fd, place.temp)
                times.after()
                times.put_back()
        except OSError:
            return False
        return True


def bring_in(ctx: Context, batch: Sequence[Incoming], tally: Tally, reason: str) -> list[IntegrityError]:
    """Bring the files of *batch* back; return what was found damaged in the store. The others' trouble is in the
    tally.

    Raises store trouble that ends the job, and Interrupted: then nothing of the batch is claimed or half done.
    """
    damaged: list[IntegrityError] = []
    with ExitStack() as stack:
        arrivals = _claim(ctx, _admit(ctx, batch, tally, stack), tally)
        if not arrivals:
            return []
        try:
            ctx.step("recall.claimed")
            _fetch(ctx, arrivals, tally, damaged)
            whole = _complete(ctx, arrivals, tally, damaged)
            _place(ctx, whole, tally, reason)
        except FrostlineError:
            _give_back(ctx, arrivals)
            raise
        finally:
            for arrival in arrivals:
                if arrival.assembly is not None:
                    arrival.assembly.close()
    return damaged


def finish_swap(op_id: str, index: int, spot: spots.Spot, dir_fd: int, detail: dict[str, Any]) -> None:
    """Bring the swap of one name to its end after a crash: the verified file in place, or nothing hidden left. May
    run again.
    """
    inode = (os.fstat(dir_fd).st_dev, detail["stamp"][0])
    hidden, target = names.new(op_id, index), detail["targets"][index]
    if is_inode(dir_fd, hidden, inode):
        fd = _open_plainly(dir_fd, hidden)
        try:
            # Hidden and yet touched would not be what was verified.
            if stamp_of(fd) == detail["stamp"]:
                swap_in(
                    [Place(dir_fd, spot.name, hidden, None if target is None else os.fsencode(target))],
                    fd=fd,
                    meta=None,
                )
        except SourceChanged:
            pass  # a user's file stands there now
        finally:
            os.close(fd)
    unlink_if_there(dir_fd, hidden)


def standing(spot: spots.Spot, dir_fd: int, detail: dict[str, Any]) -> Identity | None:
    """Return the identity of the recalled file at its name; None if it does not stand there.

    Where it may have been touched since it was finished, that is an identity it has no more, so that the next scan
    looks at it. Ask when no name of the file is going to be swapped any more: each swap moves the ctime.
    """
    if not is_inode(dir_fd, spot.name, (os.fstat(dir_fd).st_dev, detail["stamp"][0])):
        return None
    fd = _open_plainly(dir_fd, spot.name)
    try:
        found = Identity.of(os.fstat(fd))
        if stamp_of(fd) == detail["stamp"]:
            return found
        return spots.on_device_of(spots.identity_from(detail["identity"]), dir_fd)
    finally:
        os.close(fd)


def _open_plainly(dir_fd: int, name: bytes) -> int:
    """Open for reading; EAGAIN rather than wait for somebody's lease."""
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)


def _admit(ctx: Context, batch: Sequence[Incoming], tally: Tally, stack: ExitStack) -> list[_Arrival]:
    """Look at each path and ask for room; return the files that may come. Their folders stay open in *stack*."""
    base = secrets.token_hex(8)
    admitted: list[_Arrival] = []
    promised: dict[int, int] = {}  # device -> bytes of the files admitted before
    for number, item in enumerate(batch):
        with ExitStack() as mine:
            try:
                dir_fds = mine.enter_context(spots.opened(ctx, item.rows))
                arrival = _looked_at(ctx, item, f"recall:{base}-{number}", dir_fds, tally)
                device = os.fstat(dir_fds[0]).st_dev
                need = min(item.recipe.size, item.recipe.plain_bytes)
                folder = os.fsencode(f"/proc/self/fd/{dir_fds[0]}")
                check_room(
                    folder,
                    need + promised.get(device, 0),
                    uid=item.recipe.owner_uid,
                    reserve_fraction=ctx.config.recall.reserve_fraction,
                    shown=item.shown,
                )
                promised[device] = promised.get(device, 0) + need
            except NoSpace as error:
                tally.skip(item.shown, error.what, Skip.NO_SPACE)
                continue
            except SourceError as error:
                tally.skip(item.shown, error.what, _kind(error))
                continue
            admitted.append(arrival)
            stack.enter_context(mine.pop_all())
    return admitted


def _looked_at(ctx: Context, item: Incoming, op_id: str, dir_fds: list[int], tally: Tally) -> _Arrival:
    """Return the arrival of *item* with those of its names whose placeholder stands. Raises if the first has none."""
    rows, fds, targets = [], [], []
    for row, dir_fd in zip(item.rows, dir_fds, strict=True):
        try:
            target = expected_target(ctx, dir_fd, row, item.recipe)
        except SourceError as error:
            if len(item.rows) == 1:
                raise
            tally.skip(paths.display(ctx.root(row.root_id).path, row.dir, row.name), error.what, _kind(error))
            continue
        rows.append(row)
        fds.append(dir_fd)
        targets.append(target)
    if not rows:
        raise SourceChanged(f"{item.shown}: none of its names has its placeholder any more")
    found = Incoming(tuple(rows), item.recipe, item.shown)
    detail = {
        "spots": [spots.spot_of(row, fd).as_json() for row, fd in zip(rows, fds, strict=True)],
        "targets": [None if target is None else os.fsdecode(target) for target in targets],
        "shown": item.shown,
    }
    return _Arrival(found, op_id, fds, targets, detail)


def _claim(ctx: Context, admitted: Sequence[_Arrival], tally: Tally) -> list[_Arrival]:
    claims = [
        journal.Claim(
            arrival.op_id,
            JournalKind.RECALL,
            arrival.item.row.file_id,
            "claimed",
            spots.encode_detail(arrival.detail),
        )
        for arrival in admitted
    ]
    if not claims:
        return []
    with ctx.catalog.write() as tx:
        granted = {claim.op_id for claim in journal.claim(tx, claims, owner=ctx.owner, until_ns=tx.now_ns + LEASE_NS)}
    for arrival in admitted:
        if arrival.op_id not in granted:
            tally.skip(arrival.item.shown, "another operation is under way on it", Skip.BUSY)
    return [arrival for arrival in admitted if arrival.op_id in granted]


def _fetch(ctx: Context, arrivals: Sequence[_Arrival], tally: Tally, damaged: list[IntegrityError]) -> None:
    """Fill the hidden files."""
    read = read_recipes(ctx, [arrival.item.recipe for arrival in arrivals])
    with ctx.catalog.read() as tx:
        known = packs.locate_all(tx, read)
    files = []
    for arrival in arrivals:
        recipe = read[arrival.item.recipe.recipe_no]
        if isinstance(recipe, FrostlineError):
            _fail(ctx, arrival, recipe, tally, damaged)
            continue
        hidden = arrival.places[0].temp
        arrival.assembly = Assembly(arrival.dir_fds[0], hidden, recipe, arrival.item.shown)
        files.append((recipe, known[arrival.item.recipe.recipe_no], arrival.assembly))
    fetch(ctx, files)


def _complete(
    ctx: Context, arrivals: Sequence[_Arrival], tally: Tally, damaged: list[IntegrityError]
) -> list[_Arrival]:
    """Give each file that is whole its hidden names, and make it durable; return those."""
    begun = [arrival for arrival in arrivals if arrival.assembly is not None]
    outcomes = [_named(arrival) for arrival in begun]
    _sync([arrival for arrival, trouble in zip(begun, outcomes, strict=True) if trouble is None])
    whole = []
    for arrival, trouble in zip(begun, outcomes, strict=True):
        if trouble is not None:
            _fail(ctx, arrival, trouble, tally, damaged)
            continue
        tally.bytes_read += arrival.item.recipe.size
        ctx.progress.advance(byte_count=arrival.item.recipe.size, files=1)
        whole.append(arrival)
    with ctx.catalog.write() as tx:
        journal.advance_all(
            tx, [(arrival.op_id, "assembled", spots.encode_detail(arrival.detail)) for arrival in whole]
        )
    ctx.step("recall.assembled")
    return whole


def _named(arrival: _Arrival) -> Exception | None:
    """Give one file its names, if it is whole; return what went wrong."""
    if arrival.assembly is None:
        return None
    try:
        arrival.assembly.check()
        _link_names(arrival)
        arrival.detail["stamp"] = stamp_of(arrival.assembly.fd)
        arrival.detail["identity"] = spots.identity_json(arrival.assembly.identity())
    except (FrostlineError, OSError) as error:
        return error
    return None


def _sync(whole: Sequence[_Arrival]) -> None:
    """Make the finished files durable. Raises NotDurable: then none of them may be shown."""
    by_device: dict[int, list[_Arrival]] = {}
    for arrival in whole:
        by_device.setdefault(os.fstat(arrival.dir_fds[0]).st_dev, []).append(arrival)
    for group in by_device.values():
        fds = [arrival.assembly.fd for arrival in group if arrival.assembly is not None]
        settling.sync_files(group[0].dir_fds[0], fds)


def _link_names(arrival: _Arrival) -> None:
    """Give the finished file a hidden name beside each of its placeholders."""
    first, *others = arrival.places
    for place in others:
        times = KeptTimes(place.dir_fd)
        unlink_if_there(place.dir_fd, place.temp)
        os.link(first.temp, place.temp, src_dir_fd=first.dir_fd, dst_dir_fd=place.dir_fd, follow_symlinks=False)
        times.after()
        times.put_back()


def _place(ctx: Context, whole: Sequence[_Arrival], tally: Tally, reason: str) -> None:
    """Exchange the placeholders for the finished files, and commit."""
    placed: list[PlacedFile] = []
    done: list[_Arrival] = []
    for arrival in whole:
        if arrival.assembly is None:
            continue
        try:
            swapped = swap_in(arrival.places, fd=arrival.assembly.fd, meta=arrival.assembly.meta)
        except (SourceError, OSError) as error:
            what = (
                error.what if isinstance(error, SourceError) else paths.as_source_error(error, arrival.item.shown).what
            )
            tally.skip(arrival.item.shown, what, Skip.CHANGED)
            if arrival.is_discarded():
                done.append(arrival)
            continue
        ctx.step("recall.swapped")
        for index, (place, row) in enumerate(zip(arrival.places, arrival.item.rows, strict=True)):
            if index in swapped.refused:
                with suppress(OSError):  # then doctor finds it
                    unlink_if_there(place.dir_fd, place.temp)
                shown = paths.display(ctx.root(row.root_id).path, row.dir, row.name)
                tally.skip(shown, "something else stands where its placeholder was", Skip.CHANGED)
            else:
                placed.append(PlacedFile(row.file_id, swapped.identity))
        done.append(arrival)
    spots.sync_directories(ctx, [(row.root_id, row.dir) for arrival in whole for row in arrival.item.rows])
    with ctx.catalog.write() as tx:
        if placed:
            commit.set_dual(tx, placed, op_id=f"recall:{secrets.token_hex(8)}", reason=reason)
        journal.finish(tx, [arrival.op_id for arrival in done])
    tally.done += len(placed)
    ctx.step("recall.committed")


def _fail(ctx: Context, arrival: _Arrival, error: Exception, tally: Tally, damaged: list[IntegrityError]) -> None:
    """Leave one file as it was."""
    if arrival.is_discarded():
        with ctx.catalog.write() as tx:
            journal.finish(tx, [arrival.op_id])
    if isinstance(error, IntegrityError):
        damaged.append(error)
    what = error.what if isinstance(error, FrostlineError) else str(error)
    tally.skip(arrival.item.shown, what, _kind(error))


def _give_back(ctx: Context, arrivals: Sequence[_Arrival]) -> None:
    """Leave every file of the batch as it was; those already in place are finished by their journal row."""
    undone = []
    with ctx.catalog.read() as tx:
        steps = {arrival.op_id: journal.get(tx, arrival.op_id) for arrival in arrivals}
    for arrival in arrivals:
        row = steps[arrival.op_id]
        if row is not None and row.step == "claimed" and arrival.is_discarded():
            undone.append(arrival.op_id)
    with ctx.catalog.write() as tx:
        journal.finish(tx, undone)


def _kind(error: Exception) -> Skip:
    kinds: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Skip], ...] = (
        (SourceRefused, Skip.REFUSED),
        (SourceError, Skip.CHANGED),
        (NoSpace, Skip.NO_SPACE),
        (ObjectArchived, Skip.WAITING),  # its copy went a moment ago: the ticket asks again
        ((StoreError, IntegrityError), Skip.UNREADABLE),
    )
    return next((kind for type_, kind in kinds if isinstance(error, type_)), Skip.OTHER)
