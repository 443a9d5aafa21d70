"""Where each file is, and what its stored copy weighs."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Protocol

from policies.values import HOT
from tiering.catalog import recipes
from tiering.catalog.transaction import Tx
from tiering.catalog.values import FileRow, FileState
from tiering.jobs.context import Context, OpenRoot

BUCKET = "bucket"
BATCH_ROWS = 1000  # files whose chunk sizes are summed in one query


class Selection(Protocol):
    """Names under one root; tiering.app.targets.Target is one."""

    @property
    def root(self) -> OpenRoot:
        """Whose names."""

    def rows(self, tx: Tx) -> Iterator[FileRow]:
        """Yield them in (dir, name) order."""


@dataclass(frozen=True, slots=True)
class Residency:
    """One file."""

    path: str
    """Absolute."""
    state: str
    tier: str
    """hot for a file that is only there, bucket for an object that is only in its own; of a dual or offline one where
    its copy is.
    """
    size_bytes: int
    stored_bytes: int
    """Coded bytes of the distinct chunks of its stored copy: what a restore fetches. Not additive over files."""
    exclusive_bytes: int
    """Of those, what no other stored version needs: what deleting it would free."""
    is_pinned: bool

    def as_json(self) -> dict[str, object]:
        """Return the documented keys."""
        return asdict(self)


def residency(context: Context, selections: Iterable[Selection]) -> Iterator[Residency]:
    """Yield every name of *selections* in walk order; memory is bounded by a batch."""
    for selection in selections:
        with context.catalog.read() as tx:
            rows = selection.rows(tx)
            while batch := list(islice(rows, BATCH_ROWS)):
                weights = recipes.stored_bytes(
                    tx, sorted({row.recipe_no for row in batch if row.recipe_no is not None})
                )
                for row in batch:
                    yield _of(row, selection.root, weights)


def _of(row: FileRow, root: OpenRoot, weights: dict[int, tuple[int, int]]) -> Residency:
    stored, exclusive = weights.get(row.recipe_no or -1, (0, 0))
    is_stored = row.recipe_no is not None and row.state is not FileState.REGULAR
    here = BUCKET if root.path.startswith(b"s3://") else HOT
    return Residency(
        path=os.fsdecode(os.path.join(root.path, row.path)),
        state=str(row.state),
        tier=(row.tier or here) if is_stored else here,
        size_bytes=row.size,
        stored_bytes=stored,
        exclusive_bytes=exclusive,
        is_pinned=row.pinned,
    )
