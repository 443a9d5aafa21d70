"""Lets a reader through to the packs that can be read, and asks for those that a range needs where that is wanted.

Used by random_access. Packs in archive classes are looked at when a read first needs them, and not again while what was
seen holds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dedup.values import Span
from policies.amounts import say_bytes, say_usd
from tiering.catalog.values import PackRow
from tiering.clock import NS_PER_S
from tiering.errors import ObjectArchived, StoreError
from tiering.jobs import tickets
from tiering.jobs.context import Context
from tiering.jobs.recall_terms import Seen, terms
from tiering.jobs.restore_looks import looks, may_be_cold
from tiering.stores.archive import is_readable
from tiering.stores.base import Readability

LOOK_AGAIN_NS = 60 * NS_PER_S  # a pack that could not be read is looked at again after this; nobody polls faster


@dataclass(slots=True)
class Gate:
    """What stands between a file and its bytes. Thread-safe: a look too many does no harm."""

    ctx: Context
    path: str
    rows: Mapping[int, PackRow]
    """Packs of the file that may have to be restored, by number; all others read at once."""
    asks: bool
    """Whether what is archived is asked for, on a ticket, or only said to be."""
    _readable_until: dict[int, int] = field(default_factory=dict)
    _cold_until: dict[int, tuple[int, Readability]] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether everything reads at once."""
        return not self.rows

    def is_known_readable(self, pack_no: int) -> bool:
        """Return whether a pack can be read, as far as that is known without asking."""
        return pack_no not in self.rows or self._readable_until.get(pack_no, 0) > self.ctx.clock.now_ns()

    def are_readable(self, pack_nos: Collection[int]) -> bool:
        """Return whether all of these packs can be read. Raises store errors of the look."""
        return not self._cold(pack_nos)

    def pass_through(self, pack_nos: Collection[int], span: Span) -> None:
        """Raise unless all of these packs, which *span* of the file needs, can be read.

        ObjectArchived with the quote; or WaitingOnRestore with a ticket for them. Raises store errors of the look.
        """
        cold = self._cold(pack_nos)
        if not cold:
            return
        if self.asks:
            reason = f"bytes {span.start} to {span.end} of {self.path}"
            ticket = tickets.request(self.ctx, [], by=self.ctx.owner, reason=reason, pack_nos=sorted(cold))
            raise tickets.waiting(ticket)
        seen = Seen(
            tuple(self.rows[number] for number in cold),
            tuple(self.rows[number] for number in cold),
            frozenset(number for number, state in cold.items() if state is Readability.WARMING),
        )
        with self.ctx.catalog.read() as tx:
            quote = terms(self.ctx, tx, seen).quote
        raise ObjectArchived(
            f"{self.path} is archived: {len(cold)} packs must be restored before bytes {span.start} to {span.end} can "
            "be read",
            now=f"nothing was asked for, and nothing is paid; it would be {say_bytes(quote.bytes)}, "
            f"{say_usd(quote.usd_nano)}, up to {quote.hours:g} h",
            hint=f"run: frostline recall {self.path} --range {span.start}+{span.length}; without --range for all of it",
        )

    def _cold(self, pack_nos: Collection[int]) -> dict[int, Readability]:
        """Return those of the packs that cannot be read, and whether they are on their way."""
        now_ns = self.ctx.clock.now_ns()
        unknown = [
            number
            for number in sorted(pack_nos)
            if not self.is_known_readable(number) and self._cold_until.get(number, (0, None))[0] <= now_ns
        ]
        for row, info in looks(self.ctx, [self.rows[number] for number in unknown]):
            if isinstance(info, StoreError):
                raise info
            if is_readable(info, self.ctx.tier(row.tier).capabilities):
                self._readable_until[row.pack_no] = info.warm_until_ns or 1 << 63
            else:
                self._cold_until[row.pack_no] = (now_ns + LOOK_AGAIN_NS, info.readability)
        return {number: self._cold_until[number][1] for number in pack_nos if not self.is_known_readable(number)}


def open_gate(ctx: Context, path: str, rows: Mapping[int, PackRow], *, asks: bool) -> Gate:
    """Return the gate of a file whose packs are *rows*; nothing is asked yet."""
    doubtful = {number: row for number, row in rows.items() if may_be_cold(ctx, row)}
    return Gate(ctx, path, doubtful, asks)
