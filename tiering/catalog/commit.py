"""The state changes of migrate, release, recall and gc: rows, ledger entry and outbox records in one
transaction each.

Every function may run twice: it changes only rows that are in the state it starts from, and books only what it
changed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from sqlalchemy import bindparam, delete, insert, or_, select, update

from dedup.values import ChunkPart, Digest, Fingerprint
from tiering.catalog import hardlinks, ledger, outbox, packs, recipes, records
from tiering.catalog.booking import FileChange, insert_versions, recipe_ids, root_names
from tiering.catalog.chunks import archived_chunks, insert_chunks
from tiering.catalog.files import version_of
from tiering.catalog.tables import files, refs, versions
from tiering.catalog.tables import packs as packs_table
from tiering.catalog.tables import recipes as recipes_table
from tiering.catalog.transaction import Tx, batches, insert_many
from tiering.catalog.values import (
    AdoptedFile,
    FileRow,
    FileState,
    Identity,
    PackState,
    PlacedFile,
    Rejected,
    StoredBatch,
    StoredFile,
    VersionRow,
    signed64,
)

ChunkName = tuple[bytes, bytes]
"""(fingerprint, digest)."""

_STORABLE = {FileState.REGULAR, FileState.MIGRATING, FileState.DUAL}


def commit_stored(tx: Tx, batch: StoredBatch) -> list[Rejected]:
    """Commit files whose chunks and recipes are in the store: packs live, files dual, all booked. Return the
    files left out.

    A file is rejected when its row is gone, missing or offline, or when a chunk it reuses is in no live pack
    any more; it keeps its state. A batch already committed (same op_id) changes nothing. Raises packs.PackGone,
    with nothing done, when a pack of the batch is not pending.
    """
    if ledger.is_booked(tx, batch.op_id):
        return []
    change = FileChange.begin(tx, hardlinks.with_links(tx, [file.file_id for file in batch.files]))
    change.notes += packs.go_live(tx, change.amounts, batch.pack_nos)
    insert_chunks(tx, batch.chunks)
    change.notes += archived_chunks(tx, batch.chunks)
    known = _resolve(tx, batch)
    accepted: list[StoredFile] = []
    rejected: list[Rejected] = []
    for file in batch.files:
        why = _refusal(change.before.get(file.file_id), file, known)
        if why:
            rejected.append(Rejected(file.file_id, why))
        else:
            accepted.append(file)
    numbers = _insert_recipes(tx, batch, accepted)
    _insert_refs(tx, [(numbers[str(file.recipe.recipe_id)], file) for file in accepted], known)
    for row in (change.before[file.file_id] for file in accepted):
        if row.recipe_no is not None:
            hardlinks.part_offline(tx, row)
    leaders = {row.leader_id for row in change.before.values()}
    _place(tx, batch, [(numbers[str(file.recipe.recipe_id)], file) for file in accepted], leaders)
    change.notes += _recipe_records(tx, list(numbers.values()))
    change.finish(op_id=batch.op_id, kind="migrate", reason=batch.reason, new_recipes=list(numbers.values()))
    note_durable_at(tx, [file.file_id for file in accepted])
    return rejected


def set_offline(tx: Tx, placed: Sequence[PlacedFile], *, op_id: str, reason: str = "") -> list[int]:
    """Note that placeholders stand where dual files were and their bytes are freed; return the ids that changed.

    Each name of a hard-linked inode is placed on its own.
    """
    values: dict[str, object] = {"state": FileState.OFFLINE}
    return _set_placed(tx, placed, {FileState.DUAL}, values, f"release|{op_id}|{reason}")


def set_dual(tx: Tx, placed: Sequence[PlacedFile], *, op_id: str, reason: str = "") -> list[int]:
    """Note that files are back on the hot disk beside their stored copies; return the ids that changed."""
    values = {"state": FileState.DUAL, "recalled_ns": tx.now_ns}
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
        and row.state in _STORABLE
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
        tx.conn.execute(update(files).where(files.c.file_id.in_(batch)).values(stored_seq=seq))


def _refusal(row: FileRow | None, file: StoredFile, known: dict[ChunkName, int]) -> str:
    if row is None:
        return "the catalog does not know the file any more"
    if row.state not in _STORABLE:
        return f"its state became {row.state}"
    if not row.is_leader:
        return "it became a hard link of another file"
    if file.identity.size != file.recipe.size:
        return "its size is not the one that was read"
    missing = sum(1 for part in file.recipe.parts if isinstance(part, ChunkPart) and _name(part) not in known)
    if missing:
        return f"{missing} of its chunks are in no live pack any more"
    return ""


def _name(part: ChunkPart) -> ChunkName:
    return part.fingerprint, part.digest


def _resolve(tx: Tx, batch: StoredBatch) -> dict[ChunkName, int]:
    """Return (fingerprint, digest) -> chunk_no in a live pack of the allowed tiers; the oldest where there are
    several.
    """
    wanted = {_name(p) for file in batch.files for p in file.recipe.parts if isinstance(p, ChunkPart)}
    known: dict[ChunkName, int] = {}
    found = packs.lookup(tx, {Fingerprint(fingerprint) for fingerprint, _ in wanted}, batch.tiers)
    for fingerprint, candidates in found.items():
        for digest, chunk_no in candidates:
            known.setdefault((fingerprint, Digest(digest)), chunk_no)
    return known


def _insert_recipes(tx: Tx, batch: StoredBatch, accepted: Sequence[StoredFile]) -> dict[str, int]:
    codec = recipes.codec_numbers(tx, {file.entry.codec for file in accepted})
    statement = insert(recipes_table).returning(
        recipes_table.c.recipe_id, recipes_table.c.recipe_no, sort_by_parameter_order=True
    )
    numbers: dict[str, int] = {}
    for part in batches(accepted):
        rows = [
            {
                "recipe_id": str(file.recipe.recipe_id),
                "state": "live",
                "tier": batch.tier,
                "digest": file.recipe.digest,
                "size": file.recipe.size,
                "hole_bytes": file.recipe.hole_bytes,
                "owner_uid": file.recipe.meta.uid,
                "pack_no": file.pack_no,
                "offset": file.entry.offset,
                "stored_len": file.entry.stored_len,
                "raw_len": file.entry.raw_len,
                "recipe_digest": file.entry.digest,
                "codec_no": codec[file.entry.codec],
                "created_ns": tx.now_ns,
                "read_under_lease": file.read_under_lease,
            }
            for file in part
        ]
        numbers.update({row.recipe_id: row.recipe_no for row in tx.conn.execute(statement, rows)})
    return numbers


def _insert_refs(tx: Tx, stored: Sequence[tuple[int, StoredFile]], known: dict[ChunkName, int]) -> None:
    insert_many(tx, refs, ("recipe_no", "chunk_no", "times"), _refs(stored, known))


def _refs(stored: Sequence[tuple[int, StoredFile]], known: dict[ChunkName, int]) -> Iterator[tuple[int, int, int]]:
    for recipe_no, file in stored:
        times = Counter(known[_name(part)] for part in file.recipe.parts if isinstance(part, ChunkPart))
        for chunk_no, count in sorted(times.items()):
            yield recipe_no, chunk_no, count


def _place(tx: Tx, batch: StoredBatch, stored: Sequence[tuple[int, StoredFile]], leaders: set[int | None]) -> None:
    """Make the files dual, and the other names of their inodes with them; *leaders* have such names."""
    of_file = update(files).where(files.c.file_id == bindparam("of_id"))
    # Spelled out: executemany takes no IN list.
    on_disk = or_(*(files.c.state == str(state) for state in sorted(_STORABLE)))
    of_links = update(files).where(files.c.leader_id == bindparam("of_id"), on_disk)
    placed: dict[str, object] = {"state": FileState.DUAL, "tier": batch.tier, "stored_ns": tx.now_ns}
    placed |= {"recipe_no": bindparam("to_recipe"), "size": bindparam("to_size")}
    identity: dict[str, object] = {name: bindparam(f"to_{name}") for name in _IDENTITY}
    for part in batches(stored):
        rows: list[dict[str, object]] = [
            {"of_id": f.file_id, "to_recipe": number, "to_size": f.recipe.size} for number, f in part
        ]
        linked = [row for row in rows if row["of_id"] in leaders]
        if linked:
            tx.conn.execute(of_links.values(placed), linked)
        rows = [row | _identity_params(f.identity) for row, (_, f) in zip(rows, part, strict=True)]
        tx.conn.execute(of_file.values({**placed, **identity}), rows)


_IDENTITY = ("dev", "ino", "mtime_ns", "ctime_ns")


def _identity_params(identity: Identity) -> dict[str, object]:
    values = {f"to_{name}": getattr(identity, name) for name in _IDENTITY}
    return values | {"to_dev": signed64(identity.dev), "to_ino": signed64(identity.ino)}


def _recipe_records(tx: Tx, recipe_nos: Sequence[int]) -> list[outbox.Record]:
    rows = recipes.by_numbers(tx, recipe_nos)
    keys = {pack.pack_no: pack.key for pack in packs.by_numbers(tx, {row.pack_no for row in rows.values()}).values()}
    names = recipes.codec_names(tx)
    return [records.recipe(row, pack_key=keys[row.pack_no], codec=names[row.codec_no]) for row in rows.values()]


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
    columns = {**values, **{name: bindparam(f"to_{name}") for name in _IDENTITY}}
    statement = update(files).where(files.c.file_id == bindparam("of_id")).values(columns)
    for batch in batches(fit):
        # Not the size: it is the file's, whatever stands at the path.
        tx.conn.execute(statement, [{"of_id": item.file_id} | _identity_params(item.identity) for item in batch])
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


def packs_live(tx: Tx, pack_nos: Sequence[int]) -> bool:
    """Return whether all those packs are live."""
    found = 0
    for batch in batches(set(pack_nos)):
        query = select(packs_table.c.pack_no).where(
            packs_table.c.pack_no.in_(batch), packs_table.c.state == PackState.LIVE
        )
        found += len(tx.conn.execute(query).all())
    return found == len(set(pack_nos))


def delete_files(tx: Tx, file_ids: Sequence[int], *, op_id: str, reason: str) -> None:
    """Forget files (missing ones whose retention is over): their rows, access history and place in tickets."""
    change = FileChange.begin(tx, hardlinks.with_links(tx, file_ids))
    hardlinks.forget(tx, file_ids)
    change.finish(op_id=op_id, kind="gc", reason=reason)
