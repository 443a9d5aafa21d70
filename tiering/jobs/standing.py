"""Asks the stores whether packs still stand before hot bytes go that need them.

Used by release alone. That a pack was proven when it was written, maybe years ago, does not say that nothing has
deleted it since: a lifecycle rule, a console, an old snapshot of the store's volume that was put back.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tiering.catalog.values import PackRow
from tiering.errors import ObjectMissing
from tiering.jobs.context import Context

REQUESTS = 8  # at once


class Standing:
    """What the stores said during one release: each pack is asked for once."""

    def __init__(self, ctx: Context) -> None:
        """Ask nothing yet."""
        self._ctx = ctx
        self._objections: dict[int, str] = {}

    def objections(self, packs: Iterable[PackRow]) -> dict[int, str]:
        """Return pack number -> why it cannot be relied on, for those of which that is so.

        One small request (head) for each pack that was not asked for before. Raises what a store raises that cannot be
        asked.
        """
        wanted = list(packs)
        fresh = [row for row in wanted if row.pack_no not in self._objections]
        if fresh:
            with ThreadPoolExecutor(REQUESTS, thread_name_prefix="frostline-stands") as pool:
                for row, objection in zip(fresh, pool.map(self._objection, fresh), strict=True):
                    self._objections[row.pack_no] = objection
        known = {row.pack_no: self._objections[row.pack_no] for row in wanted}
        return {number: objection for number, objection in known.items() if objection}

    def _objection(self, row: PackRow) -> str:
        tier = self._ctx.tiers.get(row.tier)
        if tier is None:
            return f'{row.key}, which it needs, is in tier "{row.tier}", which is not configured any more'
        try:
            size_bytes = tier.store.head(row.key).size_bytes
        except ObjectMissing:
            return f"{row.key}, which it needs, is not in {tier.store.url} any more: run frostline audit"
        if size_bytes != row.size:
            return (
                f"{row.key}, which it needs, has {size_bytes} bytes in {tier.store.url} and {row.size} in the books: "
                "run frostline audit"
            )
        return ""
