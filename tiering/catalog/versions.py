"""Versions: stored copies that stopped being a path's current one and are kept for a time."""

from collections.abc import Collection

from sqlalchemy import func, select, tuple_, update

from tiering.catalog.tables import files, versions
from tiering.catalog.transaction import Tx, batches
from tiering.catalog.values import FileState, VersionRow


def expired(tx: Tx, *, before_ns: int, limit: int = 500) -> list[VersionRow]:
    """Return versions whose retention ended before that time, by number."""
    query = select(versions).where(versions.c.keep_until_ns <= before_ns).order_by(versions.c.version_no).limit(limit)
    return [VersionRow(*row) for row in tx.conn.execute(query)]


def count_expired(tx: Tx, *, before_ns: int) -> int:
    """Return how many versions expired() would return without a limit."""
    query = select(func.count()).where(versions.c.keep_until_ns <= before_ns)
    return int(tx.conn.execute(query).scalar_one())


def of_path(tx: Tx, root_id: int, dir: bytes, name: bytes) -> list[VersionRow]:
    """Return the versions of a path, newest first."""
    query = select(versions).where(versions.c.root_id == root_id, versions.c.dir == dir, versions.c.name == name)
    query = query.order_by(versions.c.superseded_ns.desc(), versions.c.version_no.desc())
    return [VersionRow(*row) for row in tx.conn.execute(query)]


def at(tx: Tx, root_id: int, dir: bytes, name: bytes, *, at_ns: int) -> VersionRow | None:
    """Return the version that was current at that time, if one is kept: from_ns <= at < superseded_ns."""
    for row in of_path(tx, root_id, dir, name):
        if row.from_ns <= at_ns < row.superseded_ns:
            return row
    return None


def prolong(tx: Tx, recipe_nos: Collection[int], *, keep_until_ns: int) -> None:
    """Keep those recipes at least until then where only time still holds them: as versions, or for files that are
    missing, whose time begins anew.
    """
    for batch in batches(recipe_nos):
        is_due = (versions.c.recipe_no.in_(batch), versions.c.keep_until_ns < keep_until_ns)
        tx.conn.execute(update(versions).where(*is_due).values(keep_until_ns=keep_until_ns))
        is_missing = (files.c.recipe_no.in_(batch), files.c.state == FileState.MISSING)
        tx.conn.execute(update(files).where(*is_missing).values(missing_since_ns=tx.now_ns))


def page_under(
    tx: Tx, root_id: int, folder: bytes, *, at_ns: int, after: tuple[bytes, bytes] | None = None, limit: int = 1000
) -> list[VersionRow]:
    """Return up to *limit* versions current at that time whose path is below *folder* ("a/b/", or b"" for all) and
    comes after the (dir, name) given, in path order.
    """
    query = select(versions).where(
        versions.c.root_id == root_id, versions.c.from_ns <= at_ns, versions.c.superseded_ns > at_ns
    )
    if folder:
        query = query.where(versions.c.dir >= folder, versions.c.dir < folder[:-1] + b"0")
    if after is not None:
        query = query.where(tuple_(versions.c.dir, versions.c.name) > after)
    query = query.order_by(versions.c.dir, versions.c.name, versions.c.version_no).limit(limit)
    return [VersionRow(*row) for row in tx.conn.execute(query)]


def every(tx: Tx, *, after_no: int = 0, limit: int = 1000) -> list[VersionRow]:
    """Return up to *limit* versions numbered above *after_no*, by number."""
    query = select(versions).where(versions.c.version_no > after_no).order_by(versions.c.version_no).limit(limit)
    return [VersionRow(*row) for row in tx.conn.execute(query)]
