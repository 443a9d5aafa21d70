"""Proves stored copies by reading them back whole: what must be known before an original is deleted (P1)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dedup.fingerprint import FileDigest, digest
from dedup.values import Digest, Recipe
from tiering.catalog import packs, recipes
from tiering.catalog.values import FileRow, Location
from tiering.errors import FrostlineError, IntegrityError, ObjectArchived, ObjectMissing
from tiering.jobs.context import Context
from tiering.jobs.fetch import fetch
from tiering.jobs.fetch_sinks import Piece
from tiering.jobs.stored_bytes import read_in_order
from tiering.jobs.stored_recipes import read_recipes

WHOLE_BYTES = 8 << 20
"""Up to this size a copy is put together in memory, many side by side."""
GROUP_BYTES = 64 << 20
GROUP_FILES = 500


@dataclass(slots=True)
class _Copy:
    """A fetch target in memory."""

    recipe: Recipe
    data: bytearray
    failures: list[Exception] = field(default_factory=list)

    @property
    def whole_bytes(self) -> int:
        return -1

    def write(self, pieces: list[Piece]) -> None:
        for offset, data in pieces:
            self.data[offset : offset + len(data)] = data

    def read(self, buffer: memoryview, offset: int) -> int:
        found = self.data[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        return len(found)

    def take_whole(self, pieces: list[Piece]) -> None:
        self.write(pieces)

    def finish(self) -> None:
        return

    def fail(self, error: Exception) -> None:
        self.failures.append(error)

    def fault(self) -> str:
        if self.failures:
            return str(self.failures[0])
        return "" if digest(self.data) == self.recipe.digest else "the whole does not verify"


def faults_of_copies(ctx: Context, rows: Sequence[FileRow]) -> dict[int, str]:
    """Return file id -> "" for those whose stored copy was just read back whole, bit for bit what its recipe says, else
    what is wrong with it.

    The recipe itself is read from the store. Raises StoreUnavailable, StoreDenied; Interrupted on ctx.stop.
    """
    found: dict[int, str] = {}
    for group in _groups(rows):
        found.update(_faults(ctx, group))
    return found


def _groups(rows: Iterable[FileRow]) -> Iterator[list[FileRow]]:
    group: list[FileRow] = []
    size_bytes = 0
    for row in rows:
        if group and (size_bytes + row.size > GROUP_BYTES or len(group) == GROUP_FILES):
            yield group
            group, size_bytes = [], 0
        group.append(row)
        size_bytes += row.size
    if group:
        yield group


def _faults(ctx: Context, group: Sequence[FileRow]) -> dict[int, str]:
    with ctx.catalog.read() as tx:
        stored = recipes.by_numbers(tx, {row.recipe_no for row in group if row.recipe_no is not None})
        known = packs.locate_all(tx, stored)
    read = read_recipes(ctx, list(stored.values()))
    found: dict[int, str] = {}
    copies: dict[int, tuple[_Copy, Mapping[Digest, Location]]] = {}
    for row in group:
        recipe = read.get(row.recipe_no or 0)
        if recipe is None or isinstance(recipe, FrostlineError):
            found[row.file_id] = recipe.what if recipe is not None else "it has no stored copy"
        elif recipe.size > WHOLE_BYTES:
            found[row.file_id] = _long_fault(ctx, recipe, known[row.recipe_no or 0])
        else:
            copies[row.file_id] = (_Copy(recipe, bytearray(recipe.size)), known[row.recipe_no or 0])
    fetch(ctx, ((copy.recipe, places, copy) for copy, places in copies.values()))
    found.update((file_id, copy.fault()) for file_id, (copy, _) in copies.items())
    return found


def _long_fault(ctx: Context, recipe: Recipe, known: Mapping[Digest, Location]) -> str:
    whole = FileDigest()
    try:
        read_in_order(ctx, recipe, known, whole.update)
    except (IntegrityError, ObjectMissing, ObjectArchived) as error:
        return error.what
    return "" if whole.digest() == recipe.digest else "the whole does not verify"
