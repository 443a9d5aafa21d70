"""What replaying records has come to, and the short ways to rows that all its steps use."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dedup.values import Block, Recipe
from tiering.catalog import recipes
from tiering.catalog.tables import roots
from tiering.catalog.transaction import Tx, batches, own_insert

Value = Mapping[str, Any]
Path = tuple[str, str]
"""(root name, path as text)."""


class RecipePacks(Protocol):
    """Reads recipe packs: what a record says of a file, its recipe need not say again."""

    def blocks(self, key: str) -> Sequence[Block] | None:
        """Return the blocks of a pack, None if it cannot be had: it was deleted since, or it is lost."""

    def recipes(self, key: str, keys: Sequence[bytes]) -> Mapping[bytes, Recipe]:
        """Return the 16 bytes of an id -> recipe, for those that are sound."""


@dataclass(slots=True)
class Replayed:
    """What has been replayed so far, and what can only be applied at the end."""

    records: int = 0
    entries: int = 0
    pins: dict[Path, bool] = field(default_factory=dict)
    leaders: dict[Path, str] = field(default_factory=dict)
    """Path of a hard link with a stored copy -> path of the name that leads."""
    tickets: dict[int, Value] = field(default_factory=dict)
    stores: dict[str, Value] = field(default_factory=dict)
    named: Counter[str] = field(default_factory=Counter)
    """Key of a recipe pack -> its recipes that no record has named yet, of those that its commits announced."""
    unread: Counter[str] = field(default_factory=Counter)
    """Key of a recipe pack that could not be had -> recipes that records name in it."""
    notes: list[str] = field(default_factory=list)
    is_ledger_whole: bool = True


def split(path: str) -> tuple[bytes, bytes]:
    """Return (dir with trailing slash or b"", name) of a record's path."""
    folder, slash, name = os.fsencode(path).rpartition(b"/")
    return folder + slash, name


def root_ids(tx: Tx) -> dict[str, int]:
    return {row.name: row.root_id for row in tx.conn.execute(roots.select())}


def recipe_nos(tx: Tx, found: Sequence[Value]) -> dict[str, int]:
    return {key: row.recipe_no for key, row in recipes.by_ids(tx, {record["recipe"] for record in found}).items()}


def upsert(tx: Tx, table: Any, keys: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    for batch in batches(rows):
        statement = own_insert(tx, table)
        others = {name: statement.excluded[name] for name in batch[0] if name not in keys}
        tx.conn.execute(statement.on_conflict_do_update(index_elements=list(keys), set_=others), batch)
