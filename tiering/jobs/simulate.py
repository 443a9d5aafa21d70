"""Replays a history under several strategies and a price book, beside the usual baselines and the offline optimum.

The history is a trace file or what the catalog has recorded; nothing is changed. The strategies are those of
policies.strategies.registry, by name.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from policies.costs import cost_table
from policies.offers import Offer, Terms, make_offers
from policies.optimum import optimum
from policies.price_fields import PriceBookError
from policies.prices import PriceBook
from policies.sensitivity import Swing, tornado
from policies.simulator import Dollar, Outcome, simulate
from policies.strategies.registry import StrategyError, baselines, make_strategy
from policies.trace import Trace, TraceError
from policies.tuning import Tuned, tune
from tiering.catalog.open import Catalog
from tiering.errors import UsageError
from tiering.jobs.trace_catalog import recorded_trace
from tiering.jobs.trace_files import read_trace

DEFAULT_CLASSES = ("STANDARD", "STANDARD_IA", "GLACIER_IR", "INTELLIGENT_TIERING")
OURS = "expected-cost"


@dataclass(frozen=True, slots=True)
class Simulation:
    """Every strategy's outcome on one history, under one set of classes and prices."""

    trace: Trace
    offers: tuple[Offer, ...]
    book_id: str
    optimum_usd: float
    outcomes: tuple[Outcome, ...]

    def ratio(self, outcome: Outcome) -> float:
        """Return its dollars over the optimum's."""
        return outcome.usd_total / self.optimum_usd if self.optimum_usd else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the document of `simulate --json`."""
        trace = self.trace
        return {
            "trace": {
                "objects": trace.objects, "reads": int(trace.counts.sum()), "days": trace.days,
                "bytes": int(trace.sizes.sum()),
            },
            "prices": self.book_id,
            "classes": [offer.name for offer in self.offers],
            "optimum_usd": self.optimum_usd,
            "results": [self._row(outcome) for outcome in self.outcomes],
        }  # fmt: skip

    def _row(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "policy": outcome.policy,
            "usd_total": outcome.usd_total,
            "usd": outcome.usd(),
            "ratio_to_optimum": self.ratio(outcome),
            "recalls": outcome.recalls,
            "recall_gib": outcome.recall_gib,
            "waited_h": outcome.waited_h,
            "moves": outcome.moves,
            "moved_gib": outcome.moved_gib,
            "by_kind": {
                name: {dollar.name.lower(): float(outcome.usd_by_kind[dollar, number]) for dollar in Dollar}
                for number, name in enumerate(self.trace.kind_names)
            },
        }


def history_in(path: Path, *, tick_days: float = 1.0) -> Trace:
    """Return the history in a file. Raises UsageError where it cannot be used."""
    with _said():
        return read_trace(path, tick_days=tick_days)


def own_history(catalog: Catalog) -> Trace:
    """Return what this installation has recorded. Raises UsageError where that is nothing."""
    with _said(), catalog.read() as tx:
        return recorded_trace(tx)


def simulation(
    trace: Trace, book: PriceBook, policies: Sequence[str], *, classes: Sequence[str], terms: Terms
) -> Simulation:
    """Return what *trace* would have cost under *policies* and every baseline the classes allow.

    Raises UsageError where classes or policies cannot be used.
    """
    with _said():
        return compare(trace, book, policies, classes=classes, terms=terms)


def sensitivity(trace: Trace, book: PriceBook, policy: str, *, classes: Sequence[str], terms: Terms) -> list[Swing]:
    """Return what each assumption does to the bill of *policy*, the largest first. Raises as simulation()."""
    with _said():
        return tornado(trace, make_offers(book, classes, terms), terms, partial(make_strategy, policy))


def tuned(
    trace: Trace, book: PriceBook, policy: str, *, classes: Sequence[str], terms: Terms, held_out: float
) -> Tuned:
    """Return what searching thresholds on the earlier part of *trace* would have saved over *policy* in the later.

    Raises as simulation().
    """
    with _said():
        offers = make_offers(book, classes, terms)
        return tune(
            trace, offers, terms, partial(make_strategy, offers=offers, terms=terms), now=policy, held_out=held_out
        )


@contextmanager
def _said() -> Iterator[None]:
    """Turn what cannot be used into an error of the command line."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"--trace: {error.filename} cannot be read: {error.strerror}") from None
    except TraceError as error:
        raise UsageError(str(error), now="nothing was reckoned") from None
    except PriceBookError as error:
        raise UsageError(str(error), hint="frostline prices show: what --class and --hot may name") from None
    except StrategyError as error:
        raise UsageError(f"--policy: {error}") from None


def compare(
    trace: Trace, book: PriceBook, policies: Sequence[str], *, classes: Sequence[str], terms: Terms
) -> Simulation:
    """Return the same for a history at hand; raises what policies raises."""
    offers = make_offers(book, classes, terms)
    table = cost_table(offers, trace.sizes, terms)
    names = list(dict.fromkeys([*policies, *baselines(offers)]))
    made = [make_strategy(name, offers, terms) for name in names]
    return Simulation(
        trace=trace,
        offers=offers,
        book_id=book.book_id,
        optimum_usd=float(optimum(trace, table).sum()),
        outcomes=tuple(simulate(trace, table, strategy) for strategy in made),
    )
