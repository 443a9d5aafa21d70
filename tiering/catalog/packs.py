"""Packs and the chunks in them: pending rows, look-ups for deduplication and for reading, doom and deletion.

A chunk is found only in live packs. doom, claim_for_deletion and mark_deleted are gc's three steps, each one
transaction.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import bindparam, exists, insert, literal, select, update
from sqlalchemy.sql.elements import ColumnElement

from dedup.fingerprint import fingerprint_from_number, fingerprint_number
from dedup.values import Digest, Fingerprint
from tiering.catalog import accounts, outbox, records
from tiering.catalog.accounts import Amounts
from tiering.catalog.bases import IN_BLOCK, chains, forget_contents, forget_dependants
from tiering.catalog.booking import book
from tiering.catalog.copies import by_digest
from tiering.catalog.tables import blocks, chunks, codecs, packs, recipes, refs
from tiering.catalog.transaction import Tx, batches, change_raw, fetch_among, marks, named_columns
from tiering.catalog.values import BlockPlace, Location, PackRow, PackState, PendingPack, RecipePlace, RecipeRow
from tiering.errors import FrostlineError

# Built once: for the few chunks of one file, building it costs more than running it.
_BY_FINGERPRINT = (
    "SELECT chunks.fingerprint, chunks.digest, chunks.chunk_no, blocks.pack_no FROM chunks "
    "JOIN blocks ON blocks.block_no = chunks.block_no WHERE chunks.fingerprint"
)
_BY_NUMBER = f"SELECT {named_columns(packs)} FROM packs WHERE pack_no"  # noqa: S608  # our own names
_PACKS_OF = "SELECT block_no, pack_no FROM blocks WHERE block_no"
_LIVE = f"SELECT pack_no, tier FROM packs WHERE state = '{PackState.LIVE}' AND pack_no"  # noqa: S608  # our own names
_base = chunks.alias("base")
_BLOCKS = (
    select(
        *(blocks.c.block_no, blocks.c.pack_no, packs.c.key, packs.c.tier, blocks.c.offset, blocks.c.stored_len),
        *(blocks.c.raw_len, codecs.c.name, _base.c.digest),
    )
    .join(packs, packs.c.pack_no == blocks.c.pack_no)
    .join(codecs, codecs.c.codec_no == blocks.c.codec_no)
    .outerjoin(_base, _base.c.chunk_no == blocks.c.base_no)
)
_BLOCKS_BY_NUMBER = _BLOCKS.where(blocks.c.block_no.in_(bindparam("blocks", expanding=True)))
_IN_BLOCK_COLUMNS = (
    *(chunks.c.block_no, chunks.c.inner_offset, chunks.c.raw_len, chunks.c.stored_len, chunks.c.fingerprint),
    chunks.c.digest,
)
# By the driver: restore asks for a hundred thousand.
_OF_RECIPES = (
    "SELECT refs.recipe_no, chunks.block_no, chunks.inner_offset, chunks.raw_len, chunks.stored_len, "
    "chunks.fingerprint, chunks.digest FROM refs JOIN chunks ON chunks.chunk_no = refs.chunk_no WHERE refs.recipe_no"
)


def add_pending(tx: Tx, pack: PendingPack) -> int:
    """Note a pack before its upload; return its number. The key must be new: it carries a nonce."""
    values = {column: getattr(pack, column) for column in PendingPack._fields}
    values |= {"state": PackState.PENDING, "created_ns": tx.now_ns}
    return int(tx.conn.execute(insert(packs).values(values).returning(packs.c.pack_no)).scalar_one())


def get(tx: Tx, pack_no: int) -> PackRow | None:
    """Return the pack of that number."""
    return by_numbers(tx, [pack_no]).get(pack_no)


def by_numbers(tx: Tx, pack_nos: Iterable[int]) -> dict[int, PackRow]:
    """Return pack_no -> pack for those that exist."""
    return {row[0]: pack_row(row) for row in fetch_among(tx, _BY_NUMBER, pack_nos)}


def by_keys(tx: Tx, keys: Iterable[str]) -> dict[str, PackRow]:
    """Return key -> pack for those that exist, in any state."""
    found: dict[str, PackRow] = {}
    for batch in batches(keys):
        for row in tx.conn.execute(select(packs).where(packs.c.key.in_(batch))):
            found[row.key] = pack_row(row)
    return found


def in_state(
    tx: Tx, state: PackState, *, after_no: int = 0, limit: int = 1000, tier: str | None = None
) -> list[PackRow]:
    """Return up to *limit* packs in *state* numbered above *after_no*, by number."""
    query = select(packs).where(packs.c.state == state, packs.c.pack_no > after_no)
    if tier is not None:
        query = query.where(packs.c.tier == tier)
    return [pack_row(row) for row in tx.conn.execute(query.order_by(packs.c.pack_no).limit(limit))]


def lookup(
    tx: Tx, fingerprints: Iterable[Fingerprint], tiers: Sequence[str]
) -> dict[Fingerprint, list[tuple[Digest, int]]]:
    """Return fingerprint -> [(digest, chunk_no)] for chunks in live data packs of *tiers*. Unknown ones are
    absent.
    """
    found: dict[Fingerprint, list[tuple[Digest, int]]] = {}
    # Two statements, not a join with the packs: SQLite's planner would rather read every chunk of the tier's packs than
    # use the fingerprint index for a list, and is wrong by a factor of a hundred.
    names = {fingerprint_number(fingerprint): fingerprint for fingerprint in fingerprints}
    rows = sorted(fetch_among(tx, _BY_FINGERPRINT, names), key=itemgetter(2))
    fit = {no for no, tier in fetch_among(tx, _LIVE, {row[3] for row in rows}) if tier in tiers}
    for fingerprint, digest, chunk_no, pack_no in rows:
        if pack_no in fit:
            found.setdefault(names[fingerprint], []).append((digest, chunk_no))
    return found


def live_blocks(tx: Tx, block_nos: Collection[int], tiers: Sequence[str]) -> set[int]:
    """Return those of *block_nos* that stand in live packs of *tiers*."""
    pack_of = dict(fetch_among(tx, _PACKS_OF, block_nos))
    tier_of = dict(fetch_among(tx, _LIVE, set(pack_of.values())))
    return {block_no for block_no, pack_no in pack_of.items() if tier_of.get(pack_no) in tiers}


def locate(tx: Tx, recipe_no: int) -> dict[Digest, Location]:
    """Return where every chunk of a recipe is, and every chunk that one of them is coded against, by its digest."""
    return locate_all(tx, [recipe_no])[recipe_no]


def locate_all(tx: Tx, recipe_nos: Iterable[int]) -> dict[int, dict[Digest, Location]]:
    """Return recipe_no -> what locate() returns. Chunks of one block share its place."""
    found: dict[int, list[Location]] = {recipe_no: [] for recipe_no in recipe_nos}
    places: dict[int, BlockPlace] = {}
    for batch in batches(found):
        rows = fetch_among(tx, _OF_RECIPES, batch)
        places |= block_places(tx, {row[1] for row in rows} - places.keys())
        for recipe_no, block_no, inner_offset, length, stored_len, fingerprint, digest in rows:
            name = fingerprint_from_number(fingerprint)
            found[recipe_no].append(Location(places[block_no], inner_offset, length, stored_len, name, digest))
    return {recipe_no: by_digest(locations) for recipe_no, locations in found.items()}


def locate_recipes(tx: Tx, rows: Sequence[RecipeRow]) -> dict[int, RecipePlace]:
    """Return recipe_no -> where the encoded recipe is."""
    numbers = {row.block_no for row in rows}
    places = block_places(tx, numbers)
    digests: dict[int, Digest] = {}
    for batch in batches(numbers):
        query = select(blocks.c.block_no, blocks.c.digest).where(blocks.c.block_no.in_(batch))
        digests.update({row.block_no: Digest(row.digest) for row in tx.conn.execute(query)})
    return {
        row.recipe_no: RecipePlace(places[row.block_no], digests[row.block_no], row.inner_offset, row.raw_len)
        for row in rows
    }


def block_places(tx: Tx, block_nos: Iterable[int]) -> dict[int, BlockPlace]:
    """Return block_no -> its place."""
    found: dict[int, BlockPlace] = {}
    for batch in batches(block_nos):
        for row in tx.conn.execute(_BLOCKS_BY_NUMBER, {"blocks": batch}):
            found[row.block_no] = BlockPlace(*row)
    return found


def chunks_of(tx: Tx, pack_no: int) -> list[Location]:
    """Return the chunks of a pack, in its order."""
    numbers = tx.conn.execute(select(blocks.c.block_no).where(blocks.c.pack_no == pack_no)).scalars().all()
    places = block_places(tx, numbers)
    query = select(*_IN_BLOCK_COLUMNS).select_from(blocks.join(chunks, IN_BLOCK)).where(blocks.c.pack_no == pack_no)
    found = [_location(places[block_no], *rest) for block_no, *rest in tx.conn.execute(query)]
    return sorted(found, key=lambda at: (at.block.offset, at.inner_offset))


def bases_of_pack(tx: Tx, pack_no: int) -> dict[Digest, Location]:
    """Return where everything is that blocks of the pack are coded against, at however many removes, by digest."""
    direct = select(blocks.c.base_no).where(blocks.c.pack_no == pack_no, blocks.c.base_no.is_not(None))
    return locate_chunks(tx, tx.conn.execute(direct).scalars())


def locate_chunks(tx: Tx, chunk_nos: Iterable[int]) -> dict[Digest, Location]:
    """Return where chunks are, and all that they are coded against, by digest."""
    numbers = set(chunk_nos)
    numbers |= {number for chain in chains(tx, numbers).values() for number in chain}
    rows: list[Any] = []
    for batch in batches(numbers):
        rows += tx.conn.execute(select(*_IN_BLOCK_COLUMNS).where(chunks.c.chunk_no.in_(batch))).all()
    places = block_places(tx, {row.block_no for row in rows})
    return by_digest([_location(places[block_no], *rest) for block_no, *rest in rows])


def _location(  # noqa: PLR0917  # column for column
    block: BlockPlace, inner_offset: int, length: int, stored_len: int, fingerprint: int, digest: bytes
) -> Location:
    name = fingerprint_from_number(fingerprint)
    return Location(block, inner_offset, length, stored_len, name, Digest(digest))


def unreferenced(tx: Tx, *, created_before_ns: int, limit: int = 500) -> list[PackRow]:
    """Return live packs older than that to whose contents nothing refers: what gc may doom."""
    query = (
        select(packs)
        .where(packs.c.state == PackState.LIVE, packs.c.created_ns < created_before_ns, ~_is_used())
        .order_by(packs.c.pack_no)
        .limit(limit)
    )
    return [pack_row(row) for row in tx.conn.execute(query)]


def doom(tx: Tx, pack_nos: Sequence[int], *, op_id: str, reason: str) -> list[PackRow]:
    """Doom those of the live packs that nothing refers to; return them as they are now. Chunks of other packs that are
    coded against theirs are forgotten: nothing refers to those either.
    """
    doomed: list[PackRow] = []
    amounts = Amounts()
    for batch in batches(pack_nos):
        query = select(packs).where(packs.c.pack_no.in_(batch), packs.c.state == PackState.LIVE, ~_is_used())
        for row in [pack_row(row) for row in tx.conn.execute(query)]:
            if row.kind == "data":
                _book_framing(amounts, row, sign=-1)
            doomed.append(row)
    forget_dependants(tx, [row.pack_no for row in doomed])
    return _doomed(tx, doomed, amounts, op_id=op_id, reason=reason)


def doom_pending(tx: Tx, sizes: Sequence[tuple[int, int]], *, op_id: str, reason: str) -> list[PackRow]:
    """Doom pending packs of dead processes; *sizes* is (pack_no, bytes that stand in the store now, 0 if none do).

    Their bytes enter the books here, as dead.
    """
    amounts = Amounts()
    standing = dict(sizes)
    pending = [row for row in by_numbers(tx, standing).values() if row.state == PackState.PENDING]
    for row in pending:
        size = standing[row.pack_no]
        tx.conn.execute(update(packs).where(packs.c.pack_no == row.pack_no).values(size=size, framing=size))
        amounts.add(_waste_account(row), size, row.tier)
        amounts.add(accounts.BUCKET_TOTAL, -size, row.tier)
    return _doomed(tx, pending, amounts, op_id=op_id, reason=reason)


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object found in a store that no row names."""

    key: str
    kind: str
    """data or recipes."""
    tier: str
    storage_class: str
    size: int
    checksum: str
    """As the store reports it; "" where it does not."""
    created_ns: int


def doom_orphans(tx: Tx, orphans: Sequence[Orphan], *, op_id: str) -> None:
    """Give objects that no row names a doomed row, and book their bytes as dead. Keys that have a row are left
    out.
    """
    known = by_keys(tx, [orphan.key for orphan in orphans])
    new = [orphan for orphan in orphans if orphan.key not in known]
    sizes: list[tuple[int, int]] = []
    for orphan in new:
        values = {
            "key": orphan.key,
            "kind": orphan.kind,
            "tier": orphan.tier,
            "storage_class": orphan.storage_class,
            "state": PackState.PENDING,
            "size": orphan.size,
            "framing": orphan.size,
            "checksum": orphan.checksum,
            "created_ns": orphan.created_ns,
            "owner": "",
        }
        pack_no = tx.conn.execute(insert(packs).values(values).returning(packs.c.pack_no)).scalar_one()
        sizes.append((int(pack_no), orphan.size))
    doom_pending(tx, sizes, op_id=op_id, reason="found in the store, named by no row")


def correct_size(tx: Tx, pack_no: int, size: int, *, op_id: str, reason: str) -> None:
    """Book what a doomed pack was found to weigh in the store (an upload that landed after its process was
    given up).
    """
    row = get(tx, pack_no)
    if row is None or row.state not in {PackState.DOOMED, PackState.DELETING} or row.size == size:
        return
    amounts = Amounts()
    amounts.add(_waste_account(row), size - row.size, row.tier)
    amounts.add(accounts.BUCKET_TOTAL, row.size - size, row.tier)
    tx.conn.execute(update(packs).where(packs.c.pack_no == pack_no).values(size=size))
    outbox.append(tx, [records.pack(row) for row in by_numbers(tx, [pack_no]).values()])
    book(tx, amounts, op_id=op_id, kind="gc", reason=reason)


def claim_for_deletion(tx: Tx, pack_nos: Sequence[int], *, doomed_before_ns: int) -> list[PackRow]:
    """Move doomed packs whose grace is over, and that still nothing refers to, to deleting; return those that
    are deleting now.
    """
    for batch in batches(pack_nos):
        tx.conn.execute(
            update(packs)
            .where(
                packs.c.pack_no.in_(batch),
                packs.c.state == PackState.DOOMED,
                packs.c.doomed_ns <= doomed_before_ns,
                ~_is_used(),
            )
            .values(state=PackState.DELETING)
        )
    claimed = [row for row in by_numbers(tx, pack_nos).values() if row.state == PackState.DELETING]
    outbox.append(tx, [records.pack(row) for row in claimed])
    return claimed


def mark_deleted(tx: Tx, pack_nos: Sequence[int], *, op_id: str, reason: str) -> None:
    """Note that the objects of deleting packs are gone from the store; their chunks and doomed recipes are
    forgotten.
    """
    amounts = Amounts()
    gone = [row for row in by_numbers(tx, pack_nos).values() if row.state == PackState.DELETING]
    for row in gone:
        amounts.add(_waste_account(row), -row.size, row.tier)
        amounts.add(accounts.BUCKET_TOTAL, row.size, row.tier)
    forget_contents(tx, [row.pack_no for row in gone])
    for batch in batches([row.pack_no for row in gone]):
        tx.conn.execute(update(packs).where(packs.c.pack_no.in_(batch)).values(state=PackState.DELETED))
    outbox.append(tx, [records.pack(row) for row in by_numbers(tx, [row.pack_no for row in gone]).values()])
    book(tx, amounts, op_id=op_id, kind="gc", reason=reason)


def go_live(tx: Tx, amounts: Amounts, pack_nos: Sequence[int]) -> list[outbox.Record]:
    """Move pending packs to live inside a commit; return their records. Raises PackGone when one is not pending
    any more.
    """
    rows = by_numbers(tx, pack_nos)
    for pack_no in pack_nos:
        if pack_no not in rows or rows[pack_no].state != PackState.PENDING:
            raise PackGone(pack_no)
    for batch in batches(pack_nos):
        change_raw(tx, f"UPDATE packs SET state = '{PackState.LIVE}' WHERE pack_no IN {marks(batch)}", batch)  # noqa: S608
    live = [rows[pack_no]._replace(state=PackState.LIVE) for pack_no in pack_nos]
    for row in live:
        amounts.add(accounts.BUCKET_TOTAL, -row.size, row.tier)
        amounts.add(_waste_account(row), row.size, row.tier)  # data: dead until a recipe refers to it
        if row.kind == "data":
            _book_framing(amounts, row, sign=+1)
    return [records.pack(row) for row in live]


class PackGone(FrostlineError):
    """A pack of the batch is not pending: another process gave its uploader up for dead. Nothing was committed."""

    def __init__(self, pack_no: int) -> None:
        """Keep the pack's number."""
        super().__init__(f"pack {pack_no} is not pending any more", now="nothing was committed")
        self.pack_no = pack_no


def pack_row(row: Iterable[object]) -> PackRow:
    """Return a row of `select(packs)` as a PackRow."""
    values = list(row)
    values[5] = PackState(str(values[5]))
    return PackRow(*values)  # type: ignore[arg-type]  # column for column


def _is_used() -> ColumnElement[bool]:
    """A pack is used while a refs row names one of its chunks, or while it holds a live recipe."""
    of_pack = blocks.c.pack_no == packs.c.pack_no
    used = select(literal(1)).select_from(
        blocks.join(chunks, IN_BLOCK).join(refs, refs.c.chunk_no == chunks.c.chunk_no)
    )
    live = (
        select(literal(1))
        .select_from(blocks.join(recipes, recipes.c.block_no == blocks.c.block_no))
        .where(of_pack, recipes.c.state == "live")
    )
    return exists(used.where(of_pack)) | exists(live)


def _waste_account(row: PackRow) -> str:
    return accounts.BUCKET_DEAD if row.kind == "data" else accounts.BUCKET_METADATA


def _book_framing(amounts: Amounts, row: PackRow, *, sign: int) -> None:
    framing = sign * row.framing
    amounts.add(accounts.STORE_LIVE, framing, row.tier)
    amounts.add(accounts.STORE_OVERHEAD, -framing, row.tier)
    amounts.add(accounts.BUCKET_LIVE, framing, row.tier)
    amounts.add(accounts.BUCKET_DEAD, -framing, row.tier)


def _doomed(tx: Tx, rows: Sequence[PackRow], amounts: Amounts, *, op_id: str, reason: str) -> list[PackRow]:
    for batch in batches([row.pack_no for row in rows]):
        tx.conn.execute(
            update(packs).where(packs.c.pack_no.in_(batch)).values(state=PackState.DOOMED, doomed_ns=tx.now_ns)
        )
    now = list(by_numbers(tx, [row.pack_no for row in rows]).values())
    outbox.append(tx, [records.pack(row) for row in now])
    book(tx, amounts, op_id=op_id, kind="gc", reason=reason)
    return now
