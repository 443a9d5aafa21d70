"""The best way to put chunks into packs and packs into classes, found by trying every one: what the mover is held
against.

Months are whole; what happens in one happens at its beginning. A chunk is there for some of them, and in each it may
stand so cold and no colder. Chunks that are there in the same months and may always stand equally cold are one atom:
nothing is gained by parting them. Prices are the test meter's, not the program's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from policies.amounts import GIB
from policies.prices import PriceBook

MONTH_DAYS = Fraction(730, 24)


@dataclass(frozen=True, slots=True)
class Atom:
    """Chunks with one history."""

    ranks: tuple[int | None, ...]
    """By month: the number of the coldest class in which they may stand; None where they are not there."""
    size_bytes: int

    @property
    def first(self) -> int:
        """The month in which it is written."""
        return next(month for month, rank in enumerate(self.ranks) if rank is not None)

    @property
    def months(self) -> list[int]:
        """Those in which it is there."""
        return [month for month, rank in enumerate(self.ranks) if rank is not None]


def atoms_of(history: Sequence[Mapping[int, tuple[int, int]]]) -> list[Atom]:
    """Return the atoms of a history: by month, chunk -> (rank, bytes)."""
    sizes: dict[tuple[int | None, ...], int] = {}
    for chunk in {chunk for month in history for chunk in month}:
        ranks = tuple(month[chunk][0] if chunk in month else None for month in history)
        size = next(month[chunk][1] for month in history if chunk in month)
        sizes[ranks] = sizes.get(ranks, 0) + size
    return [Atom(ranks, size) for ranks, size in sorted(sizes.items(), key=lambda item: str(item[0]))]


def best_nano(atoms: Sequence[Atom], classes: Sequence[str], book: PriceBook) -> tuple[Fraction, tuple[int, ...]]:
    """Return the least nano-dollars, and which pack each atom is in then: every partition is tried, and for each pack
    every way through the classes. Atoms that are written in different months cannot be in one pack.
    """
    known: dict[frozenset[int], Fraction] = {}

    def of(pack: frozenset[int]) -> Fraction:
        if pack not in known:
            known[pack] = _pack_nano([atoms[number] for number in pack], classes, book)
        return known[pack]

    best: tuple[Fraction, tuple[int, ...]] | None = None
    for partition in _partitions([atom.first for atom in atoms]):
        packs: dict[int, set[int]] = {}
        for number, pack in enumerate(partition):
            packs.setdefault(pack, set()).add(number)
        total = sum((of(frozenset(pack)) for pack in packs.values()), Fraction(0))
        if best is None or total < best[0]:
            best = total, partition
    assert best is not None
    return best


def _partitions(births: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield every way to put things into numbered packs, those of one birth only together, none twice."""

    def extend(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(chosen) == len(births):
            yield chosen
            return
        fits = {pack for pack, birth in zip(chosen, births, strict=False) if birth == births[len(chosen)]}
        for pack in (*sorted(fits), max(chosen, default=-1) + 1):
            yield from extend((*chosen, pack))

    yield from extend(())


def _pack_nano(atoms: Sequence[Atom], classes: Sequence[str], book: PriceBook) -> Fraction:
    """Return what a pack costs on its best way: written once, moved by copies, deleted when nothing in it is needed."""
    months = sorted({month for atom in atoms for month in atom.months})
    span = range(months[0], months[-1] + 1)
    size = sum(atom.size_bytes for atom in atoms)
    ranks = [[rank for atom in atoms if (rank := atom.ranks[month]) is not None] for month in span]
    allowed = [min(held, default=len(classes) - 1) for held in ranks]
    ways = product(*(range(rank + 1) for rank in allowed))
    is_dropped = span[-1] < len(atoms[0].ranks) - 1
    return min(_way_nano(way, size, classes, book, is_dropped=is_dropped) for way in ways)


def _way_nano(way: Sequence[int], size: int, classes: Sequence[str], book: PriceBook, *, is_dropped: bool) -> Fraction:
    total = Fraction(book.price(classes[way[0]]).put_nano)
    since = 0
    for month, number in enumerate(way):
        if month and number != way[month - 1]:
            before, after = book.price(classes[way[month - 1]]), book.price(classes[number])
            total += after.put_nano + before.get_nano + after.get_nano
            total += Fraction(before.retrieval_nano_per_gib * size, GIB)
            total += _early(book, classes[way[month - 1]], size, month - since)
            since = month
        total += hold_month(book, classes[number], size)
    if is_dropped:
        total += _early(book, classes[way[-1]], size, len(way) - since)
    return total


def hold_month(book: PriceBook, storage_class: str, size: int) -> Fraction:
    """Return the nano-dollars of an object for a month."""
    price = book.price(storage_class)
    nano = Fraction(price.storage[0].nano_per_gib * max(size, price.min_billed_bytes), GIB)
    for other, overhead in price.overhead:
        nano += Fraction(book.price(other).storage[0].nano_per_gib * overhead, GIB)
    return nano


def _early(book: PriceBook, storage_class: str, size: int, months: int) -> Fraction:
    price = book.price(storage_class)
    left = max(Fraction(0), price.min_days - months * MONTH_DAYS) / MONTH_DAYS
    return Fraction(price.storage[0].nano_per_gib * max(size, price.min_billed_bytes), GIB) * left
