"""Asks how readable packs are, a thousand at once where that is cheaper than one by one.

Used by tickets and advance. What a listing says of a restore under way or through is believed; that there is none is
only believed of HEAD: not every server lists restores.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from typing import Protocol, TypeVar

from tiering.catalog import tickets as ticket_rows
from tiering.catalog.values import PackRow
from tiering.errors import StoreError
from tiering.jobs.context import Context, OpenTier
from tiering.stores.archive import ARCHIVE_CLASSES, is_readable
from tiering.stores.base import ObjectInfo, Readability

LOOKERS = 8  # HEAD requests at once
HEADS_PER_LIST = 12.5  # a LIST is billed like a PUT: $5 a million, a HEAD $0.40 (aws.amazon.com/s3/pricing)
LIST_PAGE = 1000


class Placed(Protocol):
    """A pack's row, or its restore's."""

    @property
    def key(self) -> str:
        """In its store."""

    @property
    def tier(self) -> str:
        """Whose store it is in."""


P = TypeVar("P", bound=Placed)


def looks(ctx: Context, rows: Sequence[P]) -> Iterator[tuple[P, ObjectInfo | StoreError]]:
    """Yield every row with what its store says of its object, or with the trouble there was in asking."""
    for name in dict.fromkeys(row.tier for row in rows):
        yield from _in_tier(ctx, ctx.tier(name), [row for row in rows if row.tier == name])


def cold_looks(ctx: Context, rows: Iterable[PackRow]) -> list[tuple[PackRow, ObjectInfo]]:
    """Return those of the packs that cannot be read before they are restored, with what their stores say of them.

    Only packs in archive classes, or that their bucket archives by itself, are asked about. Raises what stores raise.
    """
    found: list[tuple[PackRow, ObjectInfo]] = []
    for row, info in looks(ctx, [row for row in rows if may_be_cold(ctx, row)]):
        if isinstance(info, StoreError):
            raise info
        if not is_readable(info, ctx.tier(row.tier).capabilities):
            found.append((row, info))
    return found


def may_be_cold(ctx: Context, row: PackRow) -> bool:
    """Return whether a pack may have to be restored first: by its class, or as its bucket archives it by itself."""
    if not ctx.tier(row.tier).capabilities.archives:
        return False
    return row.storage_class in ARCHIVE_CLASSES or ctx.config.tiers[row.tier].archives_by_itself(row.storage_class)


def _in_tier(ctx: Context, tier: OpenTier, rows: Sequence[P]) -> Iterator[tuple[P, ObjectInfo | StoreError]]:
    known = _listed(ctx, tier, {row.key for row in rows}) if rows else {}
    with ThreadPoolExecutor(LOOKERS, thread_name_prefix="frostline-head") as pool:
        yield from zip(rows, pool.map(lambda row: known.get(row.key) or _head(tier, row.key), rows), strict=True)


def _listed(ctx: Context, tier: OpenTier, keys: set[str]) -> dict[str, ObjectInfo]:
    """Return what a listing knows of restores of *keys*; nothing where it would cost more than to ask one by one."""
    first, last = min(keys), max(keys)
    with ctx.catalog.read() as tx:
        pages = ticket_rows.count_between(tx, tier.name, first, last) // LIST_PAGE + 1
    if len(keys) < pages * HEADS_PER_LIST:
        return {}
    told = {Readability.WARMING, Readability.WARM}
    if not ctx.config.tiers[tier.name].endpoint_url and tier.store.url.startswith("s3:"):
        told.add(Readability.COLD)  # AWS itself lists restores (docs.aws.amazon.com, ListObjectsV2, RestoreStatus)
    try:
        # From just before the first: pages of rows come by key, and together they list the store once.
        listed = takewhile(lambda info: info.key <= last, tier.store.list(start_after=first[:-1]))
        return {info.key: info for info in listed if info.key in keys and info.readability in told}
    except StoreError:
        return {}  # each is asked for, and says what is wrong


def _head(tier: OpenTier, key: str) -> ObjectInfo | StoreError:
    try:
        return tier.store.head(key)
    except StoreError as error:
        return error
