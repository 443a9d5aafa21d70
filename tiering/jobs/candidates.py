"""Which files may be released now: gathers the facts of promise P1 and has policies.safety judge them.

Used by release alone. The catalog's facts are gathered for a batch, the file's own facts right before its swap.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dedup.fingerprint import FileDigest
from policies.safety import Lease, ReleaseFacts, SafetyParameters, release_verdict
from tiering.catalog import files, hardlinks, packs, recipes, segments
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState, PackRow, PackState, RecipeRow
from tiering.clock import NS_PER_S
from tiering.errors import CatalogBusy, SourceBusy
from tiering.hot import paths
from tiering.hot.identity import Identity, from_sql_int
from tiering.hot.lease import LeaseUnavailable, write_lease
from tiering.hot.refusal import Surroundings, refusal
from tiering.jobs.context import Context
from tiering.jobs.reports import Skip
from tiering.jobs.segments import flush
from tiering.jobs.standing import Standing
from tiering.jobs.tally import FileItem, Tally

_READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file with a stored copy, and what the catalog knows of both."""

    rows: tuple[FileRow, ...]
    """All its names, the leader first."""
    recipe: RecipeRow
    packs: tuple[PackRow, ...]
    """All that a recall of it would read."""
    packs_are_live: bool
    segment_is_durable: bool
    shown: str
    """Absolute path, for messages."""
    reason: str
    lost: str = ""
    """Why a pack it needs cannot be relied on; "" if the stores hold them all."""

    @property
    def row(self) -> FileRow:
        """The leader."""
        return self.rows[0]

    @property
    def identity(self) -> Identity:
        """The state of the file that was stored."""
        row = self.row
        return Identity(from_sql_int(row.dev), from_sql_int(row.ino), row.size, row.mtime_ns, row.ctime_ns)


def candidates(ctx: Context, items: Sequence[FileItem], tally: Tally, standing: Standing) -> list[Candidate]:
    """Return what the catalog knows of *items*, each inode once, and whether their packs stand; those without a stored
    copy go to the tally.

    Records that await a segment are flushed first, so that a copy committed a moment ago counts as durable.
    """
    with ctx.catalog.read() as tx:
        groups = _groups(ctx, tx, items, tally)
        waits = any((rows[0].stored_seq or 0) > segments.durable_through(tx) for rows, _ in groups)
    if waits:
        try:
            flush(ctx)
        except CatalogBusy:
            pass  # another process is writing one: what is in it by now counts, the rest is told below
    with ctx.catalog.read() as tx:
        found = _candidates(ctx, tx, groups)
    lost = standing.objections({pack.pack_no: pack for candidate in found for pack in candidate.packs}.values())
    return [_with_lost(candidate, lost) for candidate in found] if lost else found


def check(ctx: Context, candidate: Candidate, fd: int, surroundings: Surroundings) -> tuple[bool, str]:
    """Judge the open file *fd* now: return (release without a lease?, objection); an objection of "" lets it go.

    *surroundings* may be as old as the batch: a program started since holds its file against the lease.
    """
    status = os.fstat(fd)
    if candidate.lost:
        return False, candidate.lost
    refused = refusal(fd, status, names_known=len(candidate.rows), surroundings=surroundings)
    if refused:
        return False, refused
    settings = ctx.config.root(ctx.root(candidate.row.root_id).name)
    parameters = SafetyParameters(
        without_lease_ns=settings.release_without_lease_ns, park_ns=int(ctx.config.release.park_s * NS_PER_S)
    )
    lease = _lease(fd, candidate.shown)
    now_ns = ctx.clock.now_ns()
    unchanged_ns = now_ns - max(status.st_mtime_ns, status.st_ctime_ns)
    facts = ReleaseFacts(
        copy_is_current=True,  # candidates() took dual files only, and the claim held them so
        packs_are_proven=candidate.packs_are_live,
        was_compared=True,  # dedup.codecs.encode gives out nothing that it has not decoded and compared
        segment_is_durable=candidate.segment_is_durable,
        catalog_is_committed=True,  # read back in a transaction of its own
        identity_is_unchanged=Identity.of(status) == candidate.identity,
        lease=lease,
        digest_was_read_twice=lease is Lease.UNAVAILABLE
        and parameters.without_lease_ns is not None
        and unchanged_ns >= parameters.without_lease_ns  # else reading it would be for nothing
        and _is_stored(fd, candidate, status),
        unchanged_ns=unchanged_ns,
        stored_ns_ago=max(0, now_ns - (candidate.row.stored_ns or now_ns)),  # a clock may be set back
        all_names_are_known=status.st_nlink == len(candidate.rows),
        is_pinned=any(row.pinned for row in candidate.rows),
    )
    if lease is Lease.GRANTED and not candidate.recipe.read_under_lease and not _is_stored(fd, candidate, status):
        # A writer storing into a mapping that was dirty before moves no stamp: only the bytes tell.
        return False, "its bytes are not those that were stored, which were read without a lease: migrate it again"
    verdict = release_verdict(facts, parameters)
    return lease is Lease.UNAVAILABLE, "" if verdict.ok else "; ".join(verdict.reasons)


def _groups(ctx: Context, tx: Tx, items: Sequence[FileItem], tally: Tally) -> list[tuple[tuple[FileRow, ...], str]]:
    found: dict[int, tuple[tuple[FileRow, ...], str]] = {}
    known = _rows_of(tx, items)
    links = _links_of(tx, known.values())
    for item in items:
        shown = paths.display(ctx.root(item.root_id).path, item.dir, item.name)
        row = known.get((item.root_id, item.dir, item.name))
        if row is not None and row.leader_id is not None:
            row = links.leaders.get(row.leader_id)
        if row is None:
            tally.skip(shown, "is not known: scan first", Skip.OTHER)
        elif row.state == FileState.OFFLINE:
            tally.done += 1
        elif row.state != FileState.DUAL or row.recipe_no is None:
            tally.skip(shown, f"has no stored copy to rely on (its state is {row.state})", Skip.OTHER)
        elif row.size < ctx.config.release.min_size_bytes:
            tally.skip(shown, "is smaller than release.min_size", Skip.OTHER)
        else:
            followers = links.followers.get(row.file_id, [])
            rows = (row, *(link for link in followers if link.state == FileState.DUAL))
            found.setdefault(row.file_id, (rows, item.reason))
    return list(found.values())


def _rows_of(tx: Tx, items: Sequence[FileItem]) -> dict[tuple[int, bytes, bytes], FileRow]:
    places: dict[int, list[tuple[bytes, bytes]]] = {}
    for item in items:
        places.setdefault(item.root_id, []).append((item.dir, item.name))
    return {
        (root_id, *place): row
        for root_id, wanted in places.items()
        for place, row in files.at_paths(tx, root_id, wanted).items()
    }


@dataclass(frozen=True, slots=True)
class _Links:
    leaders: Mapping[int, FileRow]
    followers: Mapping[int, list[FileRow]]
    """leader's file id -> its other names, by id."""


def _links_of(tx: Tx, rows: Iterable[FileRow]) -> _Links:
    """Return all names of the inodes that *rows* stand on."""
    found = files.by_ids(tx, hardlinks.with_links(tx, [row.file_id for row in rows]))
    followers: dict[int, list[FileRow]] = {}
    for row in sorted(found.values(), key=lambda row: row.file_id):
        if row.leader_id is not None:
            followers.setdefault(row.leader_id, []).append(row)
    return _Links(found, followers)


def _candidates(ctx: Context, tx: Tx, groups: Sequence[tuple[tuple[FileRow, ...], str]]) -> list[Candidate]:
    numbers = [rows[0].recipe_no for rows, _ in groups if rows[0].recipe_no is not None]
    recipe_rows = recipes.by_numbers(tx, numbers)
    data_packs = recipes.packs_of(tx, numbers)
    homes = recipes.homes(tx, recipe_rows.values())
    needed = {pack for found in data_packs.values() for pack in found} | set(homes.values())
    pack_rows = packs.by_numbers(tx, needed)
    durable_seq = segments.durable_through(tx)
    made = []
    for rows, reason in groups:
        recipe = recipe_rows.get(rows[0].recipe_no or 0)
        if recipe is None:
            continue
        its = tuple(pack_rows[number] for number in {homes[recipe.recipe_no], *data_packs[recipe.recipe_no]})
        made.append(
            Candidate(
                rows=rows,
                recipe=recipe,
                packs=its,
                packs_are_live=recipe.state == "live" and all(pack.state is PackState.LIVE for pack in its),
                segment_is_durable=rows[0].stored_seq is not None and rows[0].stored_seq <= durable_seq,
                shown=paths.display(ctx.root(rows[0].root_id).path, rows[0].dir, rows[0].name),
                reason=reason,
            )
        )
    return made


def _with_lost(candidate: Candidate, lost: Mapping[int, str]) -> Candidate:
    reasons = (lost[pack.pack_no] for pack in candidate.packs if pack.pack_no in lost)
    return replace(candidate, lost=next(reasons, ""))


def _is_stored(fd: int, candidate: Candidate, status: os.stat_result) -> bool:
    return digest_of(fd, status.st_size) == candidate.recipe.digest


def _lease(fd: int, shown: str) -> Lease:
    try:
        with write_lease(fd, shown):
            return Lease.GRANTED
    except SourceBusy:
        return Lease.REFUSED
    except LeaseUnavailable:
        return Lease.UNAVAILABLE


def digest_of(fd: int, size: int) -> bytes:
    """Return the digest of the whole open file, read again."""
    digest = FileDigest()
    position = 0
    while position < size:
        block = os.pread(fd, _READ_BYTES, position)
        if not block:
            break
        digest.update(block)
        position += len(block)
    return digest.digest()
