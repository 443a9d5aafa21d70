"""Every byte balance recomputed from the catalog's rows: what the ledger must say. Used by audit, rebuild and
the tests.

docs/ledger.md has the formulas in prose.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, func, literal, select

from tiering.catalog import accounts, ledger
from tiering.catalog.accounts import BYTE, UNIT_OF
from tiering.catalog.booking import bucket_names
from tiering.catalog.tables import blocks, chunks, files, packs, recipes, refs, segments, stores, versions
from tiering.catalog.transaction import Tx, stretches
from tiering.catalog.values import FileState, PackState

Balances = Mapping[tuple[str, str], int]
"""(account, tier) -> bytes, zeros left out."""


def recomputed(tx: Tx) -> Balances:
    """Return every byte account's balance as the rows say. Reads all of chunks and refs: minutes on a large
    catalog.
    """
    sums: Counter[tuple[str, str]] = Counter()
    _files(tx, sums)
    _holders(tx, sums)
    _chunks(tx, sums)
    _packs(tx, sums)
    _metadata(tx, sums)
    return {key: amount for key, amount in sums.items() if amount}


def differences(tx: Tx) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (account, tier) -> (ledger, rows) where they differ."""
    rows = recomputed(tx)
    booked = {key: amount for key, amount in ledger.all_balances(tx).items() if UNIT_OF[key[0]] == BYTE}
    return {
        key: (booked.get(key, 0), rows.get(key, 0))
        for key in sorted(rows.keys() | booked.keys())
        if booked.get(key, 0) != rows.get(key, 0)
    }


def identities(balances: Balances) -> list[str]:
    """Return a sentence for each identity of P6 that does not hold; an empty list when all do."""
    of: Counter[str] = Counter()
    for (account, _), amount in balances.items():
        of[account] += amount
    faults = []
    on_disk = of[accounts.FILES_HOT_ONLY] + of[accounts.FILES_DUAL] + of[accounts.FILES_OFFLINE]
    if -of[accounts.FILES_LOGICAL] != on_disk:
        faults.append(f"files: logical {-of[accounts.FILES_LOGICAL]} is not hot_only + dual + offline {on_disk}")
    held = of[accounts.FILES_DUAL] + of[accounts.FILES_OFFLINE] - of[accounts.HELD_RETAINED]
    saved = of[accounts.STORE_DEDUP_SAVED] + of[accounts.STORE_COMPRESSION_SAVED]
    explained = of[accounts.STORE_LIVE] + saved + of[accounts.STORE_OVERHEAD]  # overhead is booked negative
    if held != explained:
        faults.append(f"store: dual + offline + retained {held} is not live + saved - overhead {explained}")
    if -of[accounts.HELD_CURRENT] != of[accounts.FILES_DUAL] + of[accounts.FILES_OFFLINE]:
        faults.append(f"store: held by current files {-of[accounts.HELD_CURRENT]} is not dual + offline")
    bucket = of[accounts.BUCKET_LIVE] + of[accounts.BUCKET_DEAD] + of[accounts.BUCKET_METADATA]
    if -of[accounts.BUCKET_TOTAL] != bucket:
        faults.append(f"bucket: total {-of[accounts.BUCKET_TOTAL]} is not live + dead + metadata {bucket}")
    if of[accounts.BUCKET_LIVE] != of[accounts.STORE_LIVE]:
        faults.append(
            f"live bytes: {of[accounts.STORE_LIVE]} by the store book, {of[accounts.BUCKET_LIVE]} in the bucket"
        )
    return faults


def _files(tx: Tx, sums: Counter[tuple[str, str]]) -> None:
    stored = files.c.recipe_no.is_not(None)
    query = select(files.c.root_id, files.c.state, stored, func.sum(files.c.size)).where(
        files.c.leader_id.is_(None), files.c.state != FileState.MISSING
    )
    of_bucket = bucket_names(tx)
    query = query.group_by(files.c.root_id, files.c.state, stored)
    for root_id, state, has_copy, size in _by_stretches(tx, query, files.c.file_id):
        bucket = of_bucket.get(root_id, "")
        if state in {FileState.OFFLINE, FileState.RECALLING}:
            account = accounts.FILES_OFFLINE
        elif state == FileState.DUAL or (state == FileState.MIGRATING and has_copy):
            account = accounts.FILES_DUAL
        else:
            account = accounts.FILES_HOT_ONLY
        sums[account, bucket] += int(size)
        sums[accounts.FILES_LOGICAL, bucket] -= int(size)


def _holders(tx: Tx, sums: Counter[tuple[str, str]]) -> None:
    is_missing = files.c.state == FileState.MISSING
    current = _held(is_missing, files.c.recipe_no).where(files.c.leader_id.is_(None)).group_by(is_missing)
    retained = _held(literal(True), versions.c.recipe_no)
    for query, number in ((current, files.c.file_id), (retained, versions.c.version_no)):
        for tier, size, plain, is_retained in _by_stretches(tx, query.group_by(recipes.c.tier), number):
            account = accounts.HELD_RETAINED if is_retained else accounts.HELD_CURRENT
            sums[account, tier] -= int(size)
            sums[accounts.STORE_DEDUP_SAVED, tier] += int(plain)
            sums[accounts.STORE_COMPRESSION_SAVED, tier] += int(size) - int(plain)


def _held(is_retained: ColumnElement[bool], holder: Column[int]) -> Select[Any]:
    """Return the query for the bytes of recipes that *holder* names."""
    wanted = select(recipes.c.tier, func.sum(recipes.c.size), func.sum(recipes.c.plain_bytes), is_retained)
    return wanted.join_from(holder.table, recipes, recipes.c.recipe_no == holder)


def _chunks(tx: Tx, sums: Counter[tuple[str, str]]) -> None:
    for part in stretches(tx, chunks.c.chunk_no):
        _chunks_of(tx, sums, part(refs.c.chunk_no))


def _chunks_of(tx: Tx, sums: Counter[tuple[str, str]], part: ColumnElement[bool]) -> None:
    is_used = (func.max(refs.c.times) > 0).label("is_used")
    named = select(refs.c.chunk_no, is_used).where(part).group_by(refs.c.chunk_no).subquery()
    query = (
        select(packs.c.tier, named.c.is_used, func.sum(chunks.c.raw_len), func.sum(chunks.c.stored_len))
        .select_from(named.join(chunks, chunks.c.chunk_no == named.c.chunk_no))
        .join(blocks, blocks.c.block_no == chunks.c.block_no)
        .join(packs, packs.c.pack_no == blocks.c.pack_no)
        .group_by(packs.c.tier, named.c.is_used)
    )
    for tier, is_used, raw, stored in tx.conn.execute(query):
        sums[accounts.STORE_LIVE, tier] += int(stored)
        sums[accounts.BUCKET_LIVE, tier] += int(stored)
        sums[accounts.BUCKET_DEAD, tier] -= int(stored)
        if is_used:
            sums[accounts.STORE_COMPRESSION_SAVED, tier] += int(raw) - int(stored)
            sums[accounts.STORE_DEDUP_SAVED, tier] -= int(raw)
        else:
            sums[accounts.STORE_OVERHEAD, tier] -= int(stored)


def _by_stretches(tx: Tx, query: Select[Any], number: Column[int]) -> Iterator[Any]:
    """Yield the rows of a query that groups, for one stretch of the table that *number* numbers after the other."""
    for part in stretches(tx, number):
        yield from tx.conn.execute(query.where(part(number)))


def _packs(tx: Tx, sums: Counter[tuple[str, str]]) -> None:
    query = select(packs.c.tier, packs.c.kind, packs.c.state, func.sum(packs.c.size), func.sum(packs.c.framing))
    standing = [PackState.LIVE, PackState.DOOMED, PackState.DELETING]
    query = query.where(packs.c.state.in_(standing)).group_by(packs.c.tier, packs.c.kind, packs.c.state)
    for tier, kind, state, size, framing in tx.conn.execute(query):
        sums[accounts.BUCKET_TOTAL, tier] -= int(size)
        if kind == "recipes":
            sums[accounts.BUCKET_METADATA, tier] += int(size)
            continue
        sums[accounts.BUCKET_DEAD, tier] += int(size)
        if state == PackState.LIVE:
            sums[accounts.STORE_LIVE, tier] += int(framing)
            sums[accounts.STORE_OVERHEAD, tier] -= int(framing)
            sums[accounts.BUCKET_LIVE, tier] += int(framing)
            sums[accounts.BUCKET_DEAD, tier] -= int(framing)


def _metadata(tx: Tx, sums: Counter[tuple[str, str]]) -> None:
    written = select(segments.c.tier, func.sum(segments.c.size)).where(segments.c.state == "durable")
    owned = select(stores.c.tier, func.sum(stores.c.ownership_bytes)).group_by(stores.c.tier)
    for query in (written.group_by(segments.c.tier), owned):
        for tier, size in tx.conn.execute(query):
            sums[accounts.BUCKET_METADATA, tier] += int(size)
            sums[accounts.BUCKET_TOTAL, tier] -= int(size)
