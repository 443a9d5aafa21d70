"""Budgets: what may be spent on moving things in a day and a month, and which moves go first when not all may.

Pure; used by plan. A unit is taken whole or not at all. What is put off is what is worth least of the resource that
ran out, and everything put off is named with its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.amounts import say_bytes, say_usd

DAY, MONTH = "day", "month"
USD, BYTES, REQUESTS, RECALL_USD = "usd", "bytes", "requests", "recall_usd"


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit and what is left of it."""

    resource: str
    """USD (nano-dollars of requests, transitions, retrieval and early deletion), BYTES moved, REQUESTS, RECALL_USD."""
    period: str
    limit: int
    spent: int

    @property
    def left(self) -> int:
        """Not below zero."""
        return max(0, self.limit - self.spent)

    @property
    def name(self) -> str:
        """As in the configuration: usd_per_day."""
        return f"{self.resource}_per_{self.period}"

    def say(self, amount: int) -> str:
        """Return an amount of the resource for people."""
        if self.resource == BYTES:
            return say_bytes(amount)
        return f"{amount:,} requests" if self.resource == REQUESTS else say_usd(amount)


@dataclass(frozen=True, slots=True)
class Need:
    """What one unit would take, and what it is worth."""

    value_nano: int
    """Dollars a month saved; a move that makes room for others may be given more."""
    takes: Mapping[str, int]
    """Resource -> amount."""
    must: bool = False
    """Room depends on it: it goes before all others, and a budget too small for it is reported as one."""


@dataclass(frozen=True, slots=True)
class Rationed:
    """Who goes, who waits and for which allowance."""

    taken: frozenset[int]
    put_off: Mapping[int, Allowance]
    short: tuple[Allowance, ...]
    """Allowances that do not suffice for what must be moved."""


def ration(needs: Sequence[Need], allowances: Sequence[Allowance]) -> Rationed:
    """Return which of *needs* (by index) fit into all *allowances*: what must, then the most value per scarce share.

    The share of a need is the largest part of what is left of any allowance that it takes. Greedy: one that does not
    fit is passed over and smaller ones behind it may still go. Equal inputs give equal answers.
    """
    left = {allowance.name: allowance.left for allowance in allowances}
    order = sorted(range(len(needs)), key=lambda i: (not needs[i].must, -_worth(needs[i], allowances), i))
    taken: set[int] = set()
    put_off: dict[int, Allowance] = {}
    for number in order:
        need = needs[number]
        lacking = next((one for one in allowances if need.takes.get(one.resource, 0) > left[one.name]), None)
        if lacking is not None:
            put_off[number] = lacking
            continue
        taken.add(number)
        for allowance in allowances:
            left[allowance.name] -= need.takes.get(allowance.resource, 0)
    short = {put_off[number].name: put_off[number] for number in put_off if needs[number].must}
    return Rationed(frozenset(taken), put_off, tuple(short.values()))


def _worth(need: Need, allowances: Sequence[Allowance]) -> float:
    shares = [need.takes.get(one.resource, 0) / max(1, one.left) for one in allowances]
    share = max(shares, default=0.0)
    return need.value_nano / share if share > 0 else float("inf")
