"""Names of one inode: one row leads and weighs in the books, the others follow it.

Used by tiering.catalog.files inside a FileChange that has loaded every row touched here. Offline names keep
their grouping though each placeholder is an inode of its own.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select, tuple_, update

from tiering.catalog import journal
from tiering.catalog.booking import load_files
from tiering.catalog.tables import access_days, files, ticket_files
from tiering.catalog.transaction import Tx, batches, fetch_among, fetch_raw
from tiering.catalog.values import FileRow, FileState, signed64

ON_DISK = (FileState.REGULAR, FileState.MIGRATING, FileState.DUAL)


def with_links(tx: Tx, file_ids: Iterable[int]) -> list[int]:
    """Return the ids, their leaders, and all followers of either."""
    found = set(file_ids)
    if not fetch_raw(tx, "SELECT 1 FROM files WHERE leader_id IS NOT NULL LIMIT 1", ()):  # by an index of those alone
        return sorted(found)
    led = "SELECT leader_id FROM files WHERE leader_id IS NOT NULL AND file_id"
    found.update([leader_id for (leader_id,) in fetch_among(tx, led, list(found))])
    found.update([file_id for (file_id,) in fetch_among(tx, "SELECT file_id FROM files WHERE leader_id", list(found))])
    return sorted(found)


def group(tx: Tx, file_ids: Sequence[int]) -> None:
    """Put each row on disk under the leader of its (dev, ino), if another row on disk stands on the same.

    A row that has a stored copy of its own is left to lead itself.
    """
    rows = [row for row in load_files(tx, file_ids).values() if row.state in ON_DISK and row.leader_id is None]
    for inode in sorted({(row.dev, row.ino) for row in rows}):
        names = _on_inode(tx, inode)
        leaders = [row for row in names if row.leader_id is None]
        if len(leaders) < 2:
            continue
        lead = min(leaders, key=lambda row: (row.recipe_no is None, row.file_id))
        others = [row.file_id for row in leaders if row.file_id != lead.file_id and row.recipe_no is None]
        others = [file_id for file_id in others if not _has_followers(tx, file_id)]
        same = {"leader_id": lead.file_id, "recipe_no": lead.recipe_no, "tier": lead.tier}
        if lead.recipe_no is not None:
            same |= {"state": FileState.DUAL, "stored_ns": lead.stored_ns, "stored_seq": lead.stored_seq}
        tx.conn.execute(update(files).where(files.c.file_id.in_(others)).values(same))


def split(tx: Tx, inodes: Mapping[int, tuple[int, int]]) -> None:
    """Part names that no longer share an inode: *inodes* has what each file id stands on now.

    A follower found elsewhere leads itself again, without a stored copy. A leader found elsewhere hands its
    lead, and the stored copy, to a name that still stands on the old inode. One that is being recalled is left as
    it is, whatever stands there: the recall's swap and its commit are not one step.
    """
    rows = load_files(tx, with_links(tx, inodes))
    for file_id, (dev, ino) in inodes.items():
        row = rows.get(file_id)
        if row is None or row.state in {FileState.MISSING, FileState.RECALLING}:
            continue
        now = (signed64(dev), signed64(ino))
        replaced = row.state not in ON_DISK  # a file stands where the placeholder was
        if row.leader_id is not None:
            leader = rows.get(row.leader_id)
            if leader is not None and (replaced or now != (leader.dev, leader.ino)):
                _lead_alone(tx, file_id)
        elif replaced or now != (row.dev, row.ino):
            _hand_over_one(tx, row, _staying(row, rows.values(), inodes))


def hand_over(tx: Tx, file_ids: Sequence[int]) -> None:
    """Before *file_ids* go missing: of each leader among them, a follower that stays takes the lead."""
    leaving = set(file_ids)
    rows = load_files(tx, with_links(tx, file_ids))
    for row in rows.values():
        if row.file_id in leaving and row.leader_id is None:
            heirs = [f for f in rows.values() if f.leader_id == row.file_id and f.file_id not in leaving]
            _hand_over_one(tx, row, [heir for heir in heirs if heir.state != FileState.MISSING])
    for batch in batches(sorted(leaving)):  # a follower that goes holds nothing
        tx.conn.execute(
            update(files)
            .where(files.c.file_id.in_(batch), files.c.leader_id.is_not(None))
            .values(recipe_no=None, tier=None)
        )


def drop_recipe_of_followers(tx: Tx, leader: FileRow) -> None:
    """Make the followers of a leader that lost its stored copy regular as well; those still offline lead
    themselves.
    """
    part_offline(tx, leader)
    values = {"recipe_no": None, "tier": None, "stored_ns": None, "stored_seq": None, "state": FileState.REGULAR}
    of_leader = files.c.leader_id == leader.file_id
    tx.conn.execute(update(files).where(of_leader, files.c.state.in_(ON_DISK)).values(values))


def part_offline(tx: Tx, leader: FileRow) -> None:
    """Before a leader parts from its stored copy: names of it that are offline keep that copy, one of them leading.

    Their placeholders name its recipe. *leader* is the row before the change.
    """
    offline = select(files.c.file_id).where(
        files.c.leader_id == leader.file_id, files.c.recipe_no.is_not(None), files.c.state.not_in(ON_DISK)
    )
    names = list(tx.conn.execute(offline.order_by(files.c.file_id)).scalars())
    if names:
        tx.conn.execute(update(files).where(files.c.file_id == names[0]).values(leader_id=None, size=leader.size))
        tx.conn.execute(update(files).where(files.c.file_id.in_(names[1:])).values(leader_id=names[0]))


def on_inodes(tx: Tx, inodes: Iterable[tuple[int, int]]) -> list[int]:
    """Return the ids of rows on disk that stand on any (dev, ino), with their links: what group() may change."""
    found: list[int] = []
    on_disk = files.c.state.in_([str(state) for state in ON_DISK])
    for batch in batches({(signed64(dev), signed64(ino)) for dev, ino in inodes}, 200):
        query = select(files.c.file_id).where(tuple_(files.c.dev, files.c.ino).in_(batch), on_disk)
        found += tx.conn.execute(query).scalars()
    return with_links(tx, found)


def _staying(leader: FileRow, rows: Iterable[FileRow], inodes: Mapping[int, tuple[int, int]]) -> list[FileRow]:
    """Return the followers of *leader* that are not seen to stand elsewhere."""
    followers = [row for row in rows if row.leader_id == leader.file_id]
    offline = leader.state not in ON_DISK
    old = (leader.dev, leader.ino)
    staying = []
    for row in followers:
        dev, ino = inodes.get(row.file_id, old)
        moved = (signed64(dev), signed64(ino)) != old or (offline and row.file_id in inodes)
        if not moved:
            staying.append(row)
    return staying


def _hand_over_one(tx: Tx, row: FileRow, heirs: Sequence[FileRow]) -> None:
    if not heirs:
        return
    heir = min(heirs, key=lambda follower: follower.file_id)
    tx.conn.execute(update(files).where(files.c.leader_id == row.file_id).values(leader_id=heir.file_id))
    taken: dict[str, object] = {
        "recipe_no": row.recipe_no,
        "tier": row.tier,
        "stored_ns": row.stored_ns,
        "stored_seq": row.stored_seq,
    }
    if heir.state in {FileState.REGULAR, FileState.DUAL}:  # a name's own row may lag behind the one that led
        taken["state"] = FileState.REGULAR if row.recipe_no is None else FileState.DUAL
    tx.conn.execute(update(files).where(files.c.file_id == heir.file_id).values(leader_id=None, size=row.size, **taken))
    left: dict[str, object] = {"recipe_no": None, "tier": None, "stored_ns": None, "stored_seq": None}
    if row.state in ON_DISK:
        left |= {"state": FileState.MIGRATING if row.state == FileState.MIGRATING else FileState.REGULAR}
    tx.conn.execute(update(files).where(files.c.file_id == row.file_id).values(leader_id=None, **left))


def _lead_alone(tx: Tx, file_id: int) -> None:
    alone = {"leader_id": None, "recipe_no": None, "tier": None, "stored_ns": None, "stored_seq": None}
    tx.conn.execute(update(files).where(files.c.file_id == file_id).values(**alone, state=FileState.REGULAR))


def _on_inode(tx: Tx, inode: tuple[int, int]) -> list[FileRow]:
    query = select(files.c.file_id).where(
        tuple_(files.c.dev, files.c.ino) == inode, files.c.state.in_([str(state) for state in ON_DISK])
    )
    return list(load_files(tx, tx.conn.execute(query).scalars().all()).values())


def _has_followers(tx: Tx, file_id: int) -> bool:
    return tx.conn.execute(select(files.c.file_id).where(files.c.leader_id == file_id).limit(1)).first() is not None


def forget(tx: Tx, file_ids: Sequence[int]) -> None:
    """Delete the rows and what refers to them; of a leader that goes, a follower that stays takes the lead."""
    hand_over(tx, file_ids)
    journal.forget(tx, file_ids)
    for batch in batches(file_ids):
        for table in (access_days, ticket_files):
            tx.conn.execute(delete(table).where(table.c.file_id.in_(batch)))
        tx.conn.execute(update(files).where(files.c.leader_id.in_(batch)).values(leader_id=None))
        tx.conn.execute(delete(files).where(files.c.file_id.in_(batch)))
