"""Packs that wait in STANDARD, and how many die young: what is weighed against the minimum stay of an archive class
(policies.uploading).
"""

from sqlalchemy import case, func, select

from tiering.catalog.packs import pack_row
from tiering.catalog.tables import packs
from tiering.catalog.transaction import Tx
from tiering.catalog.values import PackRow, PackState

LATEST = 10_000
"""Packs that are looked at, the newest: what was usual years ago says little, and the look must be quick."""


def young_packs(tx: Tx, tier: str, *, young_ns: int) -> tuple[int, int]:
    """Return how many of a tier's newest data packs were doomed before they were *young_ns* old, and the ns that all of
    them were watched in while they were as young.
    """
    newest = select(func.coalesce(func.max(packs.c.pack_no), 0)).scalar_subquery()
    ends = func.coalesce(packs.c.doomed_ns, tx.now_ns)
    age = ends - packs.c.created_ns
    is_young = age < young_ns
    watched = case((age < 0, 0), (is_young, age), else_=young_ns)
    query = select(
        func.coalesce(func.sum(case((is_young & packs.c.doomed_ns.is_not(None), 1), else_=0)), 0),
        func.coalesce(func.sum(watched), 0),
    ).where(packs.c.pack_no > newest - LATEST, packs.c.tier == tier, packs.c.kind == "data", packs.c.state != "pending")
    deaths, watched_ns = tx.conn.execute(query).one()
    return int(deaths), int(watched_ns)


def waiting(tx: Tx, tier: str, storage_class: str, *, after_no: int = 0, limit: int = 1000) -> list[PackRow]:
    """Return up to *limit* live data packs of *tier* that are of that class, numbered above *after_no*, by number."""
    query = select(packs).where(packs.c.state == PackState.LIVE, packs.c.kind == "data", packs.c.pack_no > after_no)
    query = query.where(packs.c.tier == tier, packs.c.storage_class == storage_class)
    return [pack_row(row) for row in tx.conn.execute(query.order_by(packs.c.pack_no).limit(limit))]
