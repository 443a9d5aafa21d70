"""What stays on a hot tier that is too small: a knapsack by value per byte, and what one more GiB would be worth.

Files that no rule moves compete for the room that is left. Each has a value: the dollars a month that recalls would
cost were it not hot. Those worth least per byte leave until the low mark is reached; the density at which that stops
is the shadow price of a hot GiB-month: renting another GiB pays if it costs less. Exact for a few dozen files around
the margin (branch and bound), and never worse than greedy. Pure; used by plan.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from policies.amounts import GIB

CORE_ITEMS = 40
"""Items around the break that are tried in both ways; what lies far from it is decided by density alone."""
CANDIDATES = 12
"""Greedy cuts that are refined: where sizes differ by orders of magnitude, what is passed over decides."""
CORE_NODES = 20_000
"""Bound on the search: about 50 ms. What is found by then stands."""
FEW_ITEMS = 200
"""So few are all tried in both ways, whatever their sizes, from the best that was found before on."""
FEW_NODES = 200_000
"""Bound on that search: about half a second."""


@dataclass(frozen=True, slots=True)
class Item:
    """A unit that may stay or leave."""

    size_bytes: int
    """What leaving frees; positive."""
    value_nano: int
    """Dollars a month that having it hot saves, in nano-dollars; not negative."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What leaves."""

    leaving: tuple[int, ...]
    """Indexes of items, the least worth per byte first."""
    freed_bytes: int
    lost_nano: int
    """A month."""
    shadow_nano_per_gib: int
    """Of one more hot GiB a month; 0 where nothing has to leave."""
    missing_bytes: int
    """What cannot be freed, even if everything leaves."""


def cut(items: Sequence[Item], need_bytes: int) -> Cut:
    """Return the items to let go so that at least *need_bytes* are freed at the least loss of value.

    Ties go by index, so that equal inputs give equal cuts. Raises ValueError on an item without size.
    """
    if any(item.size_bytes <= 0 or item.value_nano < 0 for item in items):
        raise ValueError("items have a positive size and a value that is not negative")
    if need_bytes <= 0:
        return Cut((), 0, 0, 0, 0)
    order = sorted(range(len(items)), key=lambda i: (items[i].value_nano / items[i].size_bytes, i))
    if sum(item.size_bytes for item in items) < need_bytes:
        return _cut(items, order, order, need_bytes, price_of=order[-1] if order else None)
    least = [_refined(items, order, need_bytes)]
    for passed, chosen in _greedy(items, order, need_bytes):
        least.append(chosen)
        least.append(_refined(items, [i for i in order if i not in passed], need_bytes))
    chosen = min(least, key=lambda indexes: sum(items[i].value_nano for i in indexes))
    if len(items) <= FEW_ITEMS:
        place = {i: at for at, i in enumerate(order)}
        known = sorted(place[i] for i in chosen)
        chosen = [order[at] for at in _least_loss([items[i] for i in order], need_bytes, FEW_NODES, known)]
    margin = max(chosen, key=lambda i: (items[i].value_nano / items[i].size_bytes, i))
    return _cut(items, order, chosen, need_bytes, price_of=margin)


def _refined(items: Sequence[Item], order: Sequence[int], need: int) -> list[int]:
    """Return the best cut that differs from the one by density around its margin only."""
    freed, taken = 0, 0
    while freed < need and taken < len(order):
        freed += items[order[taken]].size_bytes
        taken += 1
    if freed < need:
        return list(range(len(items)))
    begin = max(0, taken - CORE_ITEMS // 2)
    core = order[begin : begin + CORE_ITEMS]
    left = need - sum(items[i].size_bytes for i in order[:begin])
    return [*order[:begin], *(core[i] for i in _least_loss([items[i] for i in core], left, CORE_NODES))]


def _greedy(items: Sequence[Item], order: Sequence[int], need: int) -> list[tuple[frozenset[int], list[int]]]:
    """Return the best cuts by density, each with the items that it passes over as freeing far more than is needed.

    An item that would cover the rest closes one candidate and is passed over for the next; then what turns out not to
    be needed, the most valuable first, stays.
    """
    prefix: list[int] = []
    freed = value = 0
    passed: list[int] = []
    ends: list[tuple[int, int, int, int]] = []
    for i in order:
        item = items[i]
        if freed + item.size_bytes < need:
            prefix.append(i)
            freed += item.size_bytes
            value += item.value_nano
        else:
            ends.append((value + item.value_nano, len(passed), len(prefix), i))
            passed.append(i)
    found = []
    for _, skipped, length, last in sorted(ends)[:CANDIDATES]:
        found.append((frozenset(passed[:skipped]), _pruned(items, [*prefix[:length], last], need)))
    return found


def _pruned(items: Sequence[Item], chosen: Sequence[int], need: int) -> list[int]:
    """Return *chosen* without what is not needed to free *need* bytes, the most valuable looked at first."""
    spare = sum(items[i].size_bytes for i in chosen) - need
    kept = []
    for i in sorted(chosen, key=lambda i: (-items[i].value_nano, i)):
        if items[i].size_bytes <= spare:
            spare -= items[i].size_bytes
        else:
            kept.append(i)
    return kept


def _cut(
    items: Sequence[Item], order: Sequence[int], chosen: Sequence[int], need_bytes: int, *, price_of: int | None
) -> Cut:
    leaving = set(chosen)
    freed = sum(items[i].size_bytes for i in leaving)
    margin = 0 if price_of is None else items[price_of].value_nano * GIB // items[price_of].size_bytes
    return Cut(
        leaving=tuple(i for i in order if i in leaving),
        freed_bytes=freed,
        lost_nano=sum(items[i].value_nano for i in leaving),
        shadow_nano_per_gib=margin,
        missing_bytes=max(0, need_bytes - freed),
    )


def _least_loss(items: Sequence[Item], need: int, nodes: int, known: Sequence[int] | None = None) -> list[int]:
    """Return which of *items* (least density first) to drop so that *need* bytes go at the least value; *known* is a
    choice that does, all of them where None.

    Depth first, *nodes* steps at most; the linear relaxation (the next item in part) bounds what a branch can reach.
    """
    sizes = list(accumulate((item.size_bytes for item in items), initial=0))
    values = list(accumulate((item.value_nano for item in items), initial=0))
    best = list(range(len(items))) if known is None else list(known)
    best_value = sum(items[i].value_nano for i in best)
    stack: list[tuple[int, int, int, tuple[int, ...]]] = [(0, need, 0, ())]
    for _ in range(nodes):
        if not stack:
            break
        number, left, value, taken = stack.pop()
        if left <= 0:
            if value < best_value:
                best, best_value = list(taken), value
            continue
        end = bisect_left(sizes, sizes[number] + left, number)
        if end > len(items):
            continue  # all that is left is not enough
        part = sizes[number] + left - sizes[end - 1]
        bound = values[end - 1] - values[number] + items[end - 1].value_nano * part / items[end - 1].size_bytes
        if value + bound >= best_value:
            continue
        stack.append((number + 1, left, value, taken))
        item = items[number]
        stack.append((number + 1, left - item.size_bytes, value + item.value_nano, (*taken, number)))
    return best
