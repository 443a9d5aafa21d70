"""What single objects cost in each class, and what changing their class would: arrays over a page of objects.

For buckets of millions of objects that are not packed: smallest billed sizes, overheads, monitoring, minimum stays and
requests fall on each of them. Nano-dollars as floats: these numbers decide; the ledger's come from policies.cost.
Formulas: policies.cost, and policies.costs for whole histories. The first step of graduated prices only.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from policies.amounts import GIB
from policies.prices import MONTH_HOURS, ClassPrice, PriceBook

MONTH_DAYS = MONTH_HOURS / 24
ONE_COPY_BYTES = 5 * 10**9  # CopyObject stops there; above in parts
COPY_PART_BYTES = 2**30

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """A change of class of each of some objects of one class, in nano-dollars."""

    once: Floats
    """Requests, reading the object out of its class, and the rest of its minimum stay."""
    saved_month: Floats
    """Average of the horizon; negative where the target is dearer."""
    gain: Floats
    """What it saves over the horizon, less *once*."""
    break_even_days: Floats
    """Never less than the target's minimum stay; inf where nothing is saved."""


def hold(book: PriceBook, storage_class: str, sizes: Ints, *, days: float, idle_days: Floats | float = 0.0) -> Floats:
    """Return what each object costs in a class for *days*; of a class that cools by itself, from that idle age on.

    *idle_days* of such an object is the time since it was last read or came into the class, whichever is later.
    """
    price = book.price(storage_class)
    billed = np.maximum(sizes, price.min_billed_bytes).astype(np.float64)
    cost = billed * (price.storage[0].nano_per_gib * days / (GIB * MONTH_DAYS))
    if price.access_tiers:
        cools = sizes >= price.monitor_min_bytes
        cost = np.where(cools, billed * _ladder(price, days, idle_days) / (GIB * MONTH_DAYS), cost)
    if price.monitor_nano_per_object_month:
        monitored = sizes >= price.monitor_min_bytes
        cost = cost + monitored * (price.monitor_nano_per_object_month * days / MONTH_DAYS)
    for other, overhead_bytes in price.overhead:
        cost = cost + overhead_bytes * book.price(other).storage[0].nano_per_gib * days / (GIB * MONTH_DAYS)
    return cost


def change(
    book: PriceBook, source: str, target: str, sizes: Ints, held_days: Floats, *, idle_days: Floats, horizon_days: float
) -> Change:
    """Return what moving objects of class *source*, there for *held_days*, into *target* costs and saves.

    The stay is counted over *horizon_days*, in the target over its minimum stay if that is longer. Reads are left out:
    a rule says who is idle. Objects in *source* must be readable.
    """
    there, here = book.price(target), book.price(source)
    days = max(horizon_days, float(there.min_days))
    stays = hold(book, source, sizes, days=horizon_days, idle_days=idle_days)
    goes = hold(book, target, sizes, days=days)
    once = move_once(book, source, target, sizes) + early(book, here, sizes, held_days)
    saved = (stays - goes) / horizon_days
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.where(saved > 0, np.maximum(once / saved, float(there.min_days)), np.inf)
    return Change(once, saved * MONTH_DAYS, stays - goes - once, even)


def move_once(book: PriceBook, source: str, target: str, sizes: Ints) -> Floats:
    """Return the requests of one change each (a look, and a copy or its parts) and the reading of the source.

    Beginning and parts of a copy in parts are billed as STANDARD where the target is an archive class.
    """
    there, here = book.price(target), book.price(source)
    part_nano = book.price("STANDARD").put_nano if there.is_archive else there.put_nano
    parts = np.where(sizes > ONE_COPY_BYTES, 1 + -(-sizes // COPY_PART_BYTES), 0)
    requests = here.get_nano + there.put_nano + parts * part_nano + (sizes > ONE_COPY_BYTES) * here.get_nano
    return np.asarray(requests + sizes * (here.retrieval_nano_per_gib / GIB), np.float64)


def early(book: PriceBook, price: ClassPrice, sizes: Ints, held_days: Floats) -> Floats:
    """Return what is left of the minimum stay of objects that leave a class after *held_days*."""
    left = np.maximum(0.0, price.min_days - held_days)
    billed = np.maximum(sizes, price.min_billed_bytes).astype(np.float64)
    cost = billed * price.storage[0].nano_per_gib
    for other, overhead_bytes in price.overhead:
        if other == price.name:
            cost = cost + overhead_bytes * book.price(other).storage[0].nano_per_gib
    return cost * left / (GIB * MONTH_DAYS)


def _ladder(price: ClassPrice, days: float, idle_days: Floats | float) -> Floats:
    """Return nano-dollars per GiB times days, for *days* from an idle age on."""
    begin = np.asarray(idle_days, np.float64)
    end = begin + days
    total = np.zeros_like(begin)
    steps = price.access_tiers
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        until = np.inf if following is None else float(following.after_days)
        spent = np.minimum(end, until) - np.maximum(begin, float(step.after_days))
        total = total + np.maximum(spent, 0.0) * step.nano_per_gib
    return total
