"""Collects decisions into a plan (policies.plan): complete totals over bounded lists. Used by plan."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from policies.plan import (
    NO_ENERGY,
    Action,
    ActionKind,
    BudgetReport,
    EnergyReport,
    HotReport,
    MoveReport,
    Plan,
    Refusal,
    Totals,
)

REFUSED_LISTED = 10_000  # 10 MB: what is wrong with the first is wrong with most; explain says it of any


@dataclass(frozen=True, slots=True, kw_only=True)
class More:
    """What a plan says beside its actions."""

    hot: tuple[HotReport, ...] = ()
    budgets: tuple[BudgetReport, ...] = ()
    moves: tuple[MoveReport, ...] = ()
    energy: EnergyReport = NO_ENERGY
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class PlanBuilder:
    """Collects decisions into a plan with bounded lists and complete totals."""

    def __init__(self, *, limit: int) -> None:
        """Keep at most *limit* actions, and not more than REFUSED_LISTED refusals; totals count all."""
        self._limit = limit
        self._refused_limit = min(limit, REFUSED_LISTED)
        self._actions: list[Action] = []
        self._refused: list[Refusal] = []
        self._sums: Counter[str] = Counter()
        self._bytes_to: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()

    def see(self, *, files: int, unknown_access_files: int) -> None:
        """Count files that were judged."""
        self._sums["files_seen"] += files
        self._sums["unknown_access_files"] += unknown_access_files

    def add(self, decisions: Iterable[Action | Refusal]) -> None:
        """Take decisions in walk order."""
        for decision in decisions:
            if isinstance(decision, Action):
                self._add_action(decision)
            else:
                self._add_refusal(decision)

    def count(self, actions: Iterable[Action]) -> None:
        """Count actions that will not be listed."""
        limit, self._limit = self._limit, 0
        self.add(actions)
        self._limit = limit

    def build(self, *, made_ns: int, catalog_id: str, price_book: str, refundable: bool, more: "More") -> Plan:
        """Return the plan of all that was added."""
        notes = more.notes
        said = list(notes)
        for word, kept, total in (
            ("actions", len(self._actions), sum(self._sums[f"{kind}_files"] for kind in ActionKind)),
            ("refused files", len(self._refused), self._sums["refused_files"]),
        ):
            if kept < total:
                said.append(
                    f"the first {kept:,} of {total:,} {word} are listed; totals count all; plan again for the rest"
                )
        totals = Totals(
            **self._sums,
            bytes_to=dict(sorted(self._bytes_to.items())),
            refused_by_cause=dict(sorted(self._causes.items())),
        )
        return Plan(
            made_ns=made_ns,
            catalog_id=catalog_id,
            price_book=price_book,
            refundable=refundable,
            actions=tuple(self._actions),
            refused=tuple(self._refused),
            totals=totals,
            hot=more.hot,
            budgets=more.budgets,
            moves=more.moves,
            energy=more.energy,
            warnings=more.warnings,
            notes=tuple(said),
        )

    def _add_action(self, action: Action) -> None:
        self._sums[f"{action.kind}_files"] += 1
        self._sums[f"{action.kind}_bytes"] += action.size_bytes
        self._sums["saved_nano_month"] += action.saved_nano_month
        self._sums["once_nano"] += action.once_nano
        self._bytes_to[action.target] += action.size_bytes
        if len(self._actions) < self._limit:
            self._actions.append(action)

    def _add_refusal(self, refusal: Refusal) -> None:
        self._sums["refused_files"] += 1
        self._sums["refused_bytes"] += refusal.size_bytes
        self._causes[refusal.cause] += 1
        if len(self._refused) < self._refused_limit:
            self._refused.append(refusal)
