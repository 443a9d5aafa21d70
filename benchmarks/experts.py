"""What choosing among strategies by their record could win over expected-cost alone (docs/adr/0006).

    python benchmarks/experts.py [the options of placement.py]

Each history is cut in halves. Per kind of file the expert that was cheapest in the first half is charged for the second
(`chosen`), and, as the limit that no such choice can pass, the one that was cheapest in the second half itself
(`hindsight`). Both over the cost of expected-cost in the second half: below 1 the choice would have paid.
"""

import math

import numpy as np
from placement import SETTINGS, histories, parsed

from policies.costs import cost_table
from policies.offers import make_offers
from policies.simulator import simulate
from policies.strategies.registry import make_strategy
from tiering.config.price_books import load_book

EXPERTS = ("expected-cost", "ewma", "break-even", "idle-30-90", "frequency")


def main() -> None:
    """Run and print."""
    arguments = parsed()
    book = load_book(arguments.prices)
    cells: dict[str, list[tuple[float, float]]] = {}
    for _, name, trace in histories(arguments):
        middle = trace.end_tick // 2
        halves = [trace.between(0, middle), trace.between(middle, trace.end_tick)]
        for setting in arguments.setting or SETTINGS:
            classes, terms = SETTINGS[setting]
            offers = make_offers(book, classes, terms)
            experts = [*EXPERTS, *(["all-int"] if setting == "with-int" else [])]
            bills = [
                np.array([
                    simulate(half, cost_table(offers, half.sizes, terms), make_strategy(expert, offers, terms))
                    .usd_by_kind.sum(axis=0) for expert in experts
                ])
                for half in halves
            ]  # fmt: skip
            picked = bills[0].argmin(axis=0)
            ours = bills[1][0].sum()
            chosen = bills[1][picked, np.arange(len(picked))].sum() / ours
            hindsight = bills[1].min(axis=0).sum() / ours
            cells.setdefault(setting, []).append((chosen, hindsight))
            print(f"{setting:13} {name:22} chosen {chosen:6.3f}  hindsight {hindsight:6.3f}", flush=True)
    for setting, ratios in cells.items():
        mean = [math.exp(sum(math.log(pair[i]) for pair in ratios) / len(ratios)) for i in (0, 1)]
        print(f"{setting:13} {'(geometric mean)':22} chosen {mean[0]:6.3f}  hindsight {mean[1]:6.3f}")


if __name__ == "__main__":
    main()
