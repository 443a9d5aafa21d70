"""The rows of a bucket's objects among files: made for what is to be stored, brought to what the last scan saw.

Used by object_ingest. An object that changed is regular again and its stored copy a version for a while; one that is
gone is missing, as a file is, once a look has confirmed it. Absence from one listing proves nothing (P5).
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tiering.catalog import bucket_roots, commit, files, objects, recipes
from tiering.catalog.objects import CLASS_NO, STORED, ObjectFacts, packed_etag
from tiering.catalog.values import FileRow, FileState, NewFile, PlacedFile, ScannedFile
from tiering.clock import NS_PER_DAY
from tiering.errors import FrostlineError, ObjectMissing
from tiering.hot.identity import Identity
from tiering.hot.paths import split
from tiering.jobs.bucket_care import Care
from tiering.jobs.context import Context, OpenRoot
from tiering.jobs.object_identity import identity_of, identity_of_facts, is_same
from tiering.jobs.object_words import MODE, original_of
from tiering.jobs.stored_recipes import read_recipes

ROWS = 2000
MASS_AT_LEAST = 5
_NOT_AT_WORK = (FileState.REGULAR, FileState.DUAL, FileState.OFFLINE, FileState.MISSING)


@dataclass(slots=True)
class SyncReport:
    """What was brought up to date."""

    changed: int = 0
    missing: int = 0
    standing: int = 0
    """Objects noted as deleted that still stand: a run died in between."""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Shelter:
    """A bucket's place among the roots."""

    root: OpenRoot
    prefix: bytes
    """Of its keys, with the slash."""

    def place(self, key: bytes) -> tuple[bytes, bytes]:
        """Return (dir, name) of a whole key."""
        return split(key[len(self.prefix) :])

    def key(self, row: FileRow) -> bytes:
        """Undo place()."""
        return self.prefix + row.path


def shelter_of(ctx: Context, care: Care) -> tuple[Context, Shelter]:
    """Return the bucket's root, made at the first time, and the context that knows it."""
    with ctx.catalog.write() as tx:
        row = bucket_roots.ensure(tx, care.config.name, care.config.url)
    root = OpenRoot(row.root_id, row.name, row.path, "")
    others = tuple(known for known in ctx.buckets if known.root_id != row.root_id)
    return replace(ctx, buckets=(*others, root)), Shelter(root, care.config.prefix.encode())


def rows_of(ctx: Context, shelter: Shelter, found: Sequence[ObjectFacts]) -> dict[bytes, FileRow]:
    """Return key -> row of *found*, made where there is none."""
    places = {facts[0]: shelter.place(facts[0]) for facts in found}
    with ctx.catalog.write() as tx:
        known = files.at_paths(tx, shelter.root.root_id, places.values())
        new = [_new(shelter, facts, places[facts[0]]) for facts in found if places[facts[0]] not in known]
        if new:
            files.add_new(tx, new, op_id=f"objects:{secrets.token_hex(8)}", reason="objects to be stored")
            known = files.at_paths(tx, shelter.root.root_id, places.values())
    return {key: known[place] for key, place in places.items()}


def sync_rows(ctx: Context, care: Care, shelter: Shelter, *, confirm_missing: bool = False) -> SyncReport:
    """Bring the rows of stored objects to what the last whole scan saw. Asks the bucket only about what is doubtful."""
    report = SyncReport()
    for page in _object_pages(ctx, care):
        _follow_page(ctx, care, shelter, page, report)
    _find_missing(ctx, care, shelter, report, confirm_missing=confirm_missing)
    _remember_stored(ctx, care, shelter)
    return report


def _object_pages(ctx: Context, care: Care) -> Iterator[Sequence[ObjectFacts]]:
    after = b""
    while True:
        with ctx.catalog.read() as tx:
            page = next(objects.pages(tx, care.row.bucket_id, after=after, rows=ROWS), None)
        if page is None:
            return
        yield page
        after = page[-1][0]


def _follow_page(ctx: Context, care: Care, shelter: Shelter, page: Sequence[ObjectFacts], report: SyncReport) -> None:
    standing = {shelter.place(facts[0]): facts for facts in page if facts[2] != CLASS_NO[STORED]}
    with ctx.catalog.read() as tx:
        known = files.at_paths(tx, shelter.root.root_id, standing)
    changed: list[ScannedFile] = []
    for place, row in known.items():
        facts = standing[place]
        now = identity_of_facts(facts)
        if row.state not in _NOT_AT_WORK:
            continue
        if not is_same(row, now) or row.state is FileState.MISSING:
            changed.append(_seen(row, now))
        elif row.state is FileState.OFFLINE:
            _settle_standing(ctx, care, row, facts, report)
    if changed:
        keep_until_ns = ctx.clock.now_ns() + ctx.config.versions.keep_days * NS_PER_DAY
        with ctx.catalog.write() as tx:
            files.update_scanned(
                tx, changed, op_id=f"objects:{secrets.token_hex(8)}", keep_until_ns=keep_until_ns,
                reason="objects that changed",
            )  # fmt: skip
        report.changed += len(changed)


def _settle_standing(ctx: Context, care: Care, row: FileRow, facts: ObjectFacts, report: SyncReport) -> None:
    """An object noted as deleted was seen: a run died before it deleted it, or the scan is older than that."""
    try:
        look = care.remote.look(facts[0].decode())
    except ObjectMissing:
        with ctx.catalog.write() as tx:
            objects.note_stored(tx, care.row.bucket_id, [(facts[0], facts[2])])
        return
    if is_same(row, identity_of(look.etag, look.size_bytes, look.modified_s)):
        note_standing(ctx, [row])
        report.standing += 1


def note_standing(ctx: Context, rows: Sequence[FileRow]) -> None:
    """Note that originals which were to be deleted stand after all."""
    placed = [PlacedFile(row.file_id, identity_of_row(row)) for row in rows]
    with ctx.catalog.write() as tx:
        op_id = f"objects:{secrets.token_hex(8)}"
        commit.set_dual(tx, placed, op_id=op_id, reason="the original still stands", is_recall=False)


def identity_of_row(row: FileRow) -> Identity:
    """Return the state that the row was made from."""
    return Identity(row.dev, row.ino, row.size, row.mtime_ns, row.ctime_ns)


def _find_missing(ctx: Context, care: Care, shelter: Shelter, report: SyncReport, *, confirm_missing: bool) -> None:
    """Mark as missing what the scan did not see and a look does not find; not if it is very many of them."""
    total = 0
    gone: list[int] = []
    never_stored: list[int] = []
    for page in _row_pages(ctx, shelter, [FileState.DUAL, FileState.REGULAR]):
        keys = {shelter.key(row): row for row in page}
        with ctx.catalog.read() as tx:
            seen = objects.at_keys(tx, care.row.bucket_id, keys)
        for key, row in keys.items():
            total += row.state is FileState.DUAL
            if key in seen and seen[key][2] != CLASS_NO[STORED]:
                continue
            if row.state is FileState.REGULAR:
                never_stored.append(row.file_id)
            elif _is_gone(care, key):
                gone.append(row.file_id)
    limits = ctx.config.scan
    is_mass = len(gone) >= MASS_AT_LEAST and (
        len(gone) > limits.mass_missing_files or len(gone) > limits.mass_missing_fraction * total
    )
    if is_mass and not confirm_missing:
        report.notes.append(
            f"{len(gone)} of {total} stored objects are gone from {care.config.url}: so many that somebody has to "
            f"confirm it (frostline buckets apply {care.config.name} --confirm-missing); their stored copies stay"
        )
        gone = []
    with ctx.catalog.write() as tx:
        if gone:
            files.mark_missing(tx, gone, op_id=f"objects:{secrets.token_hex(8)}", reason="gone from their bucket")
        if never_stored:
            commit.delete_files(tx, never_stored, op_id=f"objects:{secrets.token_hex(8)}", reason="never stored, gone")
    report.missing += len(gone)


def _remember_stored(ctx: Context, care: Care, shelter: Shelter) -> None:
    """Make the bucket's rows of objects that stand in packs alone, where a rebuild has lost them: what they would cost
    in the class that their recipes name is saved from now on.
    """
    for page in _row_pages(ctx, shelter, [FileState.OFFLINE]):
        keys = {shelter.key(row): row for row in page}
        with ctx.catalog.read() as tx:
            known = objects.at_keys(tx, care.row.bucket_id, keys)
            lost = {row.recipe_no or 0: (key, row) for key, row in keys.items() if key not in known}
            stored = recipes.by_numbers(tx, lost)
        if not lost:
            continue
        read = read_recipes(ctx, list(stored.values()))
        found = []
        for number, (key, row) in lost.items():
            recipe = read.get(number)
            if recipe is None or isinstance(recipe, FrostlineError):
                continue  # audit and scrub say so
            original = original_of(recipe)
            class_no = CLASS_NO.get(original.storage_class, CLASS_NO["STANDARD"])
            found.append((key, row.size, packed_etag(original.etag), class_no))
        with ctx.catalog.write() as tx:
            objects.insert_stored(tx, care.row.bucket_id, found)


def _row_pages(ctx: Context, shelter: Shelter, states: Sequence[FileState]) -> Iterator[list[FileRow]]:
    after = 0
    while True:
        with ctx.catalog.read() as tx:
            page = files.by_state(tx, states, root_id=shelter.root.root_id, after_id=after, limit=ROWS)
        if not page:
            return
        yield page
        after = page[-1].file_id


def _is_gone(care: Care, key: bytes) -> bool:
    try:
        care.remote.look(key.decode())
    except ObjectMissing:
        return True
    return False


def _new(shelter: Shelter, facts: ObjectFacts, place: tuple[bytes, bytes]) -> NewFile:
    now = identity_of_facts(facts)
    return NewFile(
        root_id=shelter.root.root_id,
        dir=place[0],
        name=place[1],
        size=now.size,
        mtime_ns=now.mtime_ns,
        ctime_ns=now.ctime_ns,
        dev=now.dev,
        ino=now.ino,
        nlink=1,
        mode=MODE,
        uid=os.getuid(),
        gid=os.getgid(),
        last_access_ns=None,
        access_quality="none",
    )


def _seen(row: FileRow, now: Identity) -> ScannedFile:
    return ScannedFile(
        file_id=row.file_id,
        size=now.size,
        mtime_ns=now.mtime_ns,
        ctime_ns=now.ctime_ns,
        dev=now.dev,
        ino=now.ino,
        nlink=1,
        mode=row.mode,
        uid=row.uid,
        gid=row.gid,
        last_access_ns=row.last_access_ns,
        access_quality=row.access_quality,
    )
