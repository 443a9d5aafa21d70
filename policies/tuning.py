"""Chooses thresholds on the earlier part of a history, and says what the choice would have mattered in the later part.

Strategies look at nothing ahead, so a replay of the whole history minus a replay of its first part is what the later
part cost a strategy that had learned on the first: no candidate is judged on what it was chosen by. Pure and
deterministic; changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from policies.costs import cost_table
from policies.offers import Offer, Terms
from policies.simulator import simulate
from policies.strategies.protocol import Strategy
from policies.trace import Trace, TraceError

DAYS = (1, 3, 7, 14, 30, 60, 90, 180)
"""Idle and age thresholds that are tried: what people write into lifecycle rules."""
FLOORS = (1.0, 1 / 3, 1 / 7, 1 / 30, 1 / 90, 1 / 365)
"""Reads per day: daily to yearly."""
HALF_LIVES = (7, 15, 30, 60, 120, 240)
GAINS = (0.0, 0.03, 0.1, 0.2)
HELD_OUT = 1 / 3
"""Part of the history that judges; the earlier two thirds choose."""
SHORTEST_DAYS = 4
MATTERS = 0.01
"""A held-out saving below this part of the bill is noise: keep what there is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting, and what it cost."""

    policy: str
    """As policies.strategies.registry.make_strategy() takes it."""
    chosen_by_usd: float
    """In the earlier period."""
    held_out_usd: float
    """In the later one."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What the search found. Dollars are those of the held-out period unless they say otherwise."""

    split_day: float
    days: float
    candidates: tuple[Candidate, ...]
    """Cheapest in the earlier period first."""
    now: Candidate
    """What is in use."""

    @property
    def best(self) -> Candidate:
        """The one that the earlier period chooses; between equals the one in use."""
        first = self.candidates[0]
        return self.now if self.now.chosen_by_usd <= first.chosen_by_usd else first

    @property
    def hindsight(self) -> Candidate:
        """The one that was cheapest in the later period: no choice could have won more."""
        return min(self.candidates, key=lambda candidate: candidate.held_out_usd)

    @property
    def saved_usd(self) -> float:
        """What the choice would have saved in the later period; negative where it would have cost."""
        return self.now.held_out_usd - self.best.held_out_usd

    @property
    def saved_part(self) -> float:
        """The same over what the one in use cost."""
        return self.saved_usd / self.now.held_out_usd if self.now.held_out_usd else 0.0

    @property
    def is_worth_it(self) -> bool:
        """Whether the later period bears the choice out."""
        return self.saved_part >= MATTERS


def candidates(offers: Sequence[Offer]) -> list[str]:
    """Return the settings that are tried: thresholds over the warmest class, one middle and the coldest, and knobs."""
    plain = [offer.name for offer in offers if not offer.ladder]
    ways: list[tuple[str, ...]] = [(plain[0], plain[-1])] if len(plain) > 1 else []
    ways += [(plain[0], middle, plain[-1]) for middle in plain[1:-1]]
    ladders = [offer.name for offer in offers if offer.ladder]
    names = [f"all-{name.lower()}" for name in (*plain, *ladders)]
    for way in ways:
        for days in combinations(DAYS, len(way) - 1):
            steps = ",".join(f"{day}:{name}" for day, name in zip((0, *days), way, strict=True))
            names += [f"idle={steps}", f"age={steps}"]
        for floors in combinations(FLOORS, len(way) - 1):
            names.append("frequency=" + ",".join(f"{f:.6g}:{name}" for f, name in zip((*floors, 0), way, strict=True)))
    names += [f"ewma=half-life:{days}" for days in HALF_LIVES]
    return [*names, "break-even", *(f"expected-cost=gain:{gain:g}" for gain in GAINS)]


def tune(
    trace: Trace,
    offers: Sequence[Offer],
    terms: Terms,
    make: Callable[[str], Strategy],
    *,
    now: str,
    names: Sequence[str] | None = None,
    held_out: float = HELD_OUT,
) -> Tuned:
    """Return every candidate's cost in both periods; *now* is the setting in use, *names* the candidates if not all.

    Raises TraceError on a history too short to be cut, ValueError on a *held_out* part outside 0..1.
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be within 0..1 (got {held_out:g})")
    split = round(trace.end_tick * (1 - held_out))
    if trace.days < SHORTEST_DAYS or not 0 < split < trace.end_tick:
        raise TraceError(
            f"the history lasts {trace.days:.3g} days: too short to choose on one part and judge on another; "
            f"{SHORTEST_DAYS:g} days are the least"
        )
    earlier = trace.between(0, split)
    if earlier.objects == 0:
        raise TraceError("no object is older than the period that judges")
    tables = [cost_table(offers, part.sizes, terms) for part in (earlier, trace)]

    def judged(name: str) -> Candidate:
        first, whole = (
            simulate(part, table, make(name)).usd_total for part, table in zip((earlier, trace), tables, strict=True)
        )
        return Candidate(name, first, whole - first)

    current = judged(now)
    tried = [judged(name) for name in dict.fromkeys(names if names is not None else candidates(offers)) if name != now]
    ranked = sorted([current, *tried], key=lambda candidate: candidate.chosen_by_usd)
    return Tuned(split * trace.tick_days, trace.days, tuple(ranked), current)
