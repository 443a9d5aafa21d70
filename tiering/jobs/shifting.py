"""The part of a plan that is about stored files: which of them sink to a colder tier, some thousands decided at a time.

Collects what policies.planner.shifts() yields, has it settled with the packs that it would take along
(tiering.jobs.foresight), and settles it again without those that a budget puts off. Memory is bounded: what does not go
is only counted.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from policies.moving import Decision, MoveQuote
from policies.plan import Action, MoveReport, Refusal
from policies.shifts import Scales, Settled, Shift, Sight, settle
from tiering.jobs.context import Context
from tiering.jobs.foresight import settled

AT_ONCE = 20_000
"""Stored files decided about together; packs that files of two such groups share wait for a later plan. 40 MB."""

Place = tuple[str, bytes, bytes]


@dataclass(slots=True)
class _Group:
    """Files that go together, and the packs they need."""

    going: list[Shift]
    sights: list[Sight]
    packs: dict[int, Decision]


class Shifting:
    """See the module docstring."""

    def __init__(self, ctx: Context, weighed: Scales, *, limit: int) -> None:
        """Let about *limit* files go, and no more."""
        self._ctx = ctx
        self._weighed = weighed
        self._limit = limit
        self._waiting: list[Shift] = []
        self._groups: list[_Group] = []
        self._left = 0
        self.actions: list[Action] = []

    def add(self, found: Iterable[Shift]) -> list[Refusal]:
        """Take whole units; return who of those taken so far does not go."""
        self._waiting += found
        return self.close() if len(self._waiting) >= AT_ONCE else []

    def close(self) -> list[Refusal]:
        """Settle what is left; return who of it does not go."""
        wanted, self._waiting = self._waiting, []
        if not wanted:
            return []
        if len(self.actions) >= self._limit:
            self._left += len(wanted)
            return []
        found, sights = settled(self._ctx, wanted, self._weighed)
        self._take(wanted, sights, found)
        return found.refused

    def only(self, going: Iterable[Place]) -> list[Refusal]:
        """Settle again with these files alone; return who of them cannot go without the others."""
        kept = set(going)
        groups, self._groups, self.actions = self._groups, [], []
        refused: list[Refusal] = []
        for group in groups:
            wanted = [shift for shift in group.going if shift.place in kept]
            found = settle(wanted, group.sights, self._weighed)
            self._take(wanted, group.sights, found)
            refused += found.refused
        return refused

    def reports(self) -> tuple[MoveReport, ...]:
        """Return what moves, per pair of tiers."""
        files = Counter((action.source, action.target) for action in self.actions)
        quotes: dict[tuple[str, str], MoveQuote] = {pair: MoveQuote() for pair in files}
        numbers: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for group in self._groups:
            tier_of = {sight.pack_no: sight.tier for sight in group.sights}
            for number, decision in group.packs.items():
                pair = tier_of[number], self._goal(decision)
                quotes[pair] = quotes.get(pair, MoveQuote()) + decision.quote
                numbers.setdefault(pair, []).append((number, decision.way))
        return tuple(
            MoveReport(
                source=pair[0], target=pair[1], files=files[pair], quote=quote, packs=tuple(numbers.get(pair, ()))
            )
            for pair, quote in sorted(quotes.items())
        )

    def notes(self) -> list[str]:
        """Return what the plan has to say beside its actions."""
        if not self._left:
            return []
        return [f"{self._left:,} more stored files may belong on a colder tier; plan again for them"]

    def _take(self, wanted: list[Shift], sights: list[Sight], found: Settled) -> None:
        going = {action.place for action in found.actions}
        kept = [shift for shift in wanted if shift.place in going]
        recipes = {shift.facts.recipe_no for shift in kept}
        needed = [sight for sight in sights if any(number in recipes for number in sight.weights)]
        self._groups.append(_Group(kept, needed, found.packs))
        self.actions += found.actions

    def _goal(self, decision: Decision) -> str:
        if decision.target:
            return decision.target
        return max((decision.parts or {}).values(), key=lambda name: self._weighed.tiers[name].rank, default="")
