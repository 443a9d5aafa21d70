"""Books what storage cost for the hours that have passed, and what it would have cost had everything stayed hot.

One entry for each stretch of whole hours (UTC) in which what is held was the same, cut at midnight, under the operation
id `accrue:<its first hour>`: catching up after downtime books every missed hour once, from the bytes the ledger held in
it. What is less than a nano-dollar is carried to the next entry: nothing is lost to rounding, however it is cut.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from threading import Event

from policies.cost import UNIT
from policies.prices import PriceBook
from tiering.catalog import accounts, accruals, ledger
from tiering.catalog.accounts import Amounts
from tiering.catalog.accruals import Cooling, Standing, Steps
from tiering.catalog.open import Catalog
from tiering.catalog.transaction import Tx
from tiering.clock import NS_PER_DAY, NS_PER_S
from tiering.config import Config
from tiering.jobs.storage_rates import AVOIDED, REALISED, Rates, State, coolings, rates

HOUR_NS = 3600 * NS_PER_S
# Looked at in one transaction: a year of downtime is caught up in a dozen of them.
WINDOW_NS = 32 * NS_PER_DAY
# Entries of one transaction: a fifth of a second.
ENTRIES_PER_COMMIT = 200
_BASELINE = "baseline"

Change = Callable[[State], None]


def book_hours(
    config: Config, catalog: Catalog, book: PriceBook, *, until_ns: int | None = None, stop: Event | None = None
) -> int:
    """Book every whole hour until then (None: now) that is not booked; return how many."""
    booked = 0
    while stop is None or not stop.is_set():
        with catalog.write() as tx:
            count = _book_some(config, tx, book, tx.now_ns if until_ns is None else min(until_ns, tx.now_ns))
        if not count:
            break
        booked += count
    return booked


def _book_some(config: Config, tx: Tx, book: PriceBook, until_ns: int) -> int:
    begun_ns = accruals.first_entry_ns(tx)
    if begun_ns is None:
        return 0
    start_ns = accruals.accrued_until_ns(tx) or begun_ns // HOUR_NS * HOUR_NS
    end_ns = min(until_ns // HOUR_NS * HOUR_NS, start_ns + WINDOW_NS)
    if end_ns <= start_ns:
        return 0
    state, changes = _begin(config, tx, book, start_ns, end_ns)
    first_midnight = -(-(start_ns + 1) // NS_PER_DAY) * NS_PER_DAY
    marks = sorted({start_ns, *changes, *range(first_midnight, end_ns, NS_PER_DAY)})
    rests = accruals.carried(tx)
    done_ns = start_ns
    for since_ns, ends_ns in list(pairwise([*marks, end_ns]))[:ENTRIES_PER_COMMIT]:
        for change in changes.get(since_ns, ()):
            change(state)
        ledger.post(tx, _entry(config, book, rates(config, book, state), rests, period=(since_ns, ends_ns)))
        done_ns = ends_ns
    accruals.carry(tx, rests)
    return (done_ns - start_ns) // HOUR_NS


def _begin(
    config: Config, tx: Tx, book: PriceBook, start_ns: int, end_ns: int
) -> tuple[State, dict[int, Sequence[Change]]]:
    """Return what was held when the first hour began, and what changes it, by the hour from which on it counts."""
    small = {name: max(price.min_billed_bytes, price.monitor_min_bytes) for name, price in book.classes.items()}
    state = State(accruals.held_at(tx, start_ns), accruals.stock(tx, before_ns=start_ns, small=small))
    changes: dict[int, list[Change]] = defaultdict(list)
    for at_ns, account, amount in accruals.changes(tx, since_ns=start_ns, until_ns=end_ns):
        changes[_hour(at_ns)].append(partial(_hold, account=account, amount=amount))
    for at_ns, tier, storage_class, standing in accruals.came(tx, since_ns=start_ns, small=small):
        if at_ns < end_ns:
            changes[_hour(at_ns)].append(partial(_come, place=(tier, storage_class), standing=standing))
    for cooling in coolings(config, book):
        place = (cooling.tier, cooling.storage_class)
        state.cooled[place] = accruals.cooled(tx, cooling, at_ns=start_ns)
        for at_ns, step, objects, size_bytes in _cooling(tx, cooling, start_ns, end_ns):
            changes[at_ns].append(partial(_cool, place=place, step=step, moved=(objects, size_bytes)))
    return state, dict(changes)


def _cooling(tx: Tx, cooling: Cooling, start_ns: int, end_ns: int) -> list[tuple[int, int, int, int]]:
    return accruals.coolings(tx, cooling, since_ns=start_ns, until_ns=end_ns, unit_ns=HOUR_NS)


def _hour(at_ns: int) -> int:
    return at_ns // HOUR_NS * HOUR_NS


def _hold(state: State, *, account: tuple[str, str], amount: int) -> None:
    state.held[account] += amount


def _come(state: State, *, place: tuple[str, str], standing: Standing) -> None:
    state.stock.setdefault(place, Standing()).add(standing)


def _cool(state: State, *, place: tuple[str, str], step: int, moved: tuple[int, int]) -> None:
    """Move objects from the step above, or let them come, to the first."""
    steps: Steps = state.cooled[place]
    for number, sign in ((step, 1), *(((step - 1), -1),) * bool(step)):
        objects, size_bytes = steps[number]
        steps[number] = (objects + sign * moved[0], size_bytes + sign * moved[1])


def _entry(
    config: Config, book: PriceBook, found: Rates, rests: dict[str, int], *, period: tuple[int, int]
) -> ledger.Entry:
    """Return the entry of a stretch of hours, from *rests* on; what it leaves over stands there afterwards."""
    since_ns, ends_ns = period
    hours = (ends_ns - since_ns) // HOUR_NS
    amounts = Amounts()
    total = 0
    for tier, rate in found.tiers.items():
        nano, rests[tier] = divmod(rate * hours + rests.get(tier, 0), UNIT)
        amounts.add(accounts.COST_STORAGE, nano, tier)
        total += nano
    baseline, rests[_BASELINE] = divmod(found.baseline * hours + rests.get(_BASELINE, 0), UNIT)
    amounts.add(accounts.PAYABLE, -total)
    amounts.add(accounts.BASELINE_STORAGE, baseline, REALISED if config.hot.refundable else AVOIDED)
    amounts.add(accounts.BASELINE, -baseline)
    first = datetime.fromtimestamp(since_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H")
    return ledger.Entry(
        op_id=f"accrue:{first}",
        kind=accruals.KIND,
        reason=f"storage of {hours} hour{'s' if hours > 1 else ''}: {found.facts}",
        lines=amounts.lines(),
        price_book=book.book_id,
        at_ns=ends_ns,
    )
