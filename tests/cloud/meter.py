"""The provider's bill, computed from what it was asked and what stood there for how long.

Deliberately not policies.cost: two derivations of the same dollars, compared by the tests. Prices are the book's; the
first storage step only (tests stay far below 50 TiB). Exact rationals; rounded once, when the bill is read.
"""

from collections import Counter
from fractions import Fraction

from policies.amounts import GIB
from policies.cooling import monitoring_rate, step_at, step_rate
from policies.cost import UNIT
from policies.prices import ClassPrice, PriceBook
from tests.cloud.objects import HOUR_NS, StoredObject
from tiering.clock import NS_PER_DAY

MONTH_NS = 730 * HOUR_NS


class Bill:
    """Nano-dollars by kind: storage, requests, retrieval, early_delete, restored_copies."""

    def __init__(self, book: PriceBook) -> None:
        """Start at zero."""
        self.book = book
        self._exact: dict[str, Fraction] = {}
        self.requests: Counter[tuple[str, str]] = Counter()
        """(kind, class) -> how often."""

    def total_nano(self) -> int:
        """Return the whole bill, each kind rounded once."""
        return sum(self.by_kind().values())

    def by_kind(self) -> dict[str, int]:
        """Return kind -> nano-dollars."""
        return {kind: round(amount) for kind, amount in sorted(self._exact.items())}

    def request(self, kind: str, storage_class: str) -> None:
        """Bill one request: put and list at the class's PUT price, get and head at its GET price; deletes are free."""
        self.requests[kind, storage_class] += 1
        price = self.book.price(storage_class)
        if kind in {"put", "copy"}:
            self._add("requests", Fraction(price.put_nano))
        elif kind == "list":
            self._add("requests", Fraction(self.book.price("STANDARD").put_nano))
        elif kind in {"get", "head"}:
            self._add("requests", Fraction(price.get_nano))

    def retrieval(self, storage_class: str, size: int) -> None:
        """Bill *size* bytes read out of a class that charges for it."""
        self._add("retrieval", Fraction(self.book.price(storage_class).retrieval_nano_per_gib * size, GIB))

    def restore(self, storage_class: str, speed: str, size: int) -> None:
        """Bill the restore of a whole object of *size*."""
        offered = self.book.price(storage_class).restore
        assert offered is not None
        price = offered[speed.lower()]
        self._add("retrieval", price.nano_per_request + Fraction(price.nano_per_gib * size, GIB))

    def extension(self, storage_class: str, speed: str) -> None:
        """Bill the request that moves the expiry of a copy that is there: it alone, no retrieval."""
        offered = self.book.price(storage_class).restore
        assert offered is not None
        self._add("retrieval", Fraction(offered[speed.lower()].nano_per_request))

    def hold(self, stored: StoredObject, until_ns: int) -> None:
        """Bill an object's storage up to *until_ns*, and its restored copy's. Old versions are a kind of their own."""
        if until_ns <= stored.billed_to_ns:
            return
        kind = "noncurrent" if stored.noncurrent_ns else "storage"
        if stored.ladder:
            self._hold_cooling(kind, stored, until_ns)
            return
        span = until_ns - stored.billed_to_ns
        price = self.book.price(stored.storage_class)
        self._storage(kind, price, billed_bytes(price, stored.size), span)
        for other, overhead in price.overhead:
            self._storage(kind, self.book.price(other), overhead, span)
        if stored.restore is not None:
            stored.restore.settle(until_ns)
            ends = stored.restore.expires_ns or until_ns
            there = min(until_ns, ends) - max(stored.billed_to_ns, stored.restore.ready_ns)
            copy = self.book.price(self.book.restored_copy_class)
            self._storage("restored_copies", copy, stored.size, max(0, there))
        stored.billed_to_ns = until_ns

    def _hold_cooling(self, kind: str, stored: StoredObject, until_ns: int) -> None:
        """Bill an object of Intelligent-Tiering tier by tier; a restore that came through made it warm then."""
        price = self.book.price(stored.storage_class)
        is_small = stored.size < price.monitor_min_bytes
        while stored.billed_to_ns < until_ns:
            if stored.restore and stored.restore.ready_ns <= stored.billed_to_ns:
                stored.warm_ns, stored.restore = stored.restore.ready_ns, None
            from_ns = stored.billed_to_ns
            number = 0 if is_small else step_at(stored.ladder, from_ns - stored.warm_ns)
            ends = [stored.warm_ns + step.after_ns for step in stored.ladder[number + 1 :] if not is_small]
            ends += [stored.restore.ready_ns] if stored.restore else []
            to_ns = min([until_ns, *(at_ns for at_ns in ends if at_ns > from_ns)])
            rate = step_rate(self.book, stored.ladder[number], stored.size, 1)
            rate += 0 if is_small else monitoring_rate(price, 1)
            self._add(kind, Fraction(rate * (to_ns - from_ns), UNIT * HOUR_NS))
            stored.billed_to_ns = to_ns
        if stored.restore and stored.restore.ready_ns <= until_ns:
            stored.warm_ns, stored.restore = stored.restore.ready_ns, None

    def debris(self, size: int, storage_class: str, span_ns: int) -> None:
        """Bill the parts of an upload that is not finished."""
        self._storage("unfinished_uploads", self.book.price(storage_class), size, span_ns)

    def marker(self, name_bytes: int, span_ns: int) -> None:
        """Bill a delete marker: the bytes of its key."""
        self._storage("delete_markers", self.book.price("STANDARD"), name_bytes, span_ns)

    def transition(self, storage_class: str) -> None:
        """Bill one change of class by a lifecycle rule."""
        self.requests["transition", storage_class] += 1
        self._add("transitions", Fraction(self.book.price(storage_class).transition_nano or 0))

    def leave(self, stored: StoredObject, now_ns: int) -> None:
        """Bill what is left of the minimum stay of an object that is deleted, overwritten or moved to another class."""
        price = self.book.price(stored.storage_class)
        left = stored.since_ns + price.min_days * NS_PER_DAY - now_ns
        if left > 0:
            self._storage("early_delete", price, billed_bytes(price, stored.size), left)
            for other, overhead in price.overhead:
                if other == stored.storage_class:
                    self._storage("early_delete", price, overhead, left)

    def _storage(self, kind: str, price: ClassPrice, size: int, span_ns: int) -> None:
        self._add(kind, Fraction(price.storage[0].nano_per_gib * size * span_ns, GIB * MONTH_NS))

    def _add(self, kind: str, amount: Fraction | int) -> None:
        self._exact[kind] = self._exact.get(kind, Fraction(0)) + amount


def billed_bytes(price: ClassPrice, size: int) -> int:
    """Return the bytes that are billed for an object of *size*."""
    return max(size, price.min_billed_bytes)
