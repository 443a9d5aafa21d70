"""Chunks that stand twice, in a colder tier and in a warmer one, and how the colder copy is given up.

A file bound for a warm tier never refers to an archive: what stands only there is stored again (adr/0003). From then on
the warmer copy may serve the colder files too; once it serves for everything that is needed of a colder pack, that pack
is of no use any more. Used by the mover.
"""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, select, update

from dedup.fingerprint import fingerprint_from_number
from dedup.values import MAX_BASE_DEPTH
from tiering.catalog import packs, recipes
from tiering.catalog.accounts import Amounts
from tiering.catalog.bases import IN_BLOCK, chains, dependants, depths
from tiering.catalog.booking import book, book_chunks
from tiering.catalog.rebasing import used_chunks
from tiering.catalog.tables import blocks, chunks, refs
from tiering.catalog.transaction import Tx, batches


def twins(tx: Tx, pack_no: int, tiers: Sequence[str]) -> dict[int, int]:
    """Return chunk_no -> chunk_no of the same content in live packs of *tiers*, for all that is needed of a pack;
    nothing unless all of it is there. One look-up for a pack of whose first chunk there is none.
    """
    needed = (
        select(chunks.c.chunk_no, chunks.c.fingerprint, chunks.c.digest)
        .select_from(blocks.join(chunks, IN_BLOCK))
        .where(blocks.c.pack_no == pack_no, chunks.c.chunk_no.in_(select(refs.c.chunk_no)))
        .order_by(chunks.c.chunk_no)
    )
    found: dict[int, int] = {}
    for query in (needed.limit(1), needed):
        rows = tx.conn.execute(query).all()
        names = {row.chunk_no: fingerprint_from_number(row.fingerprint) for row in rows}
        known = packs.lookup(tx, names.values(), tiers)
        for row in rows:
            same = [number for digest, number in known.get(names[row.chunk_no], ()) if digest == row.digest]
            if not same:
                return {}
            found[row.chunk_no] = same[0]
    return found


def give_up(tx: Tx, pack_no: int, twin_of: Mapping[int, int], *, op_id: str, reason: str) -> bool:
    """Let everything that refers to a chunk of *twin_of*, or is coded against it, do so to its twin, and doom the pack;
    False, with nothing done, where something would come to stand too deep, or upon itself.
    """
    leaning = _leant_on(tx, pack_no, twin_of)
    if not _may_lean(tx, {old: twin_of[old] for old in leaning}):
        return False
    for old in leaning:
        above = update(blocks).where(blocks.c.base_no == old, blocks.c.pack_no != pack_no)
        tx.conn.execute(above.values(base_no=twin_of[old]))
    affected: set[int] = set()
    for batch in batches(twin_of):
        affected.update(tx.conn.execute(select(refs.c.recipe_no).where(refs.c.chunk_no.in_(batch))).scalars())
    amounts = Amounts()
    for part in batches(sorted(affected)):
        used = {number: _mapped(times, twin_of) for number, times in used_chunks(tx, part).items()}
        book_chunks(tx, amounts, part, sign=-1)
        tx.conn.execute(delete(refs).where(refs.c.recipe_no.in_(part)))
        recipes.insert_refs(tx, used)
        book_chunks(tx, amounts, part, sign=+1)
    book(tx, amounts, op_id=op_id, kind="repack", reason=reason)
    packs.doom(tx, [pack_no], op_id=f"{op_id}:doomed", reason=reason)
    return True


def _mapped(times: Mapping[int, int], twin_of: Mapping[int, int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for chunk_no, count in times.items():
        number = twin_of.get(chunk_no, chunk_no)
        found[number] = found.get(number, 0) + count
    return found


def _leant_on(tx: Tx, pack_no: int, chunk_nos: Iterable[int]) -> set[int]:
    """Return those of the chunks of a pack against which something in another is coded."""
    found: set[int] = set()
    for batch in batches(chunk_nos):
        query = select(blocks.c.base_no).where(blocks.c.base_no.in_(batch), blocks.c.pack_no != pack_no)
        found.update(tx.conn.execute(query).scalars())
    return found


def _may_lean(tx: Tx, twin_of: Mapping[int, int]) -> bool:
    """Whether what is coded against the old chunks may be coded against the new ones."""
    above = dependants(tx, twin_of)
    below = chains(tx, {twin_of[old] for old in above})
    depth = depths(tx, {twin_of[old] for old in above})
    digests = {}
    for batch in batches({number for old in above for number in (twin_of[old], *below.get(twin_of[old], ()))}):
        query = select(chunks.c.chunk_no, chunks.c.digest).where(chunks.c.chunk_no.in_(batch))
        digests.update({row.chunk_no: row.digest for row in tx.conn.execute(query)})
    for old, found in above.items():
        new = twin_of[old]
        if depth[new] + found.height > MAX_BASE_DEPTH:
            return False
        if found.digests & {digests[number] for number in (new, *below.get(new, ()))}:
            return False
    return True
