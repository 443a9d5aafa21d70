"""The state changes of migrate, release, recall and gc: rows, ledger entry and outbox records in one
transaction each.

Every function may run twice: it changes only rows that are in the state it starts from, and books only what it
changed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby, repeat
from operator import attrgetter, eq

from sqlalchemy import delete, insert, select, update

from dedup.recipe_id import recipe_keys
from dedup.values import Recipe
from tiering.catalog import hardlinks, ledger, outbox, packs, recipes, records
from tiering.catalog.booking import FileChange, NewChunks, NewlyStored, insert_versions, recipe_ids, root_names
from tiering.catalog.chunks import Inserted, archived_blocks, insert_blocks, insert_recipe_blocks
from tiering.catalog.files import version_of
from tiering.catalog.needs import Needs
from tiering.catalog.own_refs import insert_own_refs
from tiering.catalog.packed_rows import load_again, oldest
from tiering.catalog.placing import IDENTITY, Columns, Placing, identity_values, update_files
from tiering.catalog.rebasing import rebase, replaced_chunks
from tiering.catalog.tables import files, versions
from tiering.catalog.transaction import Tx, batches, change_raw, marks
from tiering.catalog.values import (
    AdoptedFile,
    FileRow,
    FileState,
    PlacedFile,
    RecipeSpot,
    Rejected,
    StoredBatch,
    StoredFile,
    VersionRow,
    signed64,
)

RECORD_FILES = 2000  # per record: about 60 kB of JSON

_file_id_of, _recipe_id_of = attrgetter("file_id"), attrgetter("recipe_id")
_state_of, _leader_of = attrgetter("state"), attrgetter("leader_id")
_read_size_of, _stored_size_of = attrgetter("identity.size"), attrgetter("recipe.size")


def commit_stored(tx: Tx, batch: StoredBatch) -> list[Rejected]:
    """Commit files whose chunks and recipes are in the store: packs live, files dual, all booked. Return the
    files left out.

    A file is rejected when its row is gone, missing or offline, or when a chunk it reuses, or one that a chunk of it is
    coded against, is in no live pack any more; it keeps its state. A batch already committed (same op_id) changes
    nothing. Raises packs.PackGone, with nothing done, when a pack of the batch is not pending.
    """
    if ledger.is_booked(tx, batch.op_id):
        return []
    file_ids = list(map(_file_id_of, batch.files))
    seen = [file.seen for file in batch.files if file.seen is not None]
    change = FileChange(tx, load_again(tx, seen, hardlinks.with_links(tx, file_ids)))
    change.notes += packs.go_live(tx, change.amounts, batch.pack_nos)
    inserted = insert_blocks(tx, batch.blocks, batch.tiers)
    change.notes += archived_blocks(tx, batch.blocks)
    needs = Needs.of([file.recipe.parts for file in batch.files])
    known = oldest(tx, needs.beside(inserted.numbers), batch.tiers) | inserted.numbers
    accepted, rejected = _judged(change.before, batch.files, needs.missing(list(map(known.get, needs.digests))))
    if rejected:
        needs = Needs.of([file.recipe.parts for file in accepted])
    found, spots, numbers, plain = _insert_recipes(tx, batch, accepted, needs)
    needed = list(map(known.__getitem__, needs.digests))
    behind = insert_own_refs(tx, numbers, needed, needs.ends)
    placing = Placing.of(change, accepted, numbers, batch.tier)
    for row in placing.before:
        if row.recipe_no is not None:
            hardlinks.part_offline(tx, row)
    placing.first()
    after = placing.after()
    change.notes += _stored_records(placing, after, found, spots)
    moved = replaced_chunks(tx, [row.recipe_no for row in placing.before], found, known)
    change.finish(
        op_id=batch.op_id,
        kind="migrate",
        reason=batch.reason,
        new_recipes=numbers,
        new_chunks=_new_chunks(tx, batch, inserted, set(needed), behind),
        stored=_newly_stored(placing, after, plain),
    )
    rebase(tx, moved, batch.tiers, op_id=batch.op_id, reason="coded anew")
    placing.last(outbox.last_seq(tx))
    return rejected


def set_offline(tx: Tx, placed: Sequence[PlacedFile], *, op_id: str, reason: str = "") -> list[int]:
    """Note that placeholders stand where dual files were and their bytes are freed; return the ids that changed.

    Each name of a hard-linked inode is placed on its own.
    """
    values: dict[str, object] = {"state": FileState.OFFLINE}
    return _set_placed(tx, placed, {FileState.DUAL}, values, f"release|{op_id}|{reason}")


def set_dual(
    tx: Tx, placed: Sequence[PlacedFile], *, op_id: str, reason: str = "", is_recall: bool = True
) -> list[int]:
    """Note that files are back on the hot disk beside their stored copies; return the ids that changed.

    Without *is_recall* they had never been away: no cool-off begins.
    """
    values: dict[str, object] = {"state": FileState.DUAL} | ({"recalled_ns": tx.now_ns} if is_recall else {})
    return _set_placed(tx, placed, {FileState.OFFLINE, FileState.RECALLING}, values, f"recall|{op_id}|{reason}")


def refresh_identity(tx: Tx, placed: Sequence[PlacedFile], *, op_id: str) -> list[int]:
    """Note another identity of dual files whose bytes are proven the same (a release undone: ctime moved).
    Return ids changed.
    """
    return _set_placed(tx, placed, {FileState.DUAL}, {}, f"release|{op_id}|identity after an undone swap")


def supersede(tx: Tx, file_ids: Sequence[int], *, op_id: str, keep_until_ns: int | None, reason: str) -> list[int]:
    """Part files on the hot disk (dual) from their stored copies: regular again. Return the ids that changed.

    The copies are versions until *keep_until_ns*; None keeps none. *reason* is changed, deleted or replaced for
    a version.
    """
    change = FileChange.begin(tx, hardlinks.with_links(tx, file_ids))
    parted = [
        row
        for file_id in dict.fromkeys(file_ids)
        if (row := change.before.get(file_id))
        and row.is_leader
        and row.recipe_no is not None
        and row.state in hardlinks.ON_DISK
    ]
    ended = []
    if keep_until_ns is not None:
        ended = [version_of(tx, change, row, keep_until_ns, reason) for row in parted]
    for row in parted:
        hardlinks.drop_recipe_of_followers(tx, row)
    nothing = {"recipe_no": None, "tier": None, "stored_ns": None, "stored_seq": None}
    for batch in batches([row.file_id for row in parted]):
        tx.conn.execute(update(files).where(files.c.file_id.in_(batch)).values(**nothing, state=FileState.REGULAR))
    change.notes += insert_versions(tx, ended)
    change.finish(op_id=op_id, kind="supersede", reason=reason)
    return [row.file_id for row in parted]


def adopt(tx: Tx, adopted: Sequence[AdoptedFile], *, op_id: str, reason: str = "") -> list[int]:
    """Insert or update rows for placeholders that name a live recipe: one more holder each. Return file ids;
    doomed recipes are skipped.

    The caller has judged that whoever owns the placeholder may have the recipe's content. A row that stands at
    the path must be missing or without a stored copy.
    """
    rows = recipes.by_numbers(tx, {item.recipe_no for item in adopted})
    wanted = [item for item in adopted if item.recipe_no in rows and rows[item.recipe_no].state == "live"]
    standing = [_at_path(tx, item) for item in wanted]
    change = FileChange.begin(tx, hardlinks.with_links(tx, [file_id for file_id in standing if file_id is not None]))
    ids: list[int] = []
    for item, stood in zip(wanted, standing, strict=True):
        values = _adopted_row(tx, item, rows[item.recipe_no].size, rows[item.recipe_no].tier)
        if stood is None:
            ids.append(_insert_adopted(tx, item, values))
            change.created.append(ids[-1])
        elif change.before[stood].recipe_no is None:
            hardlinks.hand_over(tx, [stood])
            tx.conn.execute(update(files).where(files.c.file_id == stood).values(**values, leader_id=None))
            ids.append(stood)
    change.finish(op_id=op_id, kind="adopt", reason=reason)
    note_durable_at(tx, ids)
    return ids


def drop_versions(tx: Tx, rows: Sequence[VersionRow], *, op_id: str, reason: str) -> None:
    """End the retention of versions; recipes that nothing else holds are doomed and their chunks die."""
    change = FileChange.begin(tx, ())
    names = root_names(tx)
    for batch in batches(rows):
        standing = select(versions.c.version_no).where(versions.c.version_no.in_([row.version_no for row in batch]))
        found = set(tx.conn.execute(standing).scalars())
        ended = [row for row in batch if row.version_no in found]
        ids = recipe_ids(tx, {row.recipe_no for row in ended})
        tx.conn.execute(delete(versions).where(versions.c.version_no.in_(found)))
        for row in ended:
            change.held[row.recipe_no, "held.retained"] -= 1
            change.notes.append(
                records.version_end(
                    root_name=names[row.root_id],
                    path=row.dir + row.name,
                    recipe_id=ids[row.recipe_no],
                    superseded_ns=row.superseded_ns,
                )
            )
    change.finish(op_id=op_id, kind="gc", reason=reason)


def note_durable_at(tx: Tx, file_ids: Sequence[int]) -> None:
    """Write on the rows which outbox record makes their stored copy known to the bucket."""
    seq = outbox.last_seq(tx)
    for batch in batches(file_ids):
        change_raw(tx, f"UPDATE files SET stored_seq = ? WHERE file_id IN {marks(batch)}", [seq, *batch])  # noqa: S608


def _insert_recipes(
    tx: Tx, batch: StoredBatch, accepted: Sequence[StoredFile], needs: Needs
) -> tuple[Sequence[Recipe], list[RecipeSpot], range, list[int]]:
    """Insert the recipes of *accepted*, who have these *needs*; return them, where they stand, their numbers and the
    raw bytes of the chunks of each.
    """
    _, _, found, leases, _ = zip(*accepted, strict=True) if accepted else ((), (), (), (), ())
    of_id = insert_recipe_blocks(tx, batch.recipe_blocks)
    spots = list(map(of_id.__getitem__, recipe_keys(list(map(_recipe_id_of, found)))))
    plain = needs.plain_bytes()
    others = (repeat(batch.tier), plain, repeat(tx.now_ns), leases)
    return found, spots, recipes.insert_columns(tx, found, spots, others), plain


def _new_chunks(tx: Tx, batch: StoredBatch, inserted: Inserted, used: set[int], behind: set[int]) -> NewChunks | None:
    if not inserted.raw:
        return None
    tiers = {row.tier for row in packs.by_numbers(tx, {item.pack_no for item in batch.blocks}).values()}
    numbers = range(inserted.first, inserted.first + len(inserted.raw))
    tier = tiers.pop() if len(tiers) == 1 else None
    return NewChunks(tier, numbers, inserted.raw, inserted.stored, used, behind)


def _newly_stored(placing: Placing, after: Columns, plain: Sequence[int]) -> NewlyStored:
    file_ids, root_ids, sizes = map(placing.fresh, (placing.file_ids, after["root_id"], after["size"]))
    return NewlyStored(file_ids, root_ids, sizes, placing.tier, sum(placing.fresh(plain)))


def _judged(
    before: Mapping[int, FileRow], files: Sequence[StoredFile], missing: Sequence[int]
) -> tuple[Sequence[StoredFile], list[Rejected]]:
    """Return the files to be committed, and those to be left out; *missing* counts each one's chunks that are gone."""
    rows = [before.get(file.file_id) for file in files]
    if not any(missing) and _all_fit([row for row in rows if row is not None], files):
        return files, []
    reasons = list(map(_refusal, rows, files, missing))
    rejected = [Rejected(file.file_id, why) for file, why in zip(files, reasons, strict=True) if why]
    return [file for file, why in zip(files, reasons, strict=True) if not why] if rejected else files, rejected


def _all_fit(rows: Sequence[FileRow], files: Sequence[StoredFile]) -> bool:
    """Whether _refusal() would say nothing of any of *files*, whose *rows* are those that are known; as a rule."""
    stand = {*map(_state_of, rows)} <= {*hardlinks.ON_DISK} and {*map(_leader_of, rows)} <= {None}
    return stand and len(rows) == len(files) and all(map(eq, map(_read_size_of, files), map(_stored_size_of, files)))


def _refusal(row: FileRow | None, file: StoredFile, missing: int) -> str:
    if row is None:
        return "the catalog does not know the file any more"
    if row.state not in hardlinks.ON_DISK:
        return f"its state became {row.state}"
    if row.leader_id is not None:
        return "it became a hard link of another file"
    if file.identity.size != file.recipe.size:
        return "its size is not the one that was read"
    if missing:
        return f"{missing} of its chunks are in no live pack any more"
    return ""


def _stored_records(
    placing: Placing, after: Columns, found: Sequence[Recipe], spots: Sequence[RecipeSpot]
) -> list[outbox.Record]:
    """Return what says that the recipes *found*, at *spots*, are live, a record for many of one pack; and of those
    files, *after* the commit, that are told of, that they are stored.
    """
    tx, is_told = placing.tx, placing.is_told
    in_order = sorted(range(len(spots)), key=[(spot[0], spot[5]) for spot in spots].__getitem__)
    of_pack = Counter([spot.pack_no for spot in spots])
    keys = {row.pack_no: row.key for row in packs.by_numbers(tx, of_pack).values()}
    made: list[outbox.Record] = []
    for pack_no, group in groupby(in_order, key=lambda at: spots[at].pack_no):
        of_group = list(group)
        for says in (False, True):
            for part in batches([at for at in of_group if is_told[at] is says], RECORD_FILES):
                places = [spots[at].place for at in part]
                live = records.recipes(
                    pack_key=keys[pack_no], tier=placing.tier, created_ns=tx.now_ns, places=places, of=of_pack[pack_no]
                )
                made.append(records.stored(live, _chosen(after, part), [found[at] for at in part]) if says else live)
    return made


def _chosen(of: Columns, rows: Sequence[int]) -> Columns:
    return {name: [column[at] for at in rows] for name, column in of.items() if name in records.STORED_COLUMNS}


def _set_placed(
    tx: Tx, placed: Sequence[PlacedFile], states: set[FileState], values: dict[str, object], told: str
) -> list[int]:
    kind, op_id, reason = told.split("|", 2)
    change = FileChange.begin(tx, [item.file_id for item in placed])
    fit = [
        item
        for item in placed
        if (row := change.before.get(item.file_id)) and row.state in states and row.recipe_no is not None
    ]
    # Not the size: it is the file's, whatever stands at the path.
    same = tuple(str(value) if isinstance(value, FileState) else value for value in values.values())
    update_files(tx, (*values, *IDENTITY), ((*same, *identity_values(item.identity), item.file_id) for item in fit))
    change.finish(op_id=op_id, kind=kind, reason=reason)
    return [item.file_id for item in fit]


def _at_path(tx: Tx, item: AdoptedFile) -> int | None:
    query = select(files.c.file_id).where(
        files.c.root_id == item.root_id, files.c.dir == item.dir, files.c.name == item.name
    )
    return tx.conn.execute(query).scalar_one_or_none()


def _adopted_row(tx: Tx, item: AdoptedFile, size: int, tier: str) -> dict[str, object]:
    return {
        "state": FileState.OFFLINE,
        "size": size,
        "mtime_ns": item.placeholder.mtime_ns,
        "ctime_ns": item.placeholder.ctime_ns,
        "dev": signed64(item.placeholder.dev),
        "ino": signed64(item.placeholder.ino),
        "nlink": 1,
        "mode": item.mode,
        "uid": item.uid,
        "gid": item.gid,
        "recipe_no": item.recipe_no,
        "tier": tier,
        "stored_ns": tx.now_ns,
        "missing_since_ns": None,
        "missing_from": None,
    }


def _insert_adopted(tx: Tx, item: AdoptedFile, values: dict[str, object]) -> int:
    place = {"root_id": item.root_id, "dir": item.dir, "name": item.name, "first_seen_ns": tx.now_ns}
    new = {**values, **place, "pinned": False, "access_quality": "none"}
    return int(tx.conn.execute(insert(files).values(new).returning(files.c.file_id)).scalar_one())


def delete_files(tx: Tx, file_ids: Sequence[int], *, op_id: str, reason: str) -> None:
    """Forget files (missing ones whose retention is over): their rows, access history and place in tickets."""
    change = FileChange.begin(tx, hardlinks.with_links(tx, file_ids))
    hardlinks.forget(tx, file_ids)
    change.finish(op_id=op_id, kind="gc", reason=reason)
