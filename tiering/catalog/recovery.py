"""What rebuild writes besides replayed records: references, objects that no record names, tickets, the closing entry.

Nothing here books a change of its own: adjust() posts once what the rows weigh beyond what the restored ledger says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import delete, exists, func, insert, select, text, update

from dedup.recipe_id import recipe_key
from dedup.values import Block, Digest, Fingerprint, Recipe, chunks_of
from tiering.catalog import ledger, outbox, packs, recipes, records, schema, sums
from tiering.catalog.accounts import Amounts
from tiering.catalog.booking import insert_versions
from tiering.catalog.chunks import recipe_spots
from tiering.catalog.open import Catalog
from tiering.catalog.tables import blocks, files, meta, restores, ticket_files, ticket_packs, tickets, versions
from tiering.catalog.tables import packs as pack_rows
from tiering.catalog.tables import recipes as recipe_rows
from tiering.catalog.transaction import Tx, batches, own_insert
from tiering.catalog.values import FileState, PackRow, RecipeRow
from tiering.errors import UsageError

REBUILDING = "rebuilding"


def begin(catalog: Catalog) -> None:
    """Mark the catalog as being rebuilt; what an earlier, unfinished rebuild left is dropped first.

    Raises UsageError when it holds an installation that is in use.
    """
    with catalog.write() as tx:
        is_marked = tx.conn.execute(select(meta.c.value).where(meta.c.key == REBUILDING)).scalar() is not None
        if is_marked:
            schema.drop(tx.conn)
            schema.create(tx.conn)
            tx.conn.execute(insert(meta), {"key": "catalog_id", "value": catalog.catalog_id})
        elif ledger.last(tx)[0] or outbox.last_seq(tx):
            raise UsageError(
                f"the catalog {catalog.shown_url} is not lost: it holds {ledger.last(tx)[0]} ledger entries",
                now="nothing was changed",
                hint="rebuild is for a lost catalog; move this one away first if it must go",
            )
        tx.conn.execute(insert(meta), {"key": REBUILDING, "value": "1"})


def end(tx: Tx) -> None:
    """Take the mark off: the catalog may be used."""
    tx.conn.execute(delete(meta).where(meta.c.key == REBUILDING))


def insert_packs(tx: Tx, found: Iterable[Mapping[str, object]]) -> dict[str, int]:
    """Insert live rows for objects that no record names; return key -> pack_no."""
    statement = insert(pack_rows).returning(pack_rows.c.key, pack_rows.c.pack_no, sort_by_parameter_order=True)
    numbers: dict[str, int] = {}
    for batch in batches(found):
        rows = [{**row, "state": "live", "owner": ""} for row in batch]
        numbers.update({row.key: row.pack_no for row in tx.conn.execute(statement, rows)})
    return numbers


def correct_packs(tx: Tx, seen: Mapping[int, int | None]) -> list[str]:
    """Bring rows to what the store lists: pack_no -> size, None where no object stands. Return what is amiss.

    A doomed pack that is gone was deleted after the last segment. A live one that is gone is a loss; its row stays.
    """
    problems: list[str] = []
    rows = packs.by_numbers(tx, seen)
    for number, size in seen.items():
        row = rows[number]
        if size is None and row.state in {"doomed", "deleting"}:
            tx.conn.execute(update(pack_rows).where(pack_rows.c.pack_no == number).values(state="deleted"))
        elif size is None:
            problems.append(f"{row.key} is not in the store; files that need it cannot be restored")
        elif size != row.size:
            problems.append(f"{row.key} has {size} bytes in the store, {row.size} were recorded")
    return problems


def without_blocks(tx: Tx, *, after_no: int, limit: int) -> list[PackRow]:
    """Return live data packs numbered above *after_no* that have no block rows yet, by number."""
    has_blocks = exists(select(blocks.c.block_no).where(blocks.c.pack_no == pack_rows.c.pack_no))
    query = (
        select(pack_rows)
        .where(
            pack_rows.c.kind == "data",
            pack_rows.c.state == "live",
            pack_rows.c.pack_no > after_no,
            ~has_blocks,
        )
        .order_by(pack_rows.c.pack_no)
        .limit(limit)
    )
    return [packs.pack_row(row) for row in tx.conn.execute(query)]


def without_refs(tx: Tx, *, after_no: int, limit: int) -> list[RecipeRow]:
    """Return live recipes numbered above *after_no*, by number."""
    query = select(recipe_rows).where(recipe_rows.c.state == "live", recipe_rows.c.recipe_no > after_no)
    return [RecipeRow(*row) for row in tx.conn.execute(query.order_by(recipe_rows.c.recipe_no).limit(limit))]


def insert_refs(tx: Tx, found: Mapping[int, Recipe], tiers_of: Mapping[int, Sequence[str]]) -> dict[int, int]:
    """Write which chunks recipes refer to; return recipe_no -> number of its chunks that are in no live pack.

    *tiers_of* are the tiers each recipe may draw on: its own and the warmer ones. The oldest copy of a chunk is taken,
    as a commit does.
    """
    missing: Counter[int] = Counter()
    for tiers in {tuple(tiers) for tiers in tiers_of.values()}:
        group = {number: recipe for number, recipe in found.items() if tuple(tiers_of[number]) == tiers}
        parts = [part for recipe in group.values() for part in chunks_of(recipe.parts)]
        known: dict[tuple[bytes, bytes], int] = {}
        for fingerprint, candidates in packs.lookup(
            tx, {Fingerprint(part.fingerprint) for part in parts}, tiers
        ).items():
            for digest, chunk_no in candidates:
                known.setdefault((fingerprint, Digest(digest)), chunk_no)
        used: dict[int, Counter[int]] = {}
        for number, recipe in group.items():
            used[number] = Counter()
            for part in chunks_of(recipe.parts):
                name = (part.fingerprint, part.digest)
                if name in known:
                    used[number][known[name]] += 1
                else:
                    missing[number] += 1
        recipes.insert_refs(tx, used)
    return dict(missing)


def recipe_packs(tx: Tx) -> list[PackRow]:
    """Return the live recipe packs, by number."""
    query = select(pack_rows).where(pack_rows.c.kind == "recipes", pack_rows.c.state == "live")
    return [packs.pack_row(row) for row in tx.conn.execute(query.order_by(pack_rows.c.pack_no))]


def insert_found(tx: Tx, pack: PackRow, found: Sequence[Block], wanted: Sequence[tuple[Recipe, str]]) -> int:
    """Insert those of the (recipe, tier) of *pack*, which holds the blocks *found*, that have no row; return how
    many.
    """
    spots = recipe_spots(tx, pack.pack_no, found)
    known = recipes.by_ids(tx, {str(recipe.recipe_id) for recipe, _ in wanted})
    new = [
        recipes.NewRecipe(recipe, spots[recipe_key(recipe.recipe_id)], tier, created_ns=pack.created_ns)
        for recipe, tier in wanted
        if str(recipe.recipe_id) not in known
    ]
    return len(recipes.insert_recipes(tx, new))


def unheld(tx: Tx, *, after_no: int, limit: int) -> list[RecipeRow]:
    """Return live recipes numbered above *after_no* that neither a file nor a version holds, by number."""
    query = select(recipe_rows).where(
        recipe_rows.c.state == "live",
        recipe_rows.c.recipe_no > after_no,
        ~exists(select(files.c.file_id).where(files.c.recipe_no == recipe_rows.c.recipe_no)),
        ~exists(select(versions.c.version_no).where(versions.c.recipe_no == recipe_rows.c.recipe_no)),
    )
    return [RecipeRow(*row) for row in tx.conn.execute(query.order_by(recipe_rows.c.recipe_no).limit(limit))]


def keep_as_versions(tx: Tx, held: Sequence[tuple[RecipeRow, int, bytes]], *, keep_until_ns: int) -> None:
    """Hold recipes, each of a root and a path, that no file is known to need, until that time; recorded with the
    recipes themselves.
    """
    places = packs.block_places(tx, {known.block_no for known, _, _ in held})
    described, rows = [], []
    for known, root_id, path in held:
        folder, slash, name = path.rpartition(b"/")
        row = {
            "root_id": root_id,
            "dir": folder + slash,
            "name": name,
            "recipe_no": known.recipe_no,
            "from_ns": min(known.created_ns, tx.now_ns),
            "superseded_ns": tx.now_ns,
            "keep_until_ns": keep_until_ns,
            "reason": "recovered",
        }
        rows.append(row)
        found = records.recipe_found(
            recipe_id=known.recipe_id,
            pack_key=places[known.block_no].key,
            tier=known.tier,
            created_ns=known.created_ns,
        )
        described.append(found)
    outbox.append(tx, [*described, *insert_versions(tx, rows)])


def set_framing(tx: Tx, pack_nos: Iterable[int]) -> None:
    """Work out the framing of packs whose contents are known now: their size less what their blocks take."""
    for batch in batches(pack_nos):
        stored = (
            select(func.coalesce(func.sum(blocks.c.stored_len), 0))
            .where(blocks.c.pack_no == pack_rows.c.pack_no)
            .scalar_subquery()
        )
        tx.conn.execute(
            update(pack_rows).where(pack_rows.c.pack_no.in_(batch)).values(framing=pack_rows.c.size - stored)
        )


def record_packs(tx: Tx, pack_nos: Iterable[int]) -> None:
    """Write records of packs that no segment names, so that the next rebuild knows them."""
    outbox.append(tx, [records.pack(row) for row in packs.by_numbers(tx, pack_nos).values()])


def restore_ticket(tx: Tx, record: Mapping[str, object], file_ids: Sequence[int]) -> None:
    """Write an open ticket back under its number; its files wait again, and their packs are wanted."""
    columns = ("ticket_no", "state", "speed", "reason", "requested_by", "created_ns", "deadline_ns", "quote", "note")
    tx.conn.execute(insert(tickets), {name: record[name] for name in columns})
    waiting = [
        {"ticket_no": record["ticket_no"], "file_id": file_id, "state": "waiting", "note": ""} for file_id in file_ids
    ]
    if waiting:
        tx.conn.execute(insert(ticket_files), waiting)
    rows = tx.conn.execute(select(files.c.recipe_no).where(files.c.file_id.in_(file_ids))).scalars().all()
    needed = {pack_no for found in recipes.packs_of(tx, [row for row in rows if row]).values() for pack_no in found}
    for pack_no in sorted(needed):
        tx.conn.execute(insert(ticket_packs), {"ticket_no": record["ticket_no"], "pack_no": pack_no})
        wanted = {"pack_no": pack_no, "state": "wanted", "speed": record["speed"]}
        tx.conn.execute(own_insert(tx, restores).values(wanted).on_conflict_do_nothing())


def waiting_files(tx: Tx, paths: Iterable[tuple[int, bytes, bytes]]) -> list[int]:
    """Return the ids of offline files at those (root id, dir, name)."""
    found: list[int] = []
    for root_id, folder, name in paths:
        query = select(files.c.file_id).where(
            files.c.root_id == root_id, files.c.dir == folder, files.c.name == name, files.c.state == FileState.OFFLINE
        )
        found += tx.conn.execute(query).scalars()
    return found


def adjust(tx: Tx, *, op_id: str, reason: str) -> int | None:
    """Post what the rows weigh beyond what the ledger says, as one entry; None when they agree."""
    amounts = Amounts()
    for (account, tier), (booked, counted) in sums.differences(tx).items():
        amounts.add(account, counted - booked, tier)
    lines = amounts.lines()
    return ledger.post(tx, ledger.Entry(op_id=op_id, kind="rebuild", reason=reason, lines=lines)) if lines else None


def settle_autoincrement(tx: Tx) -> None:
    """PostgreSQL: let new numbers follow the ones that were written explicitly."""
    if tx.is_sqlite:
        return
    tx.conn.execute(
        text("SELECT setval(pg_get_serial_sequence('tickets', 'ticket_no'), (SELECT max(ticket_no) FROM tickets))")
    )
